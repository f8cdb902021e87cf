import { Button, Group, Paper, Select, Switch, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconFileSearch, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { groupsQuery, type LogRecord, logsQuery } from "../../api/index.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { LogLines } from "./log-lines.tsx";
import { SavedSearches, spanOf } from "./saved-searches.tsx";

const LINES = 200;
const HOUR = 3_600_000;
const LEVELS: { value: LogRecord["level"] | ""; label: string }[] = [
  { value: "", label: "Every level" },
  { value: "debug", label: "Debug and up" },
  { value: "info", label: "Info and up" },
  { value: "warn", label: "Warnings and up" },
  { value: "error", label: "Errors and up" },
  { value: "fatal", label: "Fatal only" },
];
const RANGES = [
  { value: String(HOUR / 4), label: "Last 15 minutes" },
  { value: String(HOUR), label: "Last hour" },
  { value: String(24 * HOUR), label: "Last day" },
  { value: String(7 * 24 * HOUR), label: "Last week" },
  { value: "0", label: "Any time" },
];

const FIELD = /^[^=]{1,128}=/;
const NARROWING = [
  ...(["words", "level", "device", "q", "trace", "group", "logger", "field"] as const),
];

export interface LogFilter {
  words?: string;
  level?: string;
  device?: string;
  trace?: string;
  range?: string;
  /** A fleet query: lines of the devices that it finds. */
  q?: string;
  /** A saved group of devices. */
  group?: string;
  logger?: string;
  /** An attribute and its value: `http.status=503`. */
  field?: string;
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
  const [more, setMore] = useState(Boolean(filter.group || filter.logger || filter.field));
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
        group: settled.group || undefined,
        logger: settled.logger?.trim() || undefined,
        field: FIELD.test(settled.field ?? "") ? settled.field : undefined,
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
              placeholder="Fleet query"
              classNames={{ input: "mono" }}
              value={filter.q ?? ""}
              onChange={(event) => change({ q: event.currentTarget.value })}
            />
            <TextInput
              flex="1 1 170px"
              aria-label="Trace"
              placeholder="Trace id"
              classNames={{ input: "mono" }}
              value={filter.trace ?? ""}
              onChange={(event) => change({ trace: event.currentTarget.value.trim() })}
            />
          </>
        )}
        <Select
          w={165}
          aria-label="Time"
          data={rangesWith(filter.range)}
          value={filter.range ?? String(24 * HOUR)}
          allowDeselect={false}
          onChange={(range) => change({ range: range ?? "" })}
        />
        {!deviceId && (
          <Button
            variant={more ? "light" : "default"}
            aria-expanded={more}
            onClick={() => setMore(!more)}
          >
            More
          </Button>
        )}
        {!deviceId && <SavedSearches filter={filter} onChoose={change} />}
        <Switch
          label="Live"
          checked={tail}
          pb={8}
          onChange={(event) => setTail(event.currentTarget.checked)}
        />
      </Group>
      {more && !deviceId && <MoreFilters filter={filter} onChange={change} />}
      <Loaded query={logs}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <NoLines isFiltered={NARROWING.some((name) => filter[name])} />
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

/** Also a range that only a saved search has. */
function rangesWith(range: string | undefined) {
  if (range === undefined || RANGES.some(({ value }) => value === range)) return RANGES;
  return [...RANGES, { value: range, label: `Last ${spanOf(Number(range) / 1_000)}` }];
}

function MoreFilters(props: { filter: LogFilter; onChange: (part: LogFilter) => void }) {
  const { filter, onChange } = props;
  const groups = useQuery(groupsQuery(useTenantId()));
  return (
    <Group px="md" pb="md" gap="sm" align="flex-end">
      <Select
        flex="1 1 170px"
        label="Group"
        placeholder="Every device"
        clearable
        searchable
        data={(groups.data?.items ?? []).map(({ name }) => name)}
        value={filter.group || null}
        onChange={(group) => onChange({ group: group ?? "" })}
      />
      <TextInput
        flex="1 1 150px"
        label="Logger"
        placeholder="Such as a program's part"
        value={filter.logger ?? ""}
        onChange={(event) => onChange({ logger: event.currentTarget.value })}
      />
      <TextInput
        flex="2 1 220px"
        label="Attribute"
        placeholder="http.status=503"
        classNames={{ input: "mono" }}
        value={filter.field ?? ""}
        error={filter.field && !FIELD.test(filter.field) ? "name=value" : undefined}
        onChange={(event) => onChange({ field: event.currentTarget.value })}
      />
    </Group>
  );
}

/** All lines that match, as a file that the browser keeps. */
function exportUrl(tenant: string, filter: Partial<LogFilter>, format: "csv" | "jsonl"): string {
  const rangeMs = Number(filter.range ?? 24 * HOUR);
  const query = new URLSearchParams({ format });
  for (const name of NARROWING) {
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
