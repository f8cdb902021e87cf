import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { Random } from "../kernel/random.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { CampaignDeviceState } from "./campaign-rules.ts";
import * as store from "./campaign-store.ts";
import { type CommandSender, tickCampaign } from "./campaign-tick.ts";

/** Devices of one campaign. */
export const MAX_CAMPAIGN_DEVICES = 100_000;
export const MAX_CONCURRENCY = 1_000;
const DEFAULT_PAGE = 50;

/** A wave of rotations that people asked for, and how far it is. */
export interface CampaignView {
  id: string;
  status: "running" | "paused" | "finished" | "cancelled";
  /** Empty where devices were named one by one. */
  query: string;
  concurrency: number;
  deadlineSeconds: number;
  jitterSeconds: number;
  createdAt: Date;
  createdBy: string;
  finishedAt: Date | null;
  total: number;
  waiting: number;
  rotating: number;
  succeeded: number;
  failed: number;
  skipped: number;
  cancelled: number;
}

export interface CampaignDeviceView {
  deviceId: string;
  state: CampaignDeviceState;
  commandId: string | null;
  sentAt: Date | null;
  finishedAt: Date | null;
  /** Where it failed, and why. */
  step: string | null;
  error: string | null;
}

export interface NewCampaign {
  deviceIds: readonly string[];
  /** The fleet query that found them. */
  query: string;
  /** Devices that may be rotating at a time. */
  concurrency: number;
  /** For each device, from its command on. */
  deadlineSeconds: number;
  /** Over how long the commands that become possible together are scattered. */
  jitterSeconds: number;
}

interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

/** "Rotate now", for many devices: paced, watched, and to be stopped. */
export interface RotationCampaigns {
  create(tenantId: string, campaign: NewCampaign, actor: Actor): Promise<CampaignView>;
  get(tenantId: string, id: string): Promise<CampaignView>;
  /** Newest first. */
  list(
    tenantId: string,
    page: { cursor?: string | undefined; limit?: number | undefined },
  ): Promise<Page<CampaignView>>;
  devices(
    tenantId: string,
    id: string,
    filter: {
      state?: CampaignDeviceState | undefined;
      cursor?: string | undefined;
      limit?: number | undefined;
    },
  ): Promise<Page<CampaignDeviceView>>;
  /** No device is told any more; those that were go on. */
  pause(tenantId: string, id: string, actor: Actor): Promise<CampaignView>;
  resume(tenantId: string, id: string, actor: Actor): Promise<CampaignView>;
  /** Commands that still wait are called back; a device that has its own goes on by itself. */
  cancel(tenantId: string, id: string, actor: Actor): Promise<CampaignView>;
  /** Takes every running campaign of the tenant a step further. */
  tick(tenantId: string): Promise<void>;
}

export interface CampaignsDeps {
  db: Database;
  clock: Clock;
  random: Random;
  tenancy: Pick<Tenancy, "audit">;
  commands: CommandSender;
}

export function createRotationCampaigns(deps: CampaignsDeps): RotationCampaigns {
  const { db, clock } = deps;
  const get = (tenantId: string, id: string) =>
    db.tenant(tenantId, async (tx) => campaignView((await find(tx, id)) ?? notFound(id)));
  return {
    async create(tenantId, campaign, actor) {
      check(campaign);
      return db.tenant(tenantId, (tx) => create(tx, deps, tenantId, campaign, actor));
    },

    get,

    async list(tenantId, { cursor, limit = DEFAULT_PAGE }) {
      if (cursor !== undefined && !isUuid(cursor)) throw badCursor();
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) => store.campaignsBefore(tx, cursor, size + 1));
      const page = rows.slice(0, size);
      const nextCursor = rows.length > size ? (page.at(-1)?.id ?? null) : null;
      return { items: page.map(campaignView), nextCursor };
    },

    async devices(tenantId, id, { state, cursor, limit = DEFAULT_PAGE }) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, async (tx) => {
        if (!(await find(tx, id))) notFound(id);
        return store.campaignDevices(tx, id, { state, after: cursor, limit: size + 1 });
      });
      const page = rows.slice(0, size);
      const nextCursor = rows.length > size ? (page.at(-1)?.device_id ?? null) : null;
      return { items: page.map(deviceView), nextCursor };
    },

    pause: (tenantId, id, actor) => steer(deps, tenantId, id, "pause", actor),
    resume: (tenantId, id, actor) => steer(deps, tenantId, id, "resume", actor),

    async cancel(tenantId, id, actor) {
      const commandIds = await db.tenant(tenantId, async (tx) => {
        const campaign = await lock(tx, id);
        if (campaign.status !== "running" && campaign.status !== "paused") throw ended(campaign);
        const now = new Date(clock.now());
        const open = await store.cancelOpen(tx, id, now);
        const counts = await store.countDevices(tx, id);
        await store.setCampaign(tx, id, counts, { status: "cancelled", finishedAt: now });
        await record(tx, deps, tenantId, { actor, action: "cancel", id, details: {} });
        return open;
      });
      for (const commandId of commandIds) {
        // What the device holds already cannot be called back.
        await deps.commands.cancel(tenantId, commandId, actor).catch(() => {});
      }
      return get(tenantId, id);
    },

    async tick(tenantId) {
      const ids = await db.tenant(tenantId, store.runningCampaigns);
      const failures: unknown[] = [];
      for (const id of ids) {
        // What is wrong with one of them holds up no other.
        await tickCampaign(deps, tenantId, id).catch((error) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

async function create(
  tx: Tx,
  deps: CampaignsDeps,
  tenantId: string,
  campaign: NewCampaign,
  actor: Actor,
): Promise<CampaignView> {
  await store.lockCreation(tx, tenantId);
  if ((await store.countRunning(tx)) >= store.MAX_RUNNING) {
    throw new AppError("quota-exceeded", `${store.MAX_RUNNING} campaigns may run at a time`);
  }
  const now = deps.clock.now();
  const id = timeOrderedId(now);
  const { concurrency, deadlineSeconds, jitterSeconds, query } = campaign;
  await store.insertCampaign(tx, tenantId, {
    ...{ id, query, concurrency, total: 0, created_by: actor.name, created_at: new Date(now) },
    ...{ deadline_seconds: deadlineSeconds, jitter_seconds: jitterSeconds },
  });
  await store.insertCampaignDevices(tx, tenantId, id, campaign.deviceIds);
  const counts = await store.countDevices(tx, id);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (total < new Set(campaign.deviceIds).size) {
    throw new AppError("not-found", "some of the devices do not exist", {
      devices: campaign.deviceIds.length,
      found: total,
    });
  }
  await store.setTotal(tx, id, total);
  await store.setCampaign(tx, id, counts, { status: "running", finishedAt: null });
  const details = { devices: total, concurrency, deadlineSeconds, query };
  await record(tx, deps, tenantId, { actor, action: "create", id, details });
  return campaignView((await find(tx, id)) ?? notFound(id));
}

async function steer(
  deps: CampaignsDeps,
  tenantId: string,
  id: string,
  action: "pause" | "resume",
  actor: Actor,
): Promise<CampaignView> {
  return deps.db.tenant(tenantId, async (tx) => {
    const campaign = await lock(tx, id);
    const [from, to] =
      action === "pause" ? (["running", "paused"] as const) : (["paused", "running"] as const);
    if (campaign.status !== from) throw ended(campaign);
    const counts = await store.countDevices(tx, id);
    await store.setCampaign(tx, id, counts, { status: to, finishedAt: null });
    await record(tx, deps, tenantId, { actor, action, id, details: {} });
    return campaignView((await find(tx, id)) ?? notFound(id));
  });
}

function check({ deviceIds, concurrency, deadlineSeconds, jitterSeconds }: NewCampaign): void {
  const bounds: [string, number, number, number][] = [
    ["devices", deviceIds.length, 1, MAX_CAMPAIGN_DEVICES],
    ["concurrency", concurrency, 1, MAX_CONCURRENCY],
    ["deadlineSeconds", deadlineSeconds, 10, 30 * 86_400],
    ["jitterSeconds", jitterSeconds, 0, 86_400],
  ];
  for (const [field, value, minimum, maximum] of bounds) {
    if (Number.isInteger(value) && value >= minimum && value <= maximum) continue;
    throw new AppError("invalid-request", `${field} lies between ${minimum} and ${maximum}`, {
      field,
    });
  }
}

async function find(tx: Tx, id: string): Promise<store.CampaignRow | undefined> {
  return isUuid(id) ? store.findCampaign(tx, id) : undefined;
}

async function lock(tx: Tx, id: string): Promise<store.CampaignRow> {
  const found = isUuid(id) ? await store.lockCampaign(tx, id, { skipLocked: false }) : undefined;
  return found ?? notFound(id);
}

async function record(
  tx: Tx,
  { tenancy }: CampaignsDeps,
  tenantId: string,
  entry: { actor: Actor; action: string; id: string; details: Record<string, unknown> },
): Promise<void> {
  await tenancy.audit.record(tx, tenantId, {
    actor: entry.actor,
    action: `rotation-campaign.${entry.action}`,
    targetKind: "rotation-campaign",
    targetId: entry.id,
    outcome: "done",
    details: entry.details,
  });
}

function campaignView(row: store.CampaignRow): CampaignView {
  const { id, status, query, concurrency, total, waiting, rotating } = row;
  const { succeeded, failed, skipped, cancelled } = row;
  return {
    ...{ id, status, query, concurrency, total, waiting, rotating },
    ...{ succeeded, failed, skipped, cancelled },
    deadlineSeconds: row.deadline_seconds,
    jitterSeconds: row.jitter_seconds,
    createdAt: row.created_at,
    createdBy: row.created_by,
    finishedAt: row.finished_at,
  };
}

function deviceView(row: store.CampaignDeviceRow): CampaignDeviceView {
  return {
    deviceId: row.device_id,
    state: row.state,
    commandId: row.command_id,
    sentAt: row.sent_at,
    finishedAt: row.finished_at,
    step: row.step,
    error: row.error,
  };
}

function ended(campaign: store.CampaignRow): AppError {
  return new AppError("conflict", `the campaign is ${campaign.status}`, {
    status: campaign.status,
  });
}

function badCursor(): AppError {
  return new AppError("invalid-cursor", "the cursor belongs to no page of this list");
}

function notFound(id: string): never {
  throw new AppError("not-found", `there is no campaign ${id}`);
}
