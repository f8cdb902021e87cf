import { Code, Group, Text, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type LogRecord, logContextQuery } from "../../api/index.ts";
import { LevelBadge } from "../../components/badges.tsx";
import { formatExact } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import classes from "./log-lines.module.css";

interface LogLinesProps {
  lines: readonly LogRecord[];
  /** Left out on the page of one device. */
  showDevice: boolean;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

/** Lines of logs, the newest first; a line opens to its attributes. */
export function LogLines({ lines, showDevice }: LogLinesProps) {
  return (
    <div className={classes.lines} role="log">
      {lines.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: equal lines at the same instant are common
        <LogLine key={`${line.ts} ${line.deviceId} ${index}`} line={line} showDevice={showDevice} />
      ))}
    </div>
  );
}

function LogLine({ line, showDevice }: { line: LogRecord; showDevice: boolean }) {
  const tenant = useTenantId();
  const [open, setOpen] = useState(false);
  const [around, setAround] = useState(false);
  return (
    <div className={classes.line} data-level={line.level}>
      <UnstyledButton
        className={classes.summary}
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        <time
          className={classes.time}
          dateTime={new Date(line.ts).toISOString()}
          title={formatExact(line.ts)}
        >
          {CLOCK.format(line.ts)}
        </time>
        <LevelBadge level={line.level} />
        {showDevice && line.deviceId && <span className={classes.device}>{line.deviceId}</span>}
        <span className={classes.message}>{line.message}</span>
      </UnstyledButton>
      {open && (
        <Group gap="md" p="xs" align="flex-start">
          {line.deviceId && (
            <Text size="xs">
              <DeviceLink deviceId={line.deviceId} />
            </Text>
          )}
          {line.logger && (
            <Text size="xs" c="dimmed">
              logger {line.logger}
            </Text>
          )}
          <UnstyledButton onClick={() => setAround(!around)}>
            <Text size="xs" td="underline">
              {around ? "hide its neighbours" : "show its neighbours"}
            </Text>
          </UnstyledButton>
          {line.traceId && (
            <Text size="xs">
              <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace: line.traceId }}>
                whole trace {line.traceId.slice(0, 12)}
              </Link>
            </Text>
          )}
          {Object.keys(line.attributes).length > 0 && (
            <Code block fz="xs" style={{ flexBasis: "100%" }}>
              {JSON.stringify(line.attributes, null, 2)}
            </Code>
          )}
          {around && <Neighbours line={line} />}
        </Group>
      )}
    </div>
  );
}

/** What the same device said just before and after. */
function Neighbours({ line }: { line: LogRecord }) {
  const context = useQuery(logContextQuery(useTenantId(), line));
  return (
    <Code block fz="xs" style={{ flexBasis: "100%" }}>
      {context.data
        ? context.data.items
            .map(({ ts, seq, level, message }) => {
              const mark = ts === line.ts && seq === line.seq ? ">" : " ";
              return `${mark} ${CLOCK.format(ts)} ${level.padEnd(5)} ${message}`;
            })
            .join("\n")
        : "..."}
    </Code>
  );
}
