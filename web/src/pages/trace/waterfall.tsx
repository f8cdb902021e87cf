import { Code, Group, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import type { Trace } from "../../api/index.ts";
import { formatDuration } from "../../components/format.ts";
import { DeviceLink } from "../../shell/device-link.tsx";
import { levelTone, toneFill } from "../../theme/tones.ts";
import { extentOf, rowsOf, type TraceRow } from "./trace-rows.ts";
import classes from "./waterfall.module.css";

const ROWS_AT_MOST = 1_000;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const SERVICE_COLORS = ["fjord", "indigo", "grape", "teal", "pink", "cyan"];

/** Spans and log lines on one time axis. */
export function Waterfall({ trace }: { trace: Trace }) {
  const { start, end } = extentOf(trace);
  const rows = rowsOf(trace).slice(0, ROWS_AT_MOST);
  const services = [...new Set(trace.spans.map(({ service }) => service))];
  const place = (time: number) => ((time - start) / (end - start)) * 100;
  return (
    <div className={classes.table}>
      <div className={classes.axis} aria-hidden>
        <span />
        <div className={classes.track}>
          {TICKS.map((share) => (
            <span key={share} style={{ insetInlineStart: `${share * 100}%` }} data-share={share}>
              {formatDuration((end - start) * share)}
            </span>
          ))}
        </div>
      </div>
      {rows.map((row, index) =>
        row.kind === "span" ? (
          <SpanRow
            key={row.span.spanId}
            row={row}
            color={SERVICE_COLORS[services.indexOf(row.span.service) % SERVICE_COLORS.length] ?? ""}
            left={place(row.span.startMs)}
            width={place(row.span.startMs + row.span.durationMs) - place(row.span.startMs)}
          />
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: equal lines at the same instant are common
          <LogRow key={`${row.at} ${index}`} row={row} left={place(row.at)} />
        ),
      )}
    </div>
  );
}

interface SpanRowProps {
  row: TraceRow & { kind: "span" };
  color: string;
  left: number;
  width: number;
}

function SpanRow({ row, color, left, width }: SpanRowProps) {
  const { span, depth } = row;
  const [open, setOpen] = useState(false);
  const failed = span.status === "error";
  const background = failed ? toneFill("bad") : `var(--mantine-color-${color}-5)`;
  return (
    <>
      <UnstyledButton className={classes.row} aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className={classes.name} style={{ paddingInlineStart: depth * 14 }}>
          <Text span size="sm" fw={500}>
            {span.name}
          </Text>
          <Text span size="xs" c={failed ? "var(--vautn-bad-text)" : "dimmed"}>
            {span.service} · {formatDuration(span.durationMs)}
          </Text>
        </span>
        <span className={classes.track}>
          <span
            className={classes.bar}
            style={{ insetInlineStart: `${left}%`, width: `max(${width}%, 3px)`, background }}
          />
        </span>
      </UnstyledButton>
      {open && (
        <Code block fz="xs">
          {JSON.stringify(
            { spanId: span.spanId, status: span.status, ...span.attributes },
            null,
            2,
          )}
        </Code>
      )}
    </>
  );
}

function LogRow({ row, left }: { row: TraceRow & { kind: "log" }; left: number }) {
  const { log } = row;
  return (
    <div className={classes.row}>
      <Group className={classes.name} gap={6} wrap="nowrap" style={{ flexDirection: "row" }}>
        <span className={classes.dot} style={{ background: toneFill(levelTone(log.level)) }} />
        <Text span size="xs" className="mono clip" title={log.message}>
          {log.deviceId && (
            <>
              <DeviceLink deviceId={log.deviceId} underline="always" />{" "}
            </>
          )}
          {log.message}
        </Text>
      </Group>
      <span className={classes.track}>
        <Tooltip label={`${log.level}: ${log.message}`} maw={420}>
          <span
            className={classes.mark}
            style={{ insetInlineStart: `${left}%`, background: toneFill(levelTone(log.level)) }}
          />
        </Tooltip>
      </span>
    </div>
  );
}
