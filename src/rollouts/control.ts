import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { AppError, isAppError, isUuid } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import type { Actor } from "../tenancy/index.ts";
import { offeredDevices } from "./device-store.ts";
import { readFacts } from "./facts.ts";
import { acknowledge, initialGateState } from "./gate/index.ts";
import { observe } from "./observations.ts";
import { word } from "./offering.ts";
import { alertKey, carryOut } from "./outcome.ts";
import { type RolloutPolicy, startsAt } from "./policy.ts";
import { beginRollback } from "./rollback.ts";
import {
  beginStage,
  findRollout,
  findYank,
  lockRollout,
  type RolloutRow,
  rolloutsOfRelease,
  STOPPABLE_STATES,
} from "./rollout-store.ts";
import { refuseWhileGoingBack } from "./stage-rollback.ts";
import type { RolloutState, RolloutsDeps } from "./types.ts";
import { cancelYanked } from "./yanked.ts";

const MAX_REASON = 1_024;

/** A person's hand on a rollout. Each refuses with `rollout-state` where the state is against it. */
export interface Control {
  /** Stops the widening; devices that are on their way finish. */
  pause(tenantId: string, id: string, actor: Actor, reason?: string): Promise<void>;
  /** Goes on; what was seen up to now is accepted and does not pause again. */
  resume(tenantId: string, id: string, actor: Actor, reason?: string): Promise<void>;
  /** Goes on with the next stage, whatever the evidence says. */
  approve(tenantId: string, id: string, actor: Actor, reason?: string): Promise<void>;
  /**
   * Sends back the devices that have the image: all of them, or those of the stages from `fromStage`
   * on. Then the rollout stands still before that stage, and may come to it again.
   */
  rollback(
    tenantId: string,
    id: string,
    actor: Actor,
    reason?: string,
    fromStage?: number,
  ): Promise<void>;
  /** Ends it where it is: nobody else begins, those on their way are told to stop. */
  cancel(tenantId: string, id: string, actor: Actor, reason?: string): Promise<void>;
  /** Cancels whatever would still bring a release to devices; returns how many rollouts. */
  stopRelease(tenantId: string, releaseId: string, actor: Actor, reason: string): Promise<number>;
}

export function createControl(deps: RolloutsDeps): Control {
  const { db, clock, bus } = deps;
  type Act = (tx: Tx, rollout: RolloutRow, sentence: string, now: Date) => Promise<void>;

  async function change(
    tenantId: string,
    id: string,
    allowed: readonly RolloutState[],
    what: string,
    reason: string | undefined,
    actor: Actor,
    act: Act,
  ): Promise<void> {
    const said = reason ? `: ${storableText(reason, MAX_REASON)}` : "";
    await db.tenant(tenantId, async (tx) => {
      const rollout = isUuid(id) ? await lockRollout(tx, tenantId, id, "wait") : undefined;
      if (!rollout) throw new AppError("not-found", "there is no such rollout");
      if (!allowed.includes(rollout.state)) {
        throw new AppError(
          "rollout-state",
          `a rollout that is ${rollout.state} cannot be ${what}`,
          {
            state: rollout.state,
            allowed,
          },
        );
      }
      await act(tx, rollout, `${actor.name} ${what} the rollout${said}`, new Date(clock.now()));
    });
    bus.publish(subjects.rollout(tenantId, id), { rolloutId: id });
  }

  /** Those who have not begun are asked again: they were told nothing meanwhile. */
  async function remind(tenantId: string, id: string): Promise<void> {
    for (const deviceId of await db.tenant(tenantId, (tx) => offeredDevices(tx, tenantId, id))) {
      const { subject, message } = word(tenantId, deviceId);
      bus.publish(subject, message);
    }
  }

  const control: Control = {
    async pause(tenantId, id, actor, reason) {
      const allowed: RolloutState[] = ["preparing", "running", "needs-decision"];
      await change(
        tenantId,
        id,
        allowed,
        "paused",
        reason,
        actor,
        async (tx, rollout, sentence, now) => {
          refuseRollbacks(rollout, "paused");
          const decision = { decision: "pause", rule: "person", sentence, numbers: {} };
          const changes = {
            state: "paused" as const,
            state_reason: sentence,
            paused_at: now,
            next_evaluation_at: null,
          };
          await carryOut(deps, tx, rollout, decision, {
            changes,
            event: "vautn.rollout.paused",
            actor,
          });
        },
      );
    },

    async resume(tenantId, id, actor, reason) {
      const row = isUuid(id)
        ? await db.tenant(tenantId, (tx) => findRollout(tx, tenantId, id))
        : null;
      const observed = row ? await observe(deps, row) : { observations: [], unobserved: [] };
      const allowed: RolloutState[] = ["paused", "needs-decision"];
      await change(
        tenantId,
        id,
        allowed,
        "resumed",
        reason,
        actor,
        async (tx, rollout, sentence, now) => {
          await refuseYanked(tx, rollout);
          await refuseWhileGoingBack(tx, rollout);
          const begun = rollout.started_at !== null;
          const facts = begun ? await readFacts(tx, rollout, observed, now.getTime()) : null;
          const changes = {
            state: begun ? ("running" as const) : ("preparing" as const),
            state_reason: "",
            gate_state: JSON.stringify(facts ? acknowledge(facts.gate) : initialGateState()),
            stage_started_at: begun ? now : null,
            accrued_at: now,
            look_due_at: now,
            next_evaluation_at: now,
            // What happened meanwhile has no time of either arm to be weighed by.
            polled_at: now,
          };
          const decision = { decision: "resume", rule: "person", sentence, numbers: {} };
          const event = "vautn.rollout.resumed" as const;
          await carryOut(deps, tx, rollout, decision, { changes, event, actor });
          await deps.alerts.resolve(tenantId, alertKey(id), tx);
        },
      );
      await remind(tenantId, id);
    },

    async approve(tenantId, id, actor, reason) {
      const allowed: RolloutState[] = ["preparing", "running", "paused", "needs-decision"];
      await change(
        tenantId,
        id,
        allowed,
        "approved",
        reason,
        actor,
        async (tx, rollout, sentence, now) => {
          refuseRollbacks(rollout, "approved");
          await refuseYanked(tx, rollout);
          await refuseWhileGoingBack(tx, rollout);
          if (rollout.state === "preparing") return agree(deps, tx, rollout, actor, sentence, now);
          if (rollout.started_at === null) {
            // Its beginning may need a second person, and is decided while it is prepared.
            throw new AppError("rollout-state", "it has not begun: resume it first");
          }
          const observed = { observations: [], unobserved: [] };
          const facts = await readFacts(tx, rollout, observed, now.getTime());
          const next = rollout.stage_index + 1;
          if (next >= facts.stages.length) {
            const none =
              "this is the last stage, there is none to approve: resume it or roll it back";
            throw new AppError("rollout-state", none);
          }
          const changes = {
            state: "running" as const,
            state_reason: "",
            gate_state: JSON.stringify({ ...acknowledge(facts.gate), stageIndex: next }),
            stage_index: next,
            stage_started_at: now,
            accrued_at: now,
            look_due_at: now,
            next_evaluation_at: now,
            ...(rollout.state === "running" ? {} : { polled_at: now }),
          };
          const decision = { decision: "promote", rule: "person", sentence, numbers: {} };
          const event = "vautn.rollout.promoted" as const;
          const outcome = { changes, event, actor, action: "approve" };
          await carryOut(deps, tx, rollout, decision, outcome);
          await beginStage(tx, tenantId, id, next, now);
          await deps.alerts.resolve(tenantId, alertKey(id), tx);
        },
      );
      await remind(tenantId, id);
    },

    async rollback(tenantId, id, actor, reason, fromStage) {
      const running: RolloutState[] = ["running", "paused", "needs-decision"];
      await change(
        tenantId,
        id,
        // Of what has ended, one stage alone would stay for good.
        fromStage === undefined ? [...running, "succeeded", "cancelled"] : running,
        "rolled back",
        reason,
        actor,
        async (tx, rollout, sentence) => {
          refuseRollbacks(rollout, "rolled back");
          // All of it may follow a stage that is on its way back: nobody is in both.
          if (fromStage !== undefined) await refuseWhileGoingBack(tx, rollout);
          if (fromStage !== undefined && fromStage > rollout.stage_index) {
            const path = "/stage";
            throw new AppError("invalid-request", "that stage has not begun", { path });
          }
          await beginRollback(deps, tx, rollout, `because ${sentence}`, { actor, fromStage });
        },
      );
    },

    async cancel(tenantId, id, actor, reason) {
      await change(
        tenantId,
        id,
        STOPPABLE_STATES,
        "cancelled",
        reason,
        actor,
        async (tx, rollout, sentence, now) => {
          refuseRollbacks(rollout, "cancelled");
          const decision = { decision: "cancel", rule: "person", sentence, numbers: {} };
          const changes = {
            state: "cancelled" as const,
            state_reason: sentence,
            finished_at: now,
            next_evaluation_at: now,
          };
          const event = "vautn.rollout.cancelled" as const;
          await carryOut(deps, tx, rollout, decision, { changes, event, actor });
          await deps.alerts.resolve(tenantId, alertKey(id), tx);
        },
      );
    },

    async stopRelease(tenantId, releaseId, actor, reason) {
      const ids = await db.tenant(tenantId, (tx) => rolloutsOfRelease(tx, tenantId, releaseId));
      let stopped = 0;
      for (const id of ids) {
        try {
          await change(
            tenantId,
            id,
            STOPPABLE_STATES,
            "cancelled",
            reason,
            actor,
            (tx, rollout, sentence) => cancelYanked(deps, tx, rollout, sentence, actor),
          );
          stopped += 1;
        } catch (error) {
          // It came to its end by itself meanwhile.
          if (!isAppError(error) || error.code !== "rollout-state") throw error;
        }
      }
      return stopped;
    },
  };
  return control;
}

/** The second person's word, without which a rollout of the tenant does not begin. */
async function agree(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  actor: Actor,
  sentence: string,
  now: Date,
): Promise<void> {
  if (!rollout.needs_approval || rollout.approved_at) {
    throw new AppError("rollout-state", "this rollout waits for nobody's approval");
  }
  if (rollout.created_by_id === actor.id) {
    throw new AppError(
      "own-approval",
      `${actor.name} made this rollout: somebody else approves it`,
    );
  }
  const changes = {
    approved_at: now,
    approved_by: actor.name,
    state_reason: "",
    next_evaluation_at: new Date(
      Math.max(now.getTime(), startsAt(rollout.policy as RolloutPolicy)),
    ),
  };
  const decision = { decision: "start", rule: "approved", sentence, numbers: {} };
  await carryOut(deps, tx, rollout, decision, { changes, actor, action: "approve" });
}

/** The way back is not stopped half-way: it would leave devices on an image that nobody wants. */
function refuseRollbacks(rollout: RolloutRow, what: string): void {
  if (rollout.kind !== "rollback") return;
  throw new AppError("rollout-state", `a rollback cannot be ${what}`);
}

async function refuseYanked(tx: Tx, rollout: RolloutRow): Promise<void> {
  if (rollout.kind === "rollback") return;
  const reason = await findYank(tx, rollout);
  if (reason === undefined) return;
  throw new AppError("release-yanked", `the release was withdrawn: ${reason}`);
}
