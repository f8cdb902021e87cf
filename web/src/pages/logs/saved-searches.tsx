import { ActionIcon, Button, Group, Menu, Modal, Stack, Text, TextInput } from "@mantine/core";
import { IconBookmark, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type LogSearchFilter, logSearchesQuery, type SavedSearch } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import type { LogFilter } from "./log-view.tsx";

const FIELDS = ["words", "level", "device", "q", "group", "logger", "field", "trace"] as const;

interface SavedSearchesProps {
  filter: LogFilter;
  /** Every part: what the search does not ask for is emptied. */
  onChoose: (filter: LogFilter) => void;
}

/** Searches that the tenant keeps by name: choose one, or keep the one that is on the page. */
export function SavedSearches({ filter, onChoose }: SavedSearchesProps) {
  const tenant = useTenantId();
  const may = useMay();
  const searches = useQuery(logSearchesQuery(tenant));
  const [saving, setSaving] = useState(false);
  const remove = useAction({
    run: (name: string) => api.deleteLogSearch(tenant, name),
    done: (_, name) => `${name} is forgotten`,
    refresh: logSearchesQuery(tenant).queryKey,
  });
  const items = searches.data?.items ?? [];
  const isEmpty = Object.keys(savedOf(filter)).every((name) => name === "rangeSeconds");
  return (
    <>
      <Menu position="bottom-end" width={320} shadow="md">
        <Menu.Target>
          <Button variant="default" leftSection={<IconBookmark size={16} aria-hidden />}>
            Saved{items.length > 0 && ` (${items.length})`}
          </Button>
        </Menu.Target>
        <Menu.Dropdown mah={420} style={{ overflow: "auto" }}>
          {items.length === 0 && (
            <Text size="sm" c="dimmed" p="sm">
              No search is saved yet. Search for something, then keep it here for everybody.
            </Text>
          )}
          {items.map((search) => (
            <Group key={search.name} gap={4} wrap="nowrap" pr="xs">
              <Menu.Item
                onClick={() => onChoose(filterOf(search))}
                style={{ flex: 1, minWidth: 0 }}
              >
                <Text size="sm" fw={550} truncate>
                  {search.name}
                </Text>
                <Text size="xs" c="dimmed" truncate>
                  {describe(search)}
                </Text>
              </Menu.Item>
              {may("operate") && (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Forget ${search.name}`}
                  loading={remove.isPending && remove.variables === search.name}
                  onClick={() => remove.mutate(search.name)}
                >
                  <IconTrash size={16} aria-hidden />
                </ActionIcon>
              )}
            </Group>
          ))}
          {may("operate") && (
            <>
              <Menu.Divider />
              <Menu.Item disabled={isEmpty} onClick={() => setSaving(true)}>
                Save this search…
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      {saving && <SaveDialog filter={filter} taken={items} onClose={() => setSaving(false)} />}
    </>
  );
}

interface SaveDialogProps {
  filter: LogFilter;
  taken: readonly SavedSearch[];
  onClose: () => void;
}

function SaveDialog({ filter, taken, onClose }: SaveDialogProps) {
  const tenant = useTenantId();
  const [name, setName] = useState("");
  const isTaken = taken.some((search) => search.name === name.trim());
  const save = useAction({
    run: () => api.saveLogSearch(tenant, { name: name.trim(), filter: savedOf(filter) }, isTaken),
    done: (kept) => `${kept.name} is kept`,
    refresh: logSearchesQuery(tenant).queryKey,
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title="Save this search">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          <Text size="sm" c="dimmed">
            Everybody of the tenant finds it here. It asks for:{" "}
            {describe({ filter: savedOf(filter) })}.
          </Text>
          <TextInput
            label="Name"
            data-autofocus
            required
            maxLength={128}
            value={name}
            description={isTaken ? "There is one of this name: it is replaced." : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <FormButtons
            label={isTaken ? "Replace" : "Save"}
            busy={save.isPending}
            disabled={name.trim() === ""}
            onClose={onClose}
          />
        </Stack>
      </form>
    </Modal>
  );
}

/** The page's filter as it is kept. */
function savedOf(filter: LogFilter): LogSearchFilter {
  const parts = FIELDS.flatMap((name) => {
    const value = filter[name]?.trim();
    return value ? [[name, value] as const] : [];
  });
  const rangeMs = Number(filter.range ?? 0);
  const range = rangeMs > 0 ? { rangeSeconds: Math.round(rangeMs / 1_000) } : {};
  return { ...Object.fromEntries(parts), ...range } as LogSearchFilter;
}

function filterOf({ filter }: SavedSearch): LogFilter {
  const parts = FIELDS.map((name) => [name, String(filter[name] ?? "")]);
  return { ...Object.fromEntries(parts), range: String((filter.rangeSeconds ?? 0) * 1_000) };
}

function describe({ filter }: { filter: LogSearchFilter }): string {
  const { words, rangeSeconds, ...rest } = filter;
  const parts = Object.entries(rest).map(([name, value]) => `${name} ${value}`);
  const back = rangeSeconds ? [`the last ${spanOf(rangeSeconds)}`] : [];
  return [...(words ? [`“${words}”`] : []), ...parts, ...back].join(", ");
}

export function spanOf(seconds: number): string {
  if (seconds % 86_400 === 0) return seconds === 86_400 ? "day" : `${seconds / 86_400} days`;
  if (seconds % 3_600 === 0) return seconds === 3_600 ? "hour" : `${seconds / 3_600} hours`;
  return `${Math.round(seconds / 60)} minutes`;
}
