import type { Database, Tx } from "../db/index.ts";
import { type AppError, type Clock, isAppError } from "../kernel/index.ts";
import type { Random } from "../kernel/random.ts";
import type { Actor } from "../tenancy/index.ts";
import { dueTimes, freeSlots, judgeRotation } from "./campaign-rules.ts";
import * as store from "./campaign-store.ts";

/** The queue of commands, as campaigns use it. */
export interface CommandSender {
  send(
    tenantId: string,
    command: { deviceIds: readonly string[]; name: string; args: unknown; ttlSeconds: number },
    actor: Actor,
    traceparent: string | null,
  ): Promise<{ id: string; deviceId: string }[]>;
  cancel(tenantId: string, id: string, actor: Actor): Promise<unknown>;
}

interface Deps {
  db: Database;
  clock: Clock;
  random: Random;
  commands: CommandSender;
}

/** Devices that are told in one step. */
const MAX_SENT = 200;
/** Tries of one step to leave out devices that cannot be told. */
const MAX_TRIES = 5;

/**
 * One step of a campaign: devices that are done are written down, others are told in their place.
 * The campaign's row is locked, so that of several processes one takes the step; a step that was
 * interrupted finds the commands that it has sent.
 */
export async function tickCampaign(deps: Deps, tenantId: string, id: string): Promise<void> {
  const { db, clock } = deps;
  await db.tenant(tenantId, async (tx) => {
    const campaign = await store.lockCampaign(tx, id, { skipLocked: true });
    if (campaign?.status !== "running") return;
    const now = clock.now();
    await settle(tx, campaign, now);
    await schedule(tx, deps, campaign, now);
    await send(tx, deps, tenantId, campaign, now);
    const counts = await store.countDevices(tx, id);
    const isDone = counts.waiting + counts.scheduled + counts.rotating === 0;
    await store.setCampaign(tx, id, counts, {
      status: isDone ? "finished" : "running",
      finishedAt: isDone ? new Date(now) : null,
    });
  });
}

async function settle(tx: Tx, campaign: store.CampaignRow, now: number): Promise<void> {
  const deadlineMs = campaign.deadline_seconds * 1_000;
  const changes: store.DeviceChange[] = [];
  for (const device of await store.rotatingDevices(tx, campaign.id, new Date(now))) {
    const verdict = judgeRotation(device, deadlineMs, now);
    if (verdict.state === "rotating") continue;
    changes.push({ deviceId: device.deviceId, finishedAt: new Date(now), ...verdict });
  }
  await store.changeDevices(tx, campaign.id, changes);
}

async function schedule(
  tx: Tx,
  { random }: Deps,
  campaign: store.CampaignRow,
  now: number,
): Promise<void> {
  const { reachable, unreachable } = await store.underWay(tx, campaign.id);
  const { concurrency } = campaign;
  const near = await store.nextWaiting(tx, campaign.id, {
    connected: true,
    limit: freeSlots(concurrency, reachable),
  });
  // Who cannot be reached holds no slot of those who can: a wave would stand still until its
  // deadline. They have as many of their own, and none while there are enough who can: all of them
  // may come at once, and then there are less than twice as many as are wanted.
  const isBusy = reachable + near.length >= concurrency;
  const far = await store.nextWaiting(tx, campaign.id, {
    connected: false,
    limit: isBusy ? 0 : freeSlots(concurrency, unreachable),
  });
  const next = [...near, ...far];
  const due = dueTimes(next.length, campaign.jitter_seconds, now, random);
  const changes = next.map((deviceId, index) => ({
    deviceId,
    state: "scheduled" as const,
    dueAt: new Date(due[index] as number),
  }));
  await store.changeDevices(tx, campaign.id, changes);
}

async function send(
  tx: Tx,
  deps: Deps,
  tenantId: string,
  campaign: store.CampaignRow,
  now: number,
): Promise<void> {
  const due = await store.dueDevices(tx, campaign.id, new Date(now), MAX_SENT);
  if (due.length === 0) return;
  const earlier = await store.sentBefore(tx, campaign.id, due);
  const changes: store.DeviceChange[] = [...earlier].map(([deviceId, { id, createdAt }]) => ({
    ...{ deviceId, state: "rotating" as const, commandId: id, sentAt: createdAt },
  }));
  const fresh = due.filter((deviceId) => !earlier.has(deviceId));
  const { sent, left } = await sendTo(deps, tenantId, campaign, fresh);
  for (const { id, deviceId } of sent) {
    changes.push({ deviceId, state: "rotating", commandId: id, sentAt: new Date(now) });
  }
  for (const { deviceId, error } of left) {
    changes.push({ deviceId, state: "skipped", error, finishedAt: new Date(now) });
  }
  await store.changeDevices(tx, campaign.id, changes);
}

/** Tells the devices to rotate; those that cannot be told are left out, with the reason. */
async function sendTo(
  { commands }: Deps,
  tenantId: string,
  campaign: store.CampaignRow,
  deviceIds: readonly string[],
): Promise<{
  sent: { id: string; deviceId: string }[];
  left: { deviceId: string; error: string }[];
}> {
  const left: { deviceId: string; error: string }[] = [];
  let remaining = [...deviceIds];
  for (let attempt = 0; attempt < MAX_TRIES && remaining.length > 0; attempt += 1) {
    try {
      const command = {
        deviceIds: remaining,
        name: "rotate-certificate",
        args: { campaignId: campaign.id },
        ttlSeconds: campaign.deadline_seconds,
      };
      return { sent: await commands.send(tenantId, command, actorOf(campaign), null), left };
    } catch (error) {
      const refused = refusedDevices(error);
      if (!refused) throw error;
      for (const deviceId of refused) left.push({ deviceId, error: (error as AppError).message });
      remaining = remaining.filter((deviceId) => !refused.includes(deviceId));
    }
  }
  return { sent: [], left };
}

/** The devices because of which the queue took nothing. */
function refusedDevices(error: unknown): string[] | undefined {
  if (!isAppError(error, "not-found") && !isAppError(error, "quota-exceeded")) return undefined;
  const { deviceIds } = error.details;
  return Array.isArray(deviceIds) && deviceIds.length > 0 ? deviceIds.map(String) : undefined;
}

function actorOf(campaign: store.CampaignRow): Actor {
  return { kind: "system", id: campaign.id, name: `rotation for ${campaign.created_by}` };
}
