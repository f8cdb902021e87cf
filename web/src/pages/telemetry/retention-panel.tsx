import { ActionIcon, Button, Group, Stack, Text } from "@mantine/core";
import { IconPencil, IconPlus, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  type KeptDays,
  type RetentionRule,
  retentionQuery,
  type TelemetryRetention,
  telemetryApi,
} from "../../api/index.ts";
import { DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { RetentionDialog } from "./retention-dialog.tsx";

/** How long points and rollups are kept, by metric. */
export function RetentionPanel() {
  const found = useQuery(retentionQuery(useTenantId()));
  return <Loaded query={found}>{(retention) => <Found retention={retention} />}</Loaded>;
}

type Row = { pattern: string | null } & KeptDays;

function Found({ retention }: { retention: TelemetryRetention }) {
  const tenant = useTenantId();
  const mayChange = useMay()("administer");
  const [edited, setEdited] = useState<RetentionRule | "new">();
  const save = useAction({
    run: (rules: RetentionRule[]) => telemetryApi.setRetention(tenant, { rules }),
    done: () => "The rules are in force",
    refresh: ["tenant", tenant, "telemetry"],
    onDone: () => setEdited(undefined),
  });
  const rows: Row[] = [...retention.rules, { pattern: null, ...retention.all }];
  const days = (name: keyof KeptDays, header: string) => ({
    id: name,
    header,
    align: "right" as const,
    cell: (row: Row) => `${row[name]} d`,
  });
  const remove = (pattern: string) =>
    save.mutate(retention.rules.filter((rule) => rule.pattern !== pattern));
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={760}>
        The first rule whose pattern fits a metric counts; * stands for any text. What is older is
        not shown from the moment on, and removed by whole days (UTC) within the hour. A device that
        brings older values is told so. Charts of long ago are made of the rollups that are kept.
      </Text>
      <Panel
        flush
        title="Kept for"
        actions={
          mayChange && (
            <Button
              size="xs"
              leftSection={<IconPlus size={14} aria-hidden />}
              onClick={() => setEdited("new")}
            >
              Add a rule
            </Button>
          )
        }
      >
        <DataTable
          caption="Rules of retention, in the order in which they are tried"
          rows={rows}
          rowId={({ pattern }) => pattern ?? ""}
          columns={[
            {
              id: "pattern",
              header: "Metrics",
              cell: ({ pattern, hours, days: ofDays }) => (
                <>
                  {pattern === null ? (
                    <Text span inherit c="dimmed">
                      all others
                    </Text>
                  ) : (
                    <Text span inherit className="mono">
                      {pattern}
                    </Text>
                  )}
                  <Text size="xs" c="dimmed" hiddenFrom="sm">
                    by hour {hours} d, by day {ofDays} d
                  </Text>
                </>
              ),
            },
            days("points", "Points"),
            days("minutes", "By minute"),
            { ...days("hours", "By hour"), visibleFrom: "sm" },
            { ...days("days", "By day"), visibleFrom: "sm" },
            {
              id: "act",
              header: "",
              align: "right",
              cell: ({ pattern, ...kept }) =>
                mayChange &&
                (pattern === null ? (
                  <Link to="/t/$tenant/settings" params={{ tenant }} size="sm">
                    Settings
                  </Link>
                ) : (
                  <Group gap={4} justify="flex-end" wrap="nowrap">
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      aria-label={`Change ${pattern}`}
                      onClick={() => setEdited({ pattern, ...kept })}
                    >
                      <IconPencil size={16} aria-hidden />
                    </ActionIcon>
                    <ActionIcon
                      variant="subtle"
                      color="red"
                      aria-label={`Remove ${pattern}`}
                      onClick={() => remove(pattern)}
                    >
                      <IconTrash size={16} aria-hidden />
                    </ActionIcon>
                  </Group>
                )),
            },
          ]}
        />
      </Panel>
      {edited && (
        <RetentionDialog
          rule={edited === "new" ? undefined : edited}
          retention={retention}
          isSaving={save.isPending}
          onSave={(rules) => save.mutate(rules)}
          onClose={() => setEdited(undefined)}
        />
      )}
    </Stack>
  );
}
