import { Button, Select, Text, Textarea } from "@mantine/core";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconPlayerPause,
  IconPlayerPlay,
  IconX,
} from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import {
  type RolloutAction as Action,
  api,
  type RolloutView,
  rolloutKey,
} from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { plural } from "../../components/format.ts";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { touchedDevices } from "./counts.ts";

interface ActionLook {
  label: string;
  icon: typeof IconX;
  destructive: boolean;
  /** States in which the platform takes it. */
  states: readonly string[];
  done: string;
  need: "operate" | "engineer";
}

const ACTIONS: Record<Action, ActionLook> = {
  pause: {
    label: "Pause",
    icon: IconPlayerPause,
    destructive: false,
    states: ["preparing", "running", "needs-decision"],
    done: "The rollout is paused",
    need: "operate",
  },
  resume: {
    label: "Resume",
    icon: IconPlayerPlay,
    destructive: false,
    states: ["paused", "needs-decision"],
    done: "The rollout goes on",
    need: "engineer",
  },
  approve: {
    label: "Widen now",
    icon: IconArrowForwardUp,
    destructive: false,
    states: ["preparing", "paused", "needs-decision"],
    done: "It is approved",
    need: "engineer",
  },
  rollback: {
    label: "Roll back",
    icon: IconArrowBackUp,
    destructive: true,
    states: ["running", "paused", "needs-decision", "succeeded", "cancelled"],
    done: "The devices are being sent back",
    need: "engineer",
  },
  cancel: {
    label: "Cancel",
    icon: IconX,
    destructive: true,
    states: ["preparing", "running", "paused", "needs-decision"],
    done: "The rollout is cancelled",
    need: "engineer",
  },
};

/** A person's hand on the rollout; each button says what will happen before it happens. */
export function SteerButtons({ rollout }: { rollout: RolloutView }) {
  const tenant = useTenantId();
  const may = useMay();
  const [asked, setAsked] = useState<Action>();
  const [reason, setReason] = useState("");
  const [stage, setStage] = useState<string | null>(null);
  const close = () => {
    setAsked(undefined);
    setReason("");
    setStage(null);
  };
  const stages = stagesToTakeBack(rollout);
  const steer = useAction({
    run: (action: Action) =>
      action === "rollback" && stage !== null
        ? api.rollBackStage(tenant, rollout.id, Number(stage), reason.trim())
        : api.steerRollout(tenant, rollout.id, action, reason.trim()),
    done: (_, action) => ACTIONS[action].done,
    refresh: rolloutKey(tenant, rollout.id),
    onDone: close,
  });
  const offered = (Object.keys(ACTIONS) as Action[]).filter((action) => {
    const { states, need } = ACTIONS[action];
    const sensible = isSensible(action, rollout);
    return states.includes(rollout.state) && may(need) && sensible;
  });
  const look = asked && ACTIONS[asked];

  return (
    <>
      {offered.map((action) => {
        const { label, icon: Icon, destructive } = ACTIONS[action];
        return (
          <Button
            key={action}
            variant={action === "resume" ? "filled" : destructive ? "light" : "default"}
            {...(destructive ? { color: "red" } : {})}
            leftSection={<Icon size={16} aria-hidden />}
            onClick={() => setAsked(action)}
          >
            {action === "approve" && rollout.state === "preparing" ? "Approve" : label}
          </Button>
        );
      })}
      <Confirm
        opened={asked !== undefined}
        title={`${look?.label ?? ""} “${rollout.name}”?`}
        confirmLabel={look?.label ?? ""}
        destructive={look?.destructive ?? false}
        busy={steer.isPending}
        onConfirm={() => asked && steer.mutate(asked)}
        onClose={close}
      >
        <Text size="sm">
          {asked === "rollback" && stage !== null
            ? stageConsequence(Number(stage), rollout)
            : asked && consequence(asked, rollout)}
        </Text>
        {asked === "rollback" && stages.length > 0 && (
          <Select
            label="How far"
            placeholder="The whole rollout"
            clearable
            data={stages.map(({ index, name }) => ({
              value: String(index),
              label: `From stage “${name}” on`,
            }))}
            value={stage}
            onChange={setStage}
            comboboxProps={{ withinPortal: true }}
          />
        )}
        <Textarea
          label="Reason"
          description="Optional; it stays with the verdict"
          autosize
          minRows={2}
          maxLength={1024}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
      </Confirm>
    </>
  );
}

/** Stages after the first that have begun: from each of them on the rollout can be taken back. */
function stagesToTakeBack({ stages, state }: RolloutView) {
  if (!["running", "paused", "needs-decision"].includes(state)) return [];
  return stages.filter(({ index, startedAt }) => index > 0 && startedAt);
}

function stageConsequence(from: number, { stages }: RolloutView): ReactNode {
  const name = stages[from]?.name ?? "";
  const sum = (counts: Record<string, number | undefined>) =>
    Object.entries(counts).reduce(
      (total, [state, count]) => total + (state === "pending" ? 0 : (count ?? 0)),
      0,
    );
  const touched = stages.slice(from).reduce((total, stage) => total + sum(stage.counts), 0);
  return (
    <>
      <b>{plural(touched, "device")}</b> of “{name}” and what comes after it go back. The stages
      before keep the new version, and the rollout stands paused before “{name}”: let go on, it
      comes to it again.
    </>
  );
}

/** Leaves out what the platform would take and nobody could want. */
function isSensible(action: Action, rollout: RolloutView): boolean {
  if (rollout.kind === "rollback") return action === "cancel";
  if (action === "rollback") return touchedDevices(rollout) > 0;
  if (rollout.state === "preparing" && action === "approve") return rollout.needsApproval;
  if (action === "approve") return rollout.stageIndex < rollout.stages.length - 1;
  return true;
}

function consequence(action: Action, rollout: RolloutView): ReactNode {
  const { totals } = rollout;
  const touched = plural(touchedDevices(rollout), "device");
  const untouched = plural(totals.pending, "device");
  const underWay = plural(totals.inProgress, "device");
  switch (action) {
    case "pause":
      return `No further device begins: ${untouched} stay as they are. ${underWay} under way finish what they have begun; ${plural(totals.succeeded, "device")} keep the new version.`;
    case "resume":
      return `The present stage goes on, and ${untouched} may follow as the gate permits. What was seen up to now counts as accepted and does not pause it again.`;
    case "approve": {
      if (rollout.state === "preparing") {
        return `You agree to what ${rollout.createdBy} has made; the rollout begins with ${untouched} in its plan.`;
      }
      const next = rollout.stages[rollout.stageIndex + 1];
      return `The next stage (${next?.name}) begins at once, up to ${plural(next?.cumulativeDevices ?? 0, "device")} in all, although the gate has not found enough evidence that it is safe.`;
    }
    case "rollback":
      return (
        <>
          <b>{touched}</b> go back to the version that they had before. Where it still lies in the
          other slot that is one restart, without a download. {untouched} are not touched any more.
        </>
      );
    case "cancel":
      return `The rollout ends here and cannot go on. ${underWay} under way are told to stop where they still can; ${plural(totals.succeeded, "device")} keep the new version; ${untouched} stay as they are.`;
  }
}
