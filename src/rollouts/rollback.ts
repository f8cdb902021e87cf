import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { timeOrderedId } from "../kernel/index.ts";
import type { Actor } from "../tenancy/index.ts";
import {
  countNewDevices,
  createCounters,
  moveCounters,
  readCounters,
  stepOf,
} from "./counter-store.ts";
import { askForDevices } from "./delta-demand.ts";
import { hasDeadlines, lastOrdinal } from "./device-store.ts";
import { countsOf } from "./facts.ts";
import {
  insertDevices,
  lockFailedSwitches,
  lockUntouched,
  type NewDeviceRow,
  resetToPending,
  withdraw,
} from "./membership-store.ts";
import { type Announcements, cancelNext, OFFER_BATCH, offerNext } from "./offering.ts";
import { alertKey, carryOut } from "./outcome.ts";
import { whyNoWayBack } from "./planning.ts";
import type { Stepped } from "./reconciler.ts";
import {
  insertRollout,
  openStageRollback,
  type RolloutRow,
  readStages,
  rollbackOf,
  updateRollout,
} from "./rollout-store.ts";
import * as stages from "./stage-rollback.ts";
import { groupCounts } from "./states.ts";
import type { RolloutsDeps } from "./types.ts";

const WITHDRAW_BATCH = 5_000;
const LOOK_AGAIN_MS = 500;
const NAMED_DEVICES = 10;

/** What is undone: the rollout, or its stages from one on; and by whom, if not by its policy. */
export interface Undoing {
  actor?: Actor | undefined;
  fromStage?: number | undefined;
}

/**
 * Begins to undo a rollout, under its lock: devices that run the new image go back to what they
 * came from, those on their way are told to stop, the rest are left alone. The way back is a rollout
 * of its own, all at once, with deadlines like any other. Of stages the rollout stands still at the
 * one before them, and their devices wait as though they had never been told.
 */
export async function beginRollback(
  deps: RolloutsDeps,
  tx: Tx,
  original: RolloutRow,
  reason: string,
  { actor, fromStage }: Undoing = {},
): Promise<string> {
  const { tenant_id: tenantId } = original;
  const now = new Date(deps.clock.now());
  const id = timeOrderedId(now.getTime());
  const stageName =
    fromStage === undefined
      ? undefined
      : (await readStages(tx, tenantId, [original.id]))[fromStage]?.name;
  const of = stageName === undefined ? original.name : `${stageName} of ${original.name}`;
  const row = {
    tenant_id: tenantId,
    id,
    name: `Rollback of ${of}`.slice(0, 128),
    kind: "rollback" as const,
    release_id: original.release_id,
    rolls_back: original.id,
    rolls_back_stage: fromStage ?? null,
    query: original.query,
    confined_to: original.confined_to,
    policy: JSON.stringify(original.policy) as unknown as object,
    gate_state: {},
    state: "running" as const,
    next_evaluation_at: now,
    created_at: now,
    created_by: actor?.name ?? "gate",
    traceparent: original.traceparent,
    started_at: now,
  };
  await insertRollout(tx, row, [{ name: "all", cumulativeDevices: 0, isHoldback: false }]);
  await createCounters(tx, tenantId, id, 1);
  await updateRollout(tx, tenantId, id, { stage_started_at: now });
  const decision = {
    decision: "rollback",
    rule: actor ? "person" : "policy",
    sentence:
      stageName === undefined
        ? `The rollout is undone ${reason}`.trim()
        : `The rollout goes back to before its stage ${stageName} ${reason}`.trim(),
    numbers: { rollbackId: id },
  };
  const changes =
    fromStage === undefined
      ? {
          state: "rolling-back" as const,
          state_reason: decision.sentence,
          next_evaluation_at: now,
        }
      : {
          state: "paused" as const,
          state_reason: decision.sentence,
          stage_index: Math.max(0, fromStage - 1),
          next_evaluation_at: null,
        };
  await carryOut(deps, tx, original, decision, {
    changes: { ...changes, paused_at: original.paused_at ?? now },
    event: "vautn.rollout.rolling-back",
    ...(actor ? { actor } : {}),
  });
  return id;
}

/** The original: takes back what nobody took up, stops who is on the way, waits for the way back. */
export async function stepRolledBack(
  deps: RolloutsDeps,
  tx: Tx,
  original: RolloutRow,
): Promise<Stepped> {
  const { tenant_id: tenantId, id } = original;
  const wound = await windDown(deps, tx, original);
  if (wound.more) return wound;
  const back = await rollbackOf(tx, tenantId, id);
  const now = new Date(deps.clock.now());
  if (!back || back.state === "running") {
    const next = new Date(now.getTime() + LOOK_AGAIN_MS);
    await updateRollout(tx, tenantId, id, { next_evaluation_at: next });
    return { ...wound, more: false };
  }
  const decision = {
    decision: "finish",
    rule: "rolled-back",
    sentence: back.state_reason,
    numbers: { rollbackId: back.id },
  };
  const changes = {
    state: "rolled-back" as const,
    state_reason: back.state_reason,
    finished_at: now,
    next_evaluation_at: null,
  };
  await carryOut(deps, tx, original, decision, { changes, event: "vautn.rollout.rolled-back" });
  await deps.alerts.resolve(tenantId, alertKey(id), tx);
  return { said: wound.said, more: false, changed: true };
}

/** Withdraws what was not begun and cancels what was, a batch at a time. */
export async function windDown(deps: RolloutsDeps, tx: Tx, rollout: RolloutRow): Promise<Stepped> {
  const { tenant_id: tenantId, id } = rollout;
  const now = new Date(deps.clock.now());
  const untouched = await lockUntouched(tx, tenantId, id, WITHDRAW_BATCH);
  if (untouched.length > 0) {
    await withdraw(
      tx,
      tenantId,
      id,
      untouched.map((device) => device.device_id),
      now,
    );
    const steps = untouched.map((device) => stepOf(id, device, "withdrawn"));
    await moveCounters(tx, tenantId, steps);
  }
  const said: Announcements = [];
  const cancelled = await cancelNext(deps, tx, rollout, said);
  const more = untouched.length === WITHDRAW_BATCH || cancelled === OFFER_BATCH;
  const changed = untouched.length > 0 || cancelled > 0;
  const next = more ? now : null;
  if (rollout.state === "cancelled") {
    await updateRollout(tx, tenantId, id, { next_evaluation_at: next });
  }
  return { said, more, changed };
}

/** The way back: takes in devices as they turn out to run the bad image, and offers to them. */
export async function stepRollback(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
): Promise<Stepped> {
  const { tenant_id: tenantId, id } = rollout;
  const undoneId = rollout.rolls_back as string;
  const now = deps.clock.now();
  const said: Announcements = [];
  const fromStage = rollout.rolls_back_stage;
  const undone = await stages.undoneBy(tx, rollout);
  const stopped = undone === "stages" ? await stages.stopStages(deps, tx, rollout, said) : 0;
  const original = await countsToUndo(tx, rollout);
  const held = (await readCounters(tx, tenantId, [id])).reduce((sum, row) => sum + row.devices, 0);
  const mayJoin = fromStage === null ? original.succeeded > held : original.succeeded > 0;
  const joined = mayJoin ? await joinDevices(deps, tx, rollout, undone) : 0;
  const retried = await retryByInstall(tx, rollout);
  const offered = await offerNext(deps, tx, rollout, 0, OFFER_BATCH, said);
  const counts = groupCounts(countsOf(await readCounters(tx, tenantId, [id])));
  const waiting =
    counts.pending > 0 ||
    counts.underway > 0 ||
    (undone === "whole" && original.pending > 0) ||
    original.underway > 0 ||
    (fromStage === null && (await openStageRollback(tx, tenantId, undoneId))) ||
    (await hasDeadlines(tx, tenantId, id)) ||
    (await hasDeadlines(tx, tenantId, undoneId, fromStage ?? 0));
  if (waiting) {
    const next = new Date(now + LOOK_AGAIN_MS);
    await updateRollout(tx, tenantId, id, { next_evaluation_at: next });
    const changed = joined + retried + offered + stopped > 0;
    return { said, more: offered === OFFER_BATCH || stopped === OFFER_BATCH, changed };
  }
  const sentence = await describeEnd(tx, rollout, counts);
  const decision = { decision: "finish", rule: "rolled-back", sentence, numbers: counts };
  const changes = {
    state: counts.failed > 0 ? ("failed" as const) : ("succeeded" as const),
    state_reason: sentence,
    finished_at: new Date(now),
    next_evaluation_at: null,
  };
  const event = counts.failed > 0 ? "vautn.rollout.failed" : "vautn.rollout.succeeded";
  await carryOut(deps, tx, rollout, decision, { changes, event });
  if (fromStage !== null) await stages.endStageRollback(tx, rollout, sentence);
  return { said, more: false, changed: true };
}

/** Where the devices stand that the way back is about. */
async function countsToUndo(tx: Tx, rollout: RolloutRow): Promise<ReturnType<typeof groupCounts>> {
  const rows = await readCounters(tx, rollout.tenant_id, [rollout.rolls_back as string]);
  const fromStage = rollout.rolls_back_stage ?? 0;
  return groupCounts(countsOf(rows.filter((row) => row.stage_index >= fromStage)));
}

/** A slot that a device would not or could not start from is no way back: it is sent the image. */
async function retryByInstall(tx: Tx, rollout: RolloutRow): Promise<number> {
  const { tenant_id: tenantId, id } = rollout;
  const rows = await lockFailedSwitches(tx, tenantId, id, OFFER_BATCH);
  const deviceIds = rows.map((row) => row.device_id);
  await resetToPending(tx, tenantId, id, deviceIds);
  const steps = rows.map((row) => stepOf(id, row, "pending"));
  await moveCounters(tx, tenantId, steps);
  return rows.length;
}

interface Returning {
  device_id: string;
  source_version: string | null;
  source_sha256: string | null;
  release_id: string | null;
  image_size_bytes: number | null;
  security_counter: number | null;
  bad_security_counter: number;
  formats: string[] | null;
}

/**
 * Devices of the original that run the bad image and are on no way back yet. Those whose
 * earlier image was never published here, or lies below the floor that the new one has raised,
 * cannot go back; they are kept in the list, with the reason.
 */
async function joinDevices(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  undone: stages.Undone,
): Promise<number> {
  if (undone === "overtaken") return 0;
  const { tenant_id: tenantId, id } = rollout;
  const { rows } = await sql<Returning>`
    select d.device_id, d.source_version, d.source_sha256, p.id as release_id,
           p.image_size_bytes, p.security_counter, bad.security_counter as bad_security_counter,
           s.formats
    from rollout_devices d
    left join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
    join releases bad on bad.tenant_id = d.tenant_id and bad.id = d.target_release_id
    join devices v on v.tenant_id = d.tenant_id and v.id = d.device_id
    left join lateral (
      select id, image_size_bytes, security_counter from releases
      where tenant_id = d.tenant_id and image_sha256 = d.source_sha256 and product = bad.product
      order by published_at desc limit 1) p on true
    where d.tenant_id = ${tenantId} and d.rollout_id = ${rollout.rolls_back}
      and d.state = 'succeeded' and d.stage_index >= ${rollout.rolls_back_stage ?? 0}
      and not exists (select from rollout_devices b
        where b.tenant_id = d.tenant_id and b.device_id = d.device_id and b.rollout_id = any(array(
          select id from rollouts where tenant_id = ${tenantId}
            and rolls_back = ${rollout.rolls_back} and (id = ${id} or state = 'running'))))
    order by d.ordinal for key share of v`.execute(tx);
  if (rows.length === 0) return 0;
  const first = await nextOrdinal(tx, tenantId, id);
  await insertDevices(
    tx,
    tenantId,
    id,
    rows.map((row) => returning(rollout, row)),
    first,
  );
  // Only new rows are pending or withdrawn without having been moved: the counters take them all in.
  await recount(tx, tenantId, id, rows);
  await setStageSize(tx, tenantId, id, first + rows.length);
  if (undone === "stages") {
    const leaving = rows.filter((row) => !whyNot(row)).map((row) => row.device_id);
    await stages.untellReturning(tx, rollout, leaving);
  }
  const bad = await deps.firmware.releases.get(tenantId, rollout.release_id);
  const bound = rows.flatMap(({ release_id, source_sha256, formats }) =>
    release_id && source_sha256
      ? [
          {
            firmware_sha256: bad.imageSha256,
            target_sha256: source_sha256,
            formats: formats ?? [],
          },
        ]
      : [],
  );
  // Who has the image in the other slot needs none.
  await askForDevices(deps, tenantId, bound);
  return rows.length;
}

function returning(rollout: RolloutRow, row: Returning): NewDeviceRow {
  const problem = whyNot(row);
  return {
    deviceId: row.device_id,
    stageIndex: 0,
    state: problem ? "withdrawn" : "pending",
    sourceVersion: null,
    sourceSha256: null,
    targetReleaseId: row.release_id ?? rollout.release_id,
    targetSha256: row.source_sha256 ?? "",
    excludedReason: problem ?? "a rollback compares nothing",
    failure: problem ? { phase: "pending", element: "rollback", message: problem } : null,
    bytesFull: row.image_size_bytes ?? 0,
  };
}

function whyNot(row: Returning): string | undefined {
  return whyNoWayBack(row, row.release_id !== null, row.bad_security_counter);
}

async function nextOrdinal(tx: Tx, tenantId: string, id: string): Promise<number> {
  const { rows } = await sql<{ next: number }>`
    select ${lastOrdinal(tenantId, id)} + 1 as next`.execute(tx);
  return rows[0]?.next ?? 0;
}

async function recount(
  tx: Tx,
  tenantId: string,
  id: string,
  rows: readonly Returning[],
): Promise<void> {
  const first = (await readCounters(tx, tenantId, [id])).every((row) => row.devices === 0);
  if (first) return countNewDevices(tx, tenantId, id);
  const withdrawn = rows.filter((row) => whyNot(row)).length;
  const pending = rows.length - withdrawn;
  await sql`
    update rollout_counters c set devices = c.devices + n.devices, excluded = c.excluded + n.devices
    from (values ('pending', ${pending}::int), ('withdrawn', ${withdrawn}::int)) n(state, devices)
    where c.tenant_id = ${tenantId} and c.rollout_id = ${id} and c.stage_index = 0
      and c.state = n.state`.execute(tx);
}

async function setStageSize(tx: Tx, tenantId: string, id: string, devices: number) {
  await tx
    .updateTable("rollout_stages")
    .set({ cumulative_devices: devices })
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", id)
    .execute();
}

/** What became of everyone, with the names of those who could not go back. */
async function describeEnd(
  tx: Tx,
  rollout: RolloutRow,
  counts: ReturnType<typeof groupCounts>,
): Promise<string> {
  const { rows } = await sql<{ device_id: string; state: string; message: string | null }>`
    select device_id, state, failure->>'message' as message from rollout_devices
    where tenant_id = ${rollout.tenant_id} and rollout_id = ${rollout.id}
      and state in ('withdrawn', 'failed', 'fell-back', 'rejected', 'silent')
    order by stage_index, ordinal limit ${NAMED_DEVICES + 1}`.execute(tx);
  const parts = [
    `${counts.succeeded} ${counts.succeeded === 1 ? "device is" : "devices are"} back`,
  ];
  if (counts.offered > 0) parts.push(`${counts.offered} return when they come online`);
  const named = rows
    .slice(0, NAMED_DEVICES)
    .map((row) => `${row.device_id} (${row.message ?? row.state})`);
  if (rows.length > NAMED_DEVICES) named.push("and others");
  if (named.length > 0) parts.push(`not back: ${named.join(", ")}`);
  return `${parts.join("; ")}.`;
}
