import { Box, Button, Code, Group, Modal, Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { api, type CommandView, commandQuery } from "../../api/index.ts";
import { CommandBadge } from "../../components/badges.tsx";
import { Link } from "../../components/link.tsx";
import { Fact } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CommandAnswer } from "./command-answer.tsx";

/** Steps on the way to an end, and how much of the bar each has filled. */
const STEPS: Partial<Record<CommandView["status"], number>> = {
  waiting: 4,
  queued: 10,
  delivered: 30,
  accepted: 45,
  running: 60,
};

interface DetailsProps {
  id: string;
  /** Shows another command: the next attempt, or what has taken its place. */
  onOther: (id: string) => void;
  onClose: () => void;
}

/** Everything about one command, live until its end. */
export function CommandDetails({ id, onOther, onClose }: DetailsProps) {
  const tenant = useTenantId();
  const command = useQuery(commandQuery(tenant, id));
  const title = command.data ? `${command.data.name} on ${command.data.deviceId}` : "Command";
  return (
    <Modal opened onClose={onClose} title={title} size="lg">
      <Loaded query={command}>
        {(found) => <CommandBody command={found} onOther={onOther} onClose={onClose} />}
      </Loaded>
    </Modal>
  );
}

interface BodyProps extends Omit<DetailsProps, "id"> {
  command: CommandView;
}

export function CommandBody({ command, onOther, onClose }: BodyProps) {
  const tenant = useTenantId();
  const step = STEPS[command.status];
  const trace = command.traceparent?.split("-")[1];
  return (
    <Stack>
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {step === undefined ? "It has come to its end." : hintOf(command)}
        </Text>
        <CommandBadge status={command.status} />
      </Group>
      <Progress
        value={shareOf(command)}
        animated={step !== undefined}
        aria-label="Progress of the command"
      />
      {step === undefined && <CommandAnswer command={command} />}
      <Written command={command} />
      <Facts command={command} onOther={onOther} />
      <Group justify="space-between">
        {trace ? (
          <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace }} size="sm">
            Follow its trace
          </Link>
        ) : (
          <span />
        )}
        <Group gap="xs">
          <CancelCommand command={command} />
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
        </Group>
      </Group>
    </Stack>
  );
}

/** In per cent; what the device says of itself counts while it works. */
function shareOf({ status, progress }: CommandView): number {
  const step = STEPS[status];
  if (step === undefined) return 100;
  return status === "running" && progress !== null ? Math.max(step, progress * 100) : step;
}

function hintOf({ status, progress, attempt }: CommandView): string {
  if (status === "waiting") {
    return attempt > 1 ? "It waits for its next attempt." : "It waits for its turn in the batch.";
  }
  if (status === "queued")
    return "Waiting for the device. You can close this; it goes on by itself.";
  return progress === null
    ? "The device has it."
    : `The device has done ${Math.round(progress * 100)} % of it.`;
}

/** What the device writes while it works, and what it said too late. */
function Written({ command }: { command: CommandView }) {
  const { stream, streamCut, lateResult } = command;
  return (
    <>
      {stream && (
        <Box>
          <Text size="sm" c="dimmed" mb={4}>
            Written while it ran{streamCut ? ", its end" : ""}
          </Text>
          <Code block tabIndex={0} mah={240} style={{ overflow: "auto" }}>
            {stream}
          </Code>
        </Box>
      )}
      {lateResult !== null && lateResult !== undefined && (
        <Box>
          <Text size="sm" c="dimmed" mb={4}>
            Said after its end, and changed nothing
          </Text>
          <Code block>{JSON.stringify(lateResult, null, 2)}</Code>
        </Box>
      )}
    </>
  );
}

function Facts({ command, onOther }: Omit<BodyProps, "onClose">) {
  const { deadlines, maxAttempts } = command;
  const limits = [
    deadlines.deliveredSeconds !== null && `delivered within ${deadlines.deliveredSeconds} s`,
    deadlines.acceptedSeconds !== null && `accepted within ${deadlines.acceptedSeconds} s`,
    deadlines.runningSeconds !== null && `finished within ${deadlines.runningSeconds} s`,
  ].filter(Boolean);
  return (
    <Box>
      <Fact label="Arguments">
        <Code>{JSON.stringify(command.args)}</Code>
      </Fact>
      <Fact label="Sent">
        <TimeAgo time={command.createdAt} /> by {command.createdBy}
      </Fact>
      <Moment label="Delivered" time={command.deliveredAt} />
      <Moment label="Accepted" time={command.acceptedAt} />
      <Moment label="Finished" time={command.finishedAt} />
      <Moment label="Expires" time={command.expiresAt} />
      {limits.length > 0 && <Fact label="Deadlines">{limits.join(", ")}</Fact>}
      <Fact label="Priority">{command.priority}</Fact>
      {command.coalesceKey && <Fact label="Key">{command.coalesceKey}</Fact>}
      {maxAttempts > 1 && (
        <Fact label="Attempt">
          {command.attempt} of {maxAttempts}, {command.retryDelaySeconds} s apart
        </Fact>
      )}
      <Other label="Attempt before" id={command.retryOf} onOther={onOther} />
      <Other label="Next attempt" id={command.retriedBy} onOther={onOther} />
      <Other label="Replaced by" id={command.replacedBy} onOther={onOther} />
    </Box>
  );
}

function Moment({ label, time }: { label: string; time: string | null }) {
  return (
    time && (
      <Fact label={label}>
        <TimeAgo time={time} />
      </Fact>
    )
  );
}

function Other({
  label,
  id,
  onOther,
}: {
  label: string;
  id: string | null;
  onOther: (id: string) => void;
}) {
  return (
    id && (
      <Fact label={label}>
        <Button size="compact-xs" variant="default" onClick={() => onOther(id)}>
          Show
        </Button>
      </Fact>
    )
  );
}

/** Nothing where it is with the device already: what a device holds cannot be called back. */
export function CancelCommand({ command }: { command: CommandView }) {
  const tenant = useTenantId();
  const may = useMay();
  const cancel = useAction({
    run: () => api.cancelCommand(tenant, command.id),
    done: () => "The command was cancelled",
    refresh: ["tenant", tenant],
  });
  if (!["queued", "waiting"].includes(command.status) || !may("operate")) return null;
  return (
    <Button
      size="compact-xs"
      variant="default"
      loading={cancel.isPending}
      onClick={() => cancel.mutate()}
    >
      Cancel
    </Button>
  );
}
