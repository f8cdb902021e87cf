import { Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { deviceRotationQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { humanize, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** How far the device's last rotation is, and what went wrong. */
export function DeviceRotation({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const rotation = useQuery(deviceRotationQuery(tenant, deviceId));
  return (
    <Loaded query={rotation}>
      {({ state, failures }) => {
        if (!state) return null;
        const isDone = state.step === "done";
        return (
          <Panel title="Last rotation" flush={failures.length > 0}>
            <Stack gap="sm" px={failures.length > 0 ? "md" : 0} pb={failures.length > 0 ? "sm" : 0}>
              <Group gap="sm">
                <ToneBadge
                  tone={isDone ? "ok" : state.failures > 0 ? "late" : "busy"}
                  label={humanize(state.step)}
                />
                <Text size="sm" c="dimmed">
                  begun <TimeAgo time={state.startedAt} />, last heard of{" "}
                  <TimeAgo time={state.updatedAt} />
                  {state.failures > 0 && `, ${plural(state.failures, "failure")}`}
                </Text>
              </Group>
            </Stack>
            {failures.length > 0 && (
              <DataTable
                caption="What went wrong"
                rows={failures}
                rowId={(failure) => `${failure.at} ${failure.step}`}
                columns={[
                  { id: "at", header: "When", cell: (it) => <TimeAgo time={it.at} /> },
                  { id: "step", header: "Step", cell: (it) => humanize(it.step) },
                  { id: "element", header: "Where", visibleFrom: "sm", cell: (it) => it.element },
                  { id: "message", header: "What it says", cell: (it) => it.message },
                ]}
              />
            )}
          </Panel>
        );
      }}
    </Loaded>
  );
}
