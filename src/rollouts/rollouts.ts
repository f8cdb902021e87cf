import type { Tx } from "../db/index.ts";
import { AppError, isUuid, LIMITS } from "../kernel/index.ts";
import { withSpan } from "../kernel/tracing.ts";
import type { Assignment, AssignmentMessage, Envelope } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import * as assignments from "./assignment-store.ts";
import { ASSIGNMENT_LIFETIME_MS, graceful } from "./assignments.ts";
import { type Brakes, createBrakes } from "./brakes.ts";
import { type Control, createControl } from "./control.ts";
import { create, plan } from "./creation.ts";
import * as devices from "./device-store.ts";
import { countRunning, type DeviceUpdate, deviceUpdates } from "./device-updates.ts";
import type { VerdictBasis } from "./gate/index.ts";
import { takePlace } from "./pacing-store.ts";
import { planDevices } from "./plan-pages.ts";
import { tick } from "./reconciler.ts";
import { replayVerdict } from "./replay.ts";
import { createReports, type Reports } from "./reports.ts";
import { retryDeadlocks } from "./retry-deadlocks.ts";
import * as store from "./rollout-store.ts";
import { DEVICE_STATES, type DeviceState } from "./states.ts";
import {
  type Page,
  type PlanDevice,
  type PlanList,
  type Replay,
  ROLLOUT_STATES,
  type RolloutDeviceView,
  type RolloutPlan,
  type RolloutSpec,
  type RolloutState,
  type RolloutsDeps,
  type RolloutView,
  type VerdictView,
} from "./types.ts";
import { findVerdict, listVerdicts } from "./verdict-store.ts";
import {
  badCursor,
  parsePlace,
  parsePosition,
  viewDevice,
  viewRollouts,
  viewVerdict,
} from "./views.ts";
import { withinGroups } from "./within-groups.ts";

interface PageOptions {
  cursor?: string | undefined;
  limit?: number | undefined;
}

/** Staged rollouts that decide on evidence. */
export interface Rollouts extends Control, Reports, Brakes {
  /** Which devices a rollout would take, in which order, and which not and why. */
  plan(tenantId: string, spec: RolloutSpec): Promise<RolloutPlan>;
  /** Every device of a plan by pages, in its order; or those that are left out, by id. */
  planDevices(
    tenantId: string,
    spec: RolloutSpec,
    options: PageOptions & { list: PlanList },
  ): Promise<Page<PlanDevice>>;
  /** Refusals: `release-incompatible` (fits nobody), `release-yanked`, `conflict`, `invalid-query`. */
  create(
    tenantId: string,
    spec: RolloutSpec,
    actor: Actor,
    traceparent?: string,
  ): Promise<{ id: string }>;
  get(tenantId: string, id: string): Promise<RolloutView>;
  /** Newest first. */
  list(
    tenantId: string,
    options?: PageOptions & { state?: string | undefined },
  ): Promise<Page<RolloutView>>;
  /** In the order in which the rollout touches them. */
  devices(
    tenantId: string,
    id: string,
    options?: PageOptions & { state?: string | undefined; stage?: number | undefined },
  ): Promise<Page<RolloutDeviceView>>;
  /** What was decided and why, newest first. */
  verdicts(tenantId: string, id: string, options?: PageOptions): Promise<Page<VerdictView>>;
  /** Has the gate judge again on what it saw then; `not-found` for a person's decision. */
  replay(tenantId: string, id: string, seq: number): Promise<Replay>;
  /** What a device is to do now, signed; asked when it connects and whenever the bus says so. */
  currentAssignment(tenantId: string, deviceId: string): Promise<AssignmentMessage | null>;
  /** The pace that the rollout sets for which a device downloads at the moment; null without one. */
  downloadPace(
    tenantId: string,
    deviceId: string,
  ): Promise<{ rolloutId: string; concurrent: number; bytesPerSecond: number } | null>;
  /** Newest first. */
  deviceUpdates(tenantId: string, deviceId: string, limit: number): Promise<DeviceUpdate[]>;
  countRunning(tenantId: string): Promise<number>;
  /** One reconciler step for whatever is due in a tenant. */
  tick(tenantId: string, nowMs?: number): Promise<void>;
}

const DEFAULT_PAGE = 50;
/** An offer with less than this left of its life is written anew before it is handed out. */
const RENEW_BEFORE_MS = 3_600_000;

export function createRollouts(deps: RolloutsDeps): Rollouts {
  return withinGroups(deps.db, createAll(deps));
}

function createAll(deps: RolloutsDeps): Rollouts {
  const { db } = deps;
  return {
    ...createControl(deps),
    ...createReports(deps),
    ...createBrakes(deps),
    deviceUpdates: (tenantId, deviceId, limit) => deviceUpdates(db, tenantId, deviceId, limit),
    countRunning: (tenantId) => countRunning(db, tenantId),
    plan: (tenantId, spec) =>
      withSpan("rollouts.plan", { "vautn.tenant": tenantId }, () => plan(deps, tenantId, spec)),
    planDevices: (tenantId, spec, options) => planDevices(deps, tenantId, spec, options),
    create: (tenantId, spec, actor, traceparent) =>
      withSpan(
        "rollouts.create",
        { "vautn.tenant": tenantId },
        () => create(deps, tenantId, spec, actor, traceparent),
        { parent: traceparent },
      ),

    get: (tenantId, id) =>
      db.tenant(tenantId, async (tx) => {
        const row = await mustFind(tx, tenantId, id);
        const [view] = await viewRollouts(tx, tenantId, [row]);
        return view as RolloutView;
      }),

    list: (tenantId, { state, cursor, limit } = {}) =>
      db.tenant(tenantId, async (tx) => {
        const size = pageSize(limit);
        if (state !== undefined && !isState(state)) return { items: [], nextCursor: null };
        const filter = { state, before: parseTimeCursor(cursor) };
        const rows = await store.listRollouts(tx, tenantId, filter, size + 1);
        const last = rows[size - 1];
        return {
          items: await viewRollouts(tx, tenantId, rows.slice(0, size)),
          nextCursor: rows.length > size && last ? `${last.created_at.getTime()}_${last.id}` : null,
        };
      }),

    devices: (tenantId, id, { state, stage, cursor, limit } = {}) =>
      db.tenant(tenantId, async (tx) => {
        await mustFind(tx, tenantId, id);
        const size = pageSize(limit);
        if (state !== undefined && !isDeviceState(state)) return { items: [], nextCursor: null };
        const filter = { state, stage, after: parsePlace(cursor) };
        const rows = await devices.listDevices(tx, tenantId, id, filter, size + 1);
        const last = rows[size - 1];
        return {
          items: rows.slice(0, size).map(viewDevice),
          nextCursor: rows.length > size && last ? `${last.stage_index}.${last.ordinal}` : null,
        };
      }),

    verdicts: (tenantId, id, { cursor, limit } = {}) =>
      db.tenant(tenantId, async (tx) => {
        await mustFind(tx, tenantId, id);
        const size = pageSize(limit);
        const rows = await listVerdicts(tx, tenantId, id, parsePosition(cursor), size + 1);
        const last = rows[size - 1];
        return {
          items: rows.slice(0, size).map(viewVerdict),
          nextCursor: rows.length > size && last ? String(last.seq) : null,
        };
      }),

    replay: (tenantId, id, seq) =>
      db.tenant(tenantId, async (tx) => {
        await mustFind(tx, tenantId, id);
        const row = await findVerdict(tx, tenantId, id, seq);
        if (!row?.basis) throw new AppError("not-found", "the gate gave no such verdict");
        return replayVerdict(row, row.basis as VerdictBasis);
      }),

    currentAssignment: (tenantId, deviceId) => currentAssignment(deps, tenantId, deviceId),
    async downloadPace(tenantId, deviceId) {
      const found = await deps.db.tenant(tenantId, (tx) =>
        devices.findDownloads(tx, tenantId, deviceId),
      );
      if (!found?.downloads) return null;
      const { concurrent = 100_000, bytesPerSecond = 0 } = found.downloads;
      return { rolloutId: found.rollout_id, concurrent, bytesPerSecond };
    },
    tick: (tenantId) => tick(deps, tenantId),
  };
}

async function currentAssignment(
  deps: RolloutsDeps,
  tenantId: string,
  deviceId: string,
): Promise<AssignmentMessage | null> {
  const now = deps.clock.now();
  const open = await deps.db.tenant(tenantId, (tx) =>
    assignments.openAssignment(tx, tenantId, deviceId),
  );
  if (!open) return null;
  const { envelope, rollout_id: rolloutId } = open;
  if (open.state === "offered" && open.phase_deadline_at === null) {
    // It has its word now: from here on silence counts.
    const deadlineAt = new Date(now + graceful(open.policy.deadlines.offered));
    const takes = async (tx: Tx) => {
      // Before the places are counted: who holds their lock waits for no such row.
      if (!(await assignments.lockUntold(tx, tenantId, rolloutId, deviceId))) return false;
      const place = { rolloutId, site: open.site, zone: open.zone };
      const isFree =
        open.kind === "rollback" || (await takePlace(tx, tenantId, place, open.policy, now));
      if (!isFree) return false;
      await assignments.startOfferDeadline(tx, tenantId, rolloutId, deviceId, deadlineAt);
      return true;
    };
    if (!(await retryDeadlocks(() => deps.db.tenant(tenantId, takes)))) return null;
  }
  const isFresh = Date.parse(envelope.signed.expires) - now > RENEW_BEFORE_MS;
  // A new root may have named another director, whom devices believe instead of the old one. Those
  // that have begun have judged theirs already.
  const hasBegun = open.state !== "offered" && envelope.signed.action !== "cancel";
  const isSignedNow = hasBegun || (await deps.firmware.isAssignmentCurrent(tenantId, envelope));
  if (isFresh && isSignedNow) {
    return withMetadata(deps, tenantId, open.product, envelope);
  }
  const sequence = await deps.db.tenant(tenantId, (tx) =>
    assignments.nextSequence(tx, tenantId, deviceId),
  );
  const renewed = await deps.firmware.signAssignment(tenantId, {
    ...envelope.signed,
    sequence,
    issuedAt: new Date(now).toISOString(),
    expires: new Date(now + ASSIGNMENT_LIFETIME_MS).toISOString(),
  });
  await deps.db.tenant(tenantId, (tx) =>
    assignments.renewAssignment(tx, tenantId, rolloutId, deviceId, renewed),
  );
  return withMetadata(deps, tenantId, open.product, renewed);
}

async function withMetadata(
  deps: RolloutsDeps,
  tenantId: string,
  product: string,
  envelope: Envelope<Assignment>,
): Promise<AssignmentMessage> {
  const metadata = await deps.firmware.bundleFor(tenantId, product, envelope);
  return { ...envelope, metadata };
}

async function mustFind(tx: Tx, tenantId: string, id: string): Promise<store.RolloutRow> {
  const row = isUuid(id) ? await store.findRollout(tx, tenantId, id) : undefined;
  if (!row) throw new AppError("not-found", "there is no such rollout");
  return row;
}

function pageSize(limit = DEFAULT_PAGE): number {
  return Math.min(Math.max(1, limit), LIMITS.pageSize);
}

function isState(state: string): state is RolloutState {
  return (ROLLOUT_STATES as readonly string[]).includes(state);
}

function isDeviceState(state: string): state is DeviceState {
  return (DEVICE_STATES as readonly string[]).includes(state);
}

function parseTimeCursor(cursor: string | undefined): { createdAt: Date; id: string } | undefined {
  if (cursor === undefined) return undefined;
  const [time = "", id = ""] = cursor.split("_");
  if (!/^\d{1,15}$/.test(time) || !isUuid(id)) throw badCursor();
  return { createdAt: new Date(Number(time)), id };
}
