import { Group, Progress, Stack, Text, UnstyledButton } from "@mantine/core";
import { formatNumber } from "../../components/format.ts";
import { TONE_COLORS, type Tone } from "../../theme/tones.ts";

interface ShareListProps {
  label: string;
  empty: string;
  tone: Tone;
  items: readonly { id: string; name: string; count: number }[];
  onPick?: (id: string) => void;
}

/** Names with their share of the whole, the largest first. */
export function ShareList({ label, empty, tone, items, onPick }: ShareListProps) {
  const sum = items.reduce((so, item) => so + item.count, 0);
  if (sum === 0) {
    return (
      <Text size="sm" c="dimmed">
        {empty}
      </Text>
    );
  }
  return (
    <Stack gap="sm" component="ul" p={0} m={0} aria-label={label} style={{ listStyle: "none" }}>
      {items.map(({ id, name, count }) => {
        const line = (
          <>
            <Group justify="space-between" wrap="nowrap" gap="md">
              <Text size="sm" truncate title={name}>
                {name || id.slice(0, 8)}
              </Text>
              <Text size="sm" fw={600} className="figures">
                {formatNumber(count)}
              </Text>
            </Group>
            <Progress
              mt={4}
              size={6}
              color={TONE_COLORS[tone]}
              value={(count / sum) * 100}
              aria-label={`${name}: share`}
            />
          </>
        );
        return (
          <li key={id}>
            {onPick ? (
              <UnstyledButton w="100%" onClick={() => onPick(id)}>
                {line}
              </UnstyledButton>
            ) : (
              line
            )}
          </li>
        );
      })}
    </Stack>
  );
}
