import { Button, Paper, SegmentedControl, Text } from "@mantine/core";
import { IconBellCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { type AlertView, alertsQuery, api } from "../api/index.ts";
import { SeverityBadge } from "../components/badges.tsx";
import { DataTable } from "../components/data-table.tsx";
import { Link } from "../components/link.tsx";
import { Page } from "../components/page.tsx";
import { EmptyState, Loaded } from "../components/states.tsx";
import { TimeAgo } from "../components/time-ago.tsx";
import { useAction } from "../components/use-action.ts";
import { useMay, useTenantId } from "../shell/use-tenant.ts";

type State = AlertView["state"];

const STATES: { value: State; label: string }[] = [
  { value: "open", label: "Open" },
  { value: "acknowledged", label: "Acknowledged" },
  { value: "resolved", label: "Resolved" },
];

export function AlertsPage() {
  const tenant = useTenantId();
  const search = useSearch({ from: "/signed-in/t/$tenant/alerts" });
  const state = STATES.find(({ value }) => value === search.state)?.value ?? "open";
  const navigate = useNavigate({ from: "/t/$tenant/alerts" });
  const alerts = useQuery(alertsQuery(tenant, state));
  return (
    <Page
      title="Alerts"
      actions={
        <SegmentedControl
          aria-label="State"
          data={STATES}
          value={state}
          onChange={(next) => void navigate({ search: { state: next } })}
        />
      }
    >
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={alerts}>
          {({ items }) =>
            items.length === 0 ? (
              <EmptyState icon={IconBellCheck} title={`No ${state} alert`}>
                {state === "open"
                  ? "All is quiet. Rollouts that pause, devices that fall silent and odd measurements show up here."
                  : "Nothing here."}
              </EmptyState>
            ) : (
              <DataTable
                caption={`${state} alerts`}
                rows={items}
                rowId={(alert) => alert.id}
                columns={[
                  {
                    id: "severity",
                    header: "Severity",
                    width: 110,
                    cell: (alert) => <SeverityBadge severity={alert.severity} />,
                  },
                  {
                    id: "title",
                    header: "Alert",
                    cell: (alert) => (
                      <>
                        <Text size="sm" fw={550}>
                          {alert.title}
                        </Text>
                        <Text size="xs" c="dimmed" component="div">
                          {alert.kind} · <Subject alert={alert} tenant={tenant} />
                          {alert.occurrences > 1 && ` · ${alert.occurrences} times`}
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
                    cell: (alert) => <AlertState alert={alert} />,
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Paper>
    </Page>
  );
}

function Subject({ alert, tenant }: { alert: AlertView; tenant: string }): ReactNode {
  const { subjectKind, subjectId } = alert;
  if (subjectKind === "device") {
    return (
      <Link to="/t/$tenant/devices/$device" params={{ tenant, device: subjectId }}>
        {subjectId}
      </Link>
    );
  }
  if (subjectKind === "rollout") {
    return (
      <Link to="/t/$tenant/rollouts/$rollout" params={{ tenant, rollout: subjectId }}>
        the rollout
      </Link>
    );
  }
  return `${subjectKind} ${subjectId}`;
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
