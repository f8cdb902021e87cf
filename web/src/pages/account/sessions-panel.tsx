import { Badge, Button, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { api, ownSessionsQuery } from "../../api/index.ts";
import { DataTable } from "../../components/data-table.tsx";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { deviceName, methodName } from "./names.ts";

/** Where the person is signed in, and the end of it. */
export function SessionsPanel() {
  const sessions = useQuery(ownSessionsQuery);
  const { queryKey } = ownSessionsQuery;
  const end = useAction({
    run: (id: string) => api.endSession(id),
    done: () => "That session has ended",
    refresh: queryKey,
  });
  const endOthers = useAction({
    run: () => api.endOtherSessions(),
    done: ({ ended }) =>
      ended === 1 ? "One other session has ended" : `${ended} other sessions have ended`,
    refresh: queryKey,
  });
  const hasOthers = (sessions.data?.items.length ?? 0) > 1;
  return (
    <Panel
      title="Where you are signed in"
      flush
      actions={
        hasOthers ? (
          <Button
            size="compact-sm"
            variant="light"
            color="red"
            loading={endOthers.isPending}
            onClick={() => endOthers.mutate()}
          >
            End all others
          </Button>
        ) : undefined
      }
    >
      <Loaded query={sessions}>
        {({ items }) => (
          <DataTable
            caption="Your sessions"
            rows={items}
            rowId={(session) => session.id}
            columns={[
              {
                id: "device",
                header: "Browser",
                cell: (session) => (
                  <Group gap="xs" wrap="nowrap">
                    <Text size="sm" fw={550}>
                      {deviceName(session.userAgent)}
                    </Text>
                    {session.isCurrent && (
                      <Badge size="sm" variant="light" color="moss">
                        This one
                      </Badge>
                    )}
                  </Group>
                ),
              },
              {
                id: "method",
                header: "By",
                visibleFrom: "sm",
                cell: (session) => methodName(session.method, session.provider),
              },
              {
                id: "address",
                header: "Address",
                visibleFrom: "sm",
                cell: (session) => session.address ?? "unknown",
              },
              {
                id: "used",
                header: "Last used",
                cell: (session) => <TimeAgo time={session.lastUsedAt} />,
              },
              {
                id: "since",
                header: "Since",
                visibleFrom: "md",
                cell: (session) => <TimeAgo time={session.createdAt} />,
              },
              {
                id: "actions",
                header: "",
                align: "right",
                cell: (session) =>
                  session.isCurrent ? null : (
                    <Button
                      size="compact-sm"
                      variant="light"
                      color="red"
                      loading={end.isPending && end.variables === session.id}
                      onClick={() => end.mutate(session.id)}
                    >
                      End
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}
