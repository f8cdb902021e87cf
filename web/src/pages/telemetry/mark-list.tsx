import { Group, Text } from "@mantine/core";
import { formatExact } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import type { Mark } from "./marks.ts";

/** What the numbers above the chart are. */
export function MarkList({ marks }: { marks: readonly Mark[] }) {
  const tenant = useTenantId();
  if (marks.length === 0) return null;
  return (
    <Group gap="md" mt="xs" role="group" aria-label="Rollouts in this time">
      {marks.map(({ at, label, rolloutId }, index) => (
        <Text key={`${rolloutId} ${at}`} size="xs" c="dimmed" title={formatExact(at)}>
          <Text span inherit fw={600} className="figures">
            {index + 1}
          </Text>{" "}
          <Link to="/t/$tenant/rollouts/$rollout" params={{ tenant, rollout: rolloutId }}>
            {label}
          </Link>
        </Text>
      ))}
    </Group>
  );
}
