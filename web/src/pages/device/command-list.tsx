import { Button, Paper, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTerminal2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type CommandView, deviceCommandsQuery } from "../../api/index.ts";
import { CommandBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CommandAnswer } from "./command-answer.tsx";
import { CancelCommand, CommandDetails } from "./command-details.tsx";
import { SendCommand } from "./send-command.tsx";

/** What was asked of the device and what it answered. */
export function CommandList({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const may = useMay();
  const commands = useQuery(deviceCommandsQuery(tenant, deviceId));
  const [sending, send] = useDisclosure(false);
  const { command: shown } = useSearch({ from: "/signed-in/t/$tenant/devices/$device" });
  const navigate = useNavigate({ from: "/t/$tenant/devices/$device" });
  const show = (command: string | undefined) =>
    void navigate({ search: { tab: "commands", command }, replace: true, resetScroll: false });
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
                        <Link
                          to="/t/$tenant/devices/$device"
                          params={{ tenant, device: deviceId }}
                          search={{ tab: "commands", command: command.id }}
                          resetScroll={false}
                          fw={550}
                        >
                          {command.name}
                        </Link>
                        <Text size="xs" c="dimmed" className="mono" lineClamp={1} maw={280}>
                          {JSON.stringify(command.args)}
                        </Text>
                      </>
                    ),
                  },
                  {
                    id: "status",
                    header: "Status",
                    cell: ({ status, attempt, maxAttempts, progress }) => (
                      <>
                        <CommandBadge status={status} />
                        <Text size="xs" c="dimmed">
                          {status === "running" && progress !== null
                            ? `${Math.round(progress * 100)} %`
                            : maxAttempts > 1 && `attempt ${attempt} of ${maxAttempts}`}
                        </Text>
                      </>
                    ),
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
      {shown && <CommandDetails id={shown} onOther={show} onClose={() => show(undefined)} />}
      <SendCommand deviceId={deviceId} opened={sending} onClose={send.close} />
    </>
  );
}

function CommandActions({ command }: { command: CommandView }) {
  const tenant = useTenantId();
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
      <CancelCommand command={command} />
    </Stack>
  );
}
