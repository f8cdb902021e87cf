import {
  Box,
  Button,
  Group,
  Paper,
  SegmentedControl,
  Select,
  Tabs,
  Text,
  UnstyledButton,
} from "@mantine/core";
import { IconBellCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type AlertView, alertsQuery, api } from "../../api/index.ts";
import { SeverityBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Page } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { AlertDrawer } from "./alert-drawer.tsx";
import { AnomalyList } from "./anomaly-list.tsx";
import { ChannelList } from "./channel-list.tsx";
import { RuleList } from "./rule-list.tsx";
import { SilenceList } from "./silence-list.tsx";
import { Subject } from "./subject.tsx";

type State = AlertView["state"];

const STATES: { value: State; label: string }[] = [
  { value: "open", label: "Open" },
  { value: "acknowledged", label: "Acknowledged" },
  { value: "resolved", label: "Resolved" },
];

const TABS = [
  { value: "alerts", label: "Alerts" },
  { value: "rules", label: "Rules" },
  { value: "anomalies", label: "Anomalies" },
  { value: "silences", label: "Silences" },
  { value: "channels", label: "Channels" },
] as const;

const SEVERITIES: AlertView["severity"][] = ["critical", "warning", "info"];

/** What is wrong, what raises it, who is told, and what is kept quiet. */
export function AlertsPage() {
  const search = useSearch({ from: "/signed-in/t/$tenant/alerts" });
  const navigate = useNavigate({ from: "/t/$tenant/alerts" });
  const tab = TABS.find(({ value }) => value === search.tab)?.value ?? "alerts";
  return (
    <Page title="Alerts">
      <Tabs
        value={tab}
        onChange={(next) =>
          void navigate({ search: next === "alerts" || !next ? {} : { tab: next } })
        }
      >
        <Tabs.List>
          {TABS.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </Tabs>
      {tab === "alerts" && <AlertList />}
      {tab === "rules" && <RuleList />}
      {tab === "anomalies" && <AnomalyList />}
      {tab === "silences" && <SilenceList />}
      {tab === "channels" && <ChannelList />}
    </Page>
  );
}

function AlertList() {
  const tenant = useTenantId();
  const search = useSearch({ from: "/signed-in/t/$tenant/alerts" });
  const navigate = useNavigate({ from: "/t/$tenant/alerts" });
  const state = STATES.find(({ value }) => value === search.state)?.value ?? "open";
  const severity = SEVERITIES.find((value) => value === search.severity);
  const alerts = useQuery(alertsQuery(tenant, state, severity));
  const show = (alert: string | undefined) =>
    void navigate({ search: ({ alert: _, ...rest }) => (alert ? { ...rest, alert } : rest) });
  return (
    <>
      <Group gap="sm">
        <SegmentedControl
          aria-label="State"
          data={STATES}
          value={state}
          onChange={(next) => void navigate({ search: (rest) => ({ ...rest, state: next }) })}
        />
        <Select
          aria-label="Severity"
          placeholder="Every severity"
          clearable
          w={170}
          data={SEVERITIES}
          value={severity ?? null}
          onChange={(next) =>
            void navigate({
              search: ({ severity: _, ...rest }) => (next ? { ...rest, severity: next } : rest),
            })
          }
        />
      </Group>
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={alerts}>
          {({ items }) =>
            items.length === 0 ? (
              <EmptyState icon={IconBellCheck} title={`No ${state} alert`}>
                {state === "open"
                  ? "All is quiet. Rollouts that pause, devices that fall silent, odd measurements and whatever your rules look for show up here."
                  : "Nothing here."}
              </EmptyState>
            ) : (
              <DataTable
                caption={`${state} alerts`}
                rows={items}
                rowId={(alert) => alert.id}
                columns={columns(tenant, show)}
              />
            )
          }
        </Loaded>
      </Paper>
      <AlertDrawer id={search.alert} onClose={() => show(undefined)} />
    </>
  );
}

function columns(
  tenant: string,
  show: (alert: string) => void,
): Parameters<typeof DataTable<AlertView>>[0]["columns"] {
  return [
    {
      id: "severity",
      header: "Severity",
      width: 110,
      visibleFrom: "sm",
      cell: (alert) => <SeverityBadge severity={alert.severity} />,
    },
    {
      id: "title",
      header: "Alert",
      cell: (alert) => (
        <>
          <Box hiddenFrom="sm" mb={4}>
            <SeverityBadge severity={alert.severity} />
          </Box>
          <UnstyledButton onClick={() => show(alert.id)} style={{ overflowWrap: "anywhere" }}>
            <Text size="sm" fw={550} component="span">
              {alert.title}
            </Text>
          </UnstyledButton>
          <Text size="xs" c="dimmed" component="div">
            {alert.labels.rule ? `rule ${alert.labels.rule}` : alert.kind} ·{" "}
            <Subject alert={alert} tenant={tenant} />
            {alert.occurrences > 1 && ` · ${alert.occurrences} times`}
            {alert.mutedBy && ` · nobody is told: ${alert.mutedBy.by}`}
          </Text>
        </>
      ),
    },
    {
      id: "opened",
      header: "Opened",
      visibleFrom: "sm",
      cell: (alert) => <TimeAgo time={alert.openedAt} />,
    },
    {
      id: "seen",
      header: "Last seen",
      visibleFrom: "md",
      cell: (alert) => <TimeAgo time={alert.lastSeenAt} />,
    },
    {
      id: "state",
      header: "",
      align: "right",
      // Where it is narrow the alert itself has it.
      visibleFrom: "sm",
      cell: (alert) => <AlertState alert={alert} />,
    },
  ];
}

function AlertState({ alert }: { alert: AlertView }) {
  const tenant = useTenantId();
  const may = useMay();
  const acknowledge = useAction({
    run: () => api.acknowledgeAlert(tenant, alert.id),
    done: () => "Acknowledged",
    refresh: ["tenant", tenant],
  });
  if (alert.state === "open") {
    return may("operate") ? (
      <Button
        size="compact-sm"
        variant="default"
        loading={acknowledge.isPending}
        onClick={() => acknowledge.mutate()}
      >
        Acknowledge
      </Button>
    ) : null;
  }
  return (
    <Text size="xs" c="dimmed">
      {alert.state === "acknowledged" ? `by ${alert.acknowledgedBy ?? "?"} ` : "resolved "}
      <TimeAgo time={alert.state === "acknowledged" ? alert.acknowledgedAt : alert.resolvedAt} />
    </Text>
  );
}
