import { Group, Pill } from "@mantine/core";

interface FiltersProps {
  filters: Partial<Record<"algorithm" | "after" | "before", string | undefined>>;
  onClear: (name: "algorithm" | "after" | "before") => void;
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** What a list is narrowed to besides its status; each can be taken away. */
export function Filters({ filters, onClear }: FiltersProps) {
  const { algorithm, after, before } = filters;
  const shown = [
    algorithm && (["algorithm", `Key ${algorithm}`] as const),
    after && (["after", `Ends from ${DAY.format(new Date(after))}`] as const),
    before && (["before", `Ends before ${DAY.format(new Date(before))}`] as const),
  ].filter((one) => one !== undefined && one !== "");
  return (
    <Group gap={6}>
      {shown.map(([name, label]) => (
        <Pill
          key={name}
          withRemoveButton
          removeButtonProps={{ "aria-label": `Take away: ${label}` }}
          onRemove={() => onClear(name)}
        >
          {label}
        </Pill>
      ))}
    </Group>
  );
}
