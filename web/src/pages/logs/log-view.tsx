import { Button, Group, Paper, Select, Switch, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconFileSearch, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type LogRecord, logsQuery } from "../../api/index.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { LogLines } from "./log-lines.tsx";

const LINES = 200;
const HOUR = 3_600_000;
const LEVELS: { value: LogRecord["level"] | ""; label: string }[] = [
  { value: "", label: "Every level" },
  { value: "debug", label: "Debug and up" },
  { value: "info", label: "Info and up" },
  { value: "warn", label: "Warnings and up" },
  { value: "error", label: "Errors only" },
];
const RANGES = [
  { value: String(HOUR / 4), label: "Last 15 minutes" },
  { value: String(HOUR), label: "Last hour" },
  { value: String(24 * HOUR), label: "Last day" },
  { value: String(7 * 24 * HOUR), label: "Last week" },
  { value: "0", label: "Any time" },
];

export interface LogFilter {
  words?: string;
  level?: string;
  device?: string;
  trace?: string;
  range?: string;
  /** A fleet query: lines of the devices that it finds. */
  q?: string;
}

interface LogViewProps {
  /** On a device's page: only its lines. */
  deviceId?: string;
  filter?: LogFilter;
  onFilter?: (filter: LogFilter) => void;
}

/** Searching logs by word, level, device, trace and time, or watching them come in. */
export function LogView({ deviceId, filter: given, onFilter }: LogViewProps) {
  const tenant = useTenantId();
  const [own, setOwn] = useState<LogFilter>({});
  const [tail, setTail] = useState(false);
  const filter = given ?? own;
  const change = (part: LogFilter) => (onFilter ?? setOwn)({ ...filter, ...part });
  const [settled] = useDebouncedValue(filter, 300);
  const rangeMs = Number(settled.range ?? 24 * HOUR);
  const logs = useQuery(
    logsQuery(
      tenant,
      {
        words: settled.words,
        level: LEVELS.find(({ value }) => value && value === settled.level)?.value || undefined,
        device: deviceId ?? settled.device,
        q: settled.q?.trim() || undefined,
        trace: /^[0-9a-f]{32}$/.test(settled.trace ?? "") ? settled.trace : undefined,
        limit: LINES,
        ...(rangeMs > 0 ? { rangeMs } : {}),
      },
      tail,
    ),
  );

  return (
    <Paper style={{ overflow: "hidden" }}>
      <Group p="md" gap="sm" align="flex-end">
        <TextInput
          flex="2 1 220px"
          aria-label="Words"
          placeholder="Words in the message"
          leftSection={<IconSearch size={16} aria-hidden />}
          value={filter.words ?? ""}
          onChange={(event) => change({ words: event.currentTarget.value })}
        />
        <Select
          w={160}
          aria-label="Level"
          data={LEVELS}
          value={filter.level ?? ""}
          allowDeselect={false}
          onChange={(level) => change({ level: level ?? "" })}
        />
        {!deviceId && (
          <>
            <TextInput
              flex="1 1 150px"
              aria-label="Device"
              placeholder="Device id"
              value={filter.device ?? ""}
              onChange={(event) => change({ device: event.currentTarget.value })}
            />
            <TextInput
              flex="1 1 190px"
              aria-label="Fleet query"
              placeholder='tags.site = "berlin"'
              classNames={{ input: "mono" }}
              value={filter.q ?? ""}
              onChange={(event) => change({ q: event.currentTarget.value })}
            />
            <TextInput
              flex="1 1 170px"
              aria-label="Trace"
              placeholder="Trace id, 32 digits"
              classNames={{ input: "mono" }}
              value={filter.trace ?? ""}
              onChange={(event) => change({ trace: event.currentTarget.value.trim() })}
            />
          </>
        )}
        <Select
          w={165}
          aria-label="Time"
          data={RANGES}
          value={filter.range ?? String(24 * HOUR)}
          allowDeselect={false}
          onChange={(range) => change({ range: range ?? "" })}
        />
        <Switch
          label="Live"
          checked={tail}
          pb={8}
          onChange={(event) => setTail(event.currentTarget.checked)}
        />
      </Group>
      <Loaded query={logs}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <NoLines isFiltered={Boolean(filter.words || filter.level || filter.device)} />
          ) : (
            <>
              <LogLines lines={items} showDevice={!deviceId} />
              <Group p="sm" gap="md" justify="space-between">
                <Text size="xs" c="dimmed">
                  {items.length} lines, the newest first
                  {nextCursor && "; there are more: narrow the search, or export them"}
                </Text>
                <Group gap="xs">
                  {(["csv", "jsonl"] as const).map((format) => (
                    <Button
                      key={format}
                      component="a"
                      size="compact-xs"
                      variant="default"
                      href={exportUrl(
                        tenant,
                        { ...settled, device: deviceId ?? settled.device },
                        format,
                      )}
                    >
                      {format === "csv" ? "Export CSV" : "Export JSON Lines"}
                    </Button>
                  ))}
                </Group>
              </Group>
            </>
          )
        }
      </Loaded>
    </Paper>
  );
}

/** All lines that match, as a file that the browser keeps. */
function exportUrl(tenant: string, filter: Partial<LogFilter>, format: "csv" | "jsonl"): string {
  const rangeMs = Number(filter.range ?? 24 * HOUR);
  const query = new URLSearchParams({ format });
  for (const name of ["words", "level", "device", "q", "trace"] as const) {
    const value = filter[name]?.trim();
    if (value) query.set(name, value);
  }
  if (rangeMs > 0) query.set("from", String(Date.now() - rangeMs));
  return `/api/v1/tenants/${encodeURIComponent(tenant)}/logs/export?${query}`;
}

function NoLines({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? (
    <EmptyState icon={IconFileSearch} title="No line matches">
      Try fewer words, a lower level or a longer time.
    </EmptyState>
  ) : (
    <EmptyState icon={IconFileSearch} title="No line in this time">
      What a device logs appears here within seconds. Try a longer time.
    </EmptyState>
  );
}
