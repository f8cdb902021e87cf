import { Button, Code, Paper, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTerminal2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, type CommandView, deviceCommandsQuery } from "../../api/index.ts";
import { CommandBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SendCommand } from "./send-command.tsx";

/** What was asked of the device and what it answered. */
export function CommandList({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const may = useMay();
  const commands = useQuery(deviceCommandsQuery(tenant, deviceId));
  const [sending, send] = useDisclosure(false);
  return (
    <>
      <Loaded query={commands}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconTerminal2} title="No commands yet">
              A command waits for the device while it is offline, and expires when it is late.
              {may("operate") && (
                <div>
                  <Button mt="md" variant="default" onClick={send.open}>
                    Send the first one
                  </Button>
                </div>
              )}
            </EmptyState>
          ) : (
            <Paper style={{ overflow: "hidden" }}>
              <DataTable
                caption="Commands"
                rows={items}
                rowId={(command) => command.id}
                columns={[
                  {
                    id: "name",
                    header: "Command",
                    cell: (command) => (
                      <>
                        <Text size="sm" fw={550}>
                          {command.name}
                        </Text>
                        <Text size="xs" c="dimmed" className="mono" lineClamp={1} maw={280}>
                          {JSON.stringify(command.args)}
                        </Text>
                      </>
                    ),
                  },
                  {
                    id: "status",
                    header: "Status",
                    cell: (command) => <CommandBadge status={command.status} />,
                  },
                  {
                    id: "answer",
                    header: "Answer",
                    visibleFrom: "sm",
                    cell: (command) => <CommandAnswer command={command} />,
                  },
                  {
                    id: "sent",
                    header: "Sent",
                    visibleFrom: "sm",
                    cell: (command) => (
                      <>
                        <TimeAgo time={command.createdAt} />
                        <Text size="xs" c="dimmed">
                          by {command.createdBy}
                        </Text>
                      </>
                    ),
                  },
                  {
                    id: "actions",
                    header: "",
                    align: "right",
                    cell: (command) => <CommandActions command={command} />,
                  },
                ]}
              />
            </Paper>
          )
        }
      </Loaded>
      <SendCommand deviceId={deviceId} opened={sending} onClose={send.close} />
    </>
  );
}

/** Characters of an answer that is shown in one line. */
const SHORT_ANSWER = 60;

export function CommandAnswer({ command }: { command: CommandView }) {
  if (command.error) {
    return (
      <Text size="sm" c="var(--vautn-bad)">
        {command.error}
      </Text>
    );
  }
  if (command.output === null || command.output === undefined) return <Text c="dimmed">–</Text>;
  const { output } = command;
  const short = typeof output === "string" ? output : JSON.stringify(output);
  // A list of many answers is read line by line: what fits one line gets no more.
  if (short.length <= SHORT_ANSWER && !short.includes("\n")) return <Code>{short}</Code>;
  const text = typeof output === "string" ? output : JSON.stringify(output, null, 2);
  return (
    <Code block mah={160} style={{ overflow: "auto" }}>
      {text}
    </Code>
  );
}

function CommandActions({ command }: { command: CommandView }) {
  const tenant = useTenantId();
  const may = useMay();
  const cancel = useAction({
    run: () => api.cancelCommand(tenant, command.id),
    done: () => "The command was cancelled",
    refresh: ["tenant", tenant, "device", command.deviceId],
  });
  const trace = command.traceparent?.split("-")[1];
  return (
    <Stack gap={2} align="flex-end">
      {trace && (
        <Text size="xs">
          <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace }}>
            trace
          </Link>
        </Text>
      )}
      {["queued", "delivered"].includes(command.status) && may("operate") && (
        <Button
          size="compact-xs"
          variant="default"
          loading={cancel.isPending}
          onClick={() => cancel.mutate()}
        >
          Cancel
        </Button>
      )}
    </Stack>
  );
}
