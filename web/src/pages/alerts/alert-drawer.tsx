import { Badge, Button, Code, Drawer, Group, Stack, Text, Timeline, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type AlertView, alertQuery, api } from "../../api/index.ts";
import { SeverityBadge } from "../../components/badges.tsx";
import { formatFigure } from "../../components/format.ts";
import { Fact } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { AnomalyFinding, findingOf } from "./anomaly-finding.tsx";
import { SilenceDialog } from "./silence-dialog.tsx";
import { Subject } from "./subject.tsx";

/** One alert with all that is known of it, and what one can do about it. */
export function AlertDrawer({ id, onClose }: { id: string | undefined; onClose: () => void }) {
  return (
    <Drawer opened={id !== undefined} onClose={onClose} position="right" size="lg" title="Alert">
      {id !== undefined && <Details id={id} />}
    </Drawer>
  );
}

function Details({ id }: { id: string }) {
  const tenant = useTenantId();
  const query = useQuery(alertQuery(tenant, id));
  return (
    <Loaded query={query}>
      {({ alert, history }) => (
        <Stack gap="lg">
          <Stack gap="xs">
            <SeverityBadge severity={alert.severity} />
            <Title order={2} fz="lg" style={{ overflowWrap: "anywhere" }}>
              {alert.title}
            </Title>
            <Actions alert={alert} />
          </Stack>
          <div>
            <Fact label="State">
              {alert.state}
              {alert.mutedBy && `, nobody is told (${alert.mutedBy.by})`}
            </Fact>
            <Fact label="About">
              <Subject alert={alert} tenant={tenant} />
            </Fact>
            <Fact label="Opened">
              <TimeAgo time={alert.openedAt} />
            </Fact>
            <Fact label="Occurred">
              {alert.occurrences === 1 ? "once" : `${alert.occurrences} times`}
            </Fact>
            {Object.entries(alert.annotations).map(([name, text]) => (
              <Fact key={name} label={name}>
                {text}
              </Fact>
            ))}
          </div>
          <Group gap={4}>
            {Object.entries(alert.labels).map(([label, value]) => (
              <Badge key={label} variant="default" radius="sm" tt="none" fw={450}>
                {label}={value}
              </Badge>
            ))}
          </Group>
          <Finding alert={alert} />
          <Stack gap="xs">
            <Title order={3} fz="md">
              History
            </Title>
            <Timeline bulletSize={12} lineWidth={2} active={history.length}>
              {history.map(({ at, what, who, details }) => (
                <Timeline.Item key={`${at} ${what}`} title={what}>
                  <Text size="xs" c="dimmed">
                    <TimeAgo time={at} />
                    {who && ` by ${who}`}
                    {toldOf(details)}
                  </Text>
                </Timeline.Item>
              ))}
            </Timeline>
          </Stack>
        </Stack>
      )}
    </Loaded>
  );
}

/** What the detectors found as a chart; what anything else knows as it says it. */
function Finding({ alert }: { alert: AlertView }) {
  const finding = findingOf(alert);
  if (finding) return <AnomalyFinding key={alert.id} alert={alert} finding={finding} />;
  const isPlain = (value: unknown) => typeof value !== "object" || value === null;
  // A part that holds only plain values, such as a rule's condition, is read like them.
  const details = Object.entries(alert.details).flatMap(([name, value]): [string, unknown][] => {
    if (isPlain(value) || Array.isArray(value)) return [[name, value]];
    const parts = Object.entries(value as object);
    return parts.every(([, part]) => isPlain(part)) ? parts : [[name, value]];
  });
  const nested = details.filter(([, value]) => !isPlain(value));
  const told = details.filter(([, value]) => isPlain(value) && value !== false);
  return (
    <Stack gap="xs">
      <div>
        {told.map(([name, value], at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: two parts may have a value of one name
          <Fact key={`${name} ${at}`} label={wordsOf(name)}>
            {plainText(name, value)}
          </Fact>
        ))}
      </div>
      {nested.length > 0 && (
        <Code block tabIndex={0} style={{ maxHeight: 240, overflow: "auto" }}>
          {JSON.stringify(Object.fromEntries(nested), null, 2)}
        </Code>
      )}
    </Stack>
  );
}

/** `peerRestarts` as "peer restarts". */
function wordsOf(name: string): string {
  if (name === "ts") return "at";
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}/;

function plainText(name: string, value: unknown): string {
  if (typeof value === "string" && MOMENT.test(value)) {
    return new Date(value).toLocaleString("en-GB");
  }
  if (typeof value !== "number") return String(value ?? "-");
  // Among details every moment that is a number is called so.
  return name === "ts" ? new Date(value).toLocaleString("en-GB") : formatFigure(value);
}

function toldOf(details: Record<string, unknown>): string {
  if (!Array.isArray(details.channels)) return "";
  const queued = Number(details.queued ?? 0);
  if (queued === 0) return ", no channel took it";
  const names = details.channels.join(", ");
  return queued === details.channels.length ? ` to ${names}` : ` to ${queued} of: ${names}`;
}

function Actions({ alert }: { alert: AlertView }) {
  const tenant = useTenantId();
  const may = useMay();
  const [silencing, setSilencing] = useState(false);
  const refresh = ["tenant", tenant];
  const acknowledge = useAction({
    run: () => api.acknowledgeAlert(tenant, alert.id),
    done: () => "Acknowledged",
    refresh,
  });
  const resolve = useAction({
    run: () => api.resolveAlert(tenant, alert.id),
    done: () => "Resolved",
    refresh,
  });
  if (!may("operate") || alert.state === "resolved") return null;
  return (
    <Group gap="xs">
      {alert.state === "open" && (
        <Button size="xs" loading={acknowledge.isPending} onClick={() => acknowledge.mutate()}>
          Acknowledge
        </Button>
      )}
      <Button
        size="xs"
        variant="default"
        loading={resolve.isPending}
        onClick={() => resolve.mutate()}
      >
        Resolve
      </Button>
      <Button size="xs" variant="default" onClick={() => setSilencing(true)}>
        Silence
      </Button>
      {silencing && (
        <SilenceDialog matchers={matchersOf(alert)} onClose={() => setSilencing(false)} />
      )}
    </Group>
  );
}

/** What would keep this alert quiet, and others of its kind about the same thing. */
function matchersOf({ labels }: AlertView): string[] {
  const { kind, rule, subjectId } = labels;
  const what = rule ? `rule="${rule}"` : `kind="${kind}"`;
  return [what, ...(subjectId ? [`subjectId="${subjectId}"`] : [])];
}
