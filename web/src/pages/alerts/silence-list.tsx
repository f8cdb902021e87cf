import { Badge, Button, Group, Text } from "@mantine/core";
import { IconBellOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type SilenceView, silencesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SettingsList } from "../settings/secret-list.tsx";
import { SilenceDialog } from "./silence-dialog.tsx";

export function SilenceList() {
  const tenant = useTenantId();
  const may = useMay();
  const silences = useQuery(silencesQuery(tenant));
  const [creating, setCreating] = useState(false);
  const expire = useAction({
    run: (silence: SilenceView) => api.expireSilence(tenant, silence.id),
    done: () => "The silence is ended",
    refresh: ["tenant", tenant, "alerts"],
  });
  return (
    <SettingsList
      explanation="While a silence is active, nobody is told of the alerts that it fits. They are still seen here."
      addLabel="New silence"
      onAdd={may("operate") ? () => setCreating(true) : undefined}
    >
      <Loaded query={silences}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconBellOff} title="No silence">
              Everybody hears everything. Before works on a site, silence it.
            </EmptyState>
          ) : (
            <DataTable
              caption="Silences"
              rows={items}
              rowId={(silence) => silence.id}
              columns={[
                {
                  id: "matchers",
                  header: "Fits",
                  cell: ({ matchers, comment, createdBy, endsAt }) => (
                    <>
                      <Group gap={4}>
                        {matchers.map((matcher) => (
                          <Badge key={matcher} variant="default" radius="sm" tt="none" fw={450}>
                            {matcher}
                          </Badge>
                        ))}
                      </Group>
                      <Text size="xs" c="dimmed" mt={4}>
                        {comment} ({createdBy})
                      </Text>
                      <Text size="xs" c="dimmed" hiddenFrom="sm">
                        ends <TimeAgo time={endsAt} />
                      </Text>
                    </>
                  ),
                },
                {
                  id: "state",
                  header: "State",
                  cell: ({ state }) => (
                    <ToneBadge tone={state === "active" ? "late" : "idle"} label={state} />
                  ),
                },
                {
                  id: "ends",
                  header: "Ends",
                  visibleFrom: "sm",
                  cell: ({ endsAt }) => <TimeAgo time={endsAt} />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (silence) =>
                    may("operate") ? (
                      <Button
                        size="compact-sm"
                        variant="default"
                        onClick={() => expire.mutate(silence)}
                      >
                        End it
                      </Button>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {creating && <SilenceDialog matchers={[]} onClose={() => setCreating(false)} />}
    </SettingsList>
  );
}
