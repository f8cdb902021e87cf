import { type Bus, subjects } from "../bus/index.ts";
import type { Database, Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { AppError, type Clock, isUuid, timeOrderedId } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import type {
  CommandMessage,
  CommandResult,
  DeviceIdentity,
  CommandStatus as ReportedStatus,
} from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as store from "./commands-store.ts";
import { checkNewCommand, effectOfResult, MAX_TARGETS, storableResult } from "./lifecycle.ts";
import type {
  CommandPage,
  CommandStatus,
  CommandView,
  ExpiredCommand,
  NewCommand,
} from "./types.ts";

const DEFAULT_PAGE = 100;

export interface CommandsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  tenancy: Pick<Tenancy, "audit">;
}

/** Commands to devices: a queue for each device in PostgreSQL, delivered at least once, in order. */
export interface Commands {
  /**
   * Queues a command for devices by id or by fleet query. Refusals: `not-found` where one of the
   * ids is no active device, `quota-exceeded` where a queue is full; then nothing is queued.
   */
  send(
    tenantId: string,
    command: NewCommand,
    actor: Actor,
    traceparent: string | null,
  ): Promise<CommandView[]>;
  /** What waits for the device, oldest first. */
  undelivered(tenantId: string, deviceId: string, limit: number): Promise<CommandMessage[]>;
  /** The device has acknowledged the receipt of these. */
  markDelivered(tenantId: string, deviceId: string, ids: readonly string[]): Promise<void>;
  /**
   * A device's report; repeating it changes nothing. After expiry or cancellation it is recorded
   * beside the final state. `not-found` for a command that is not this device's.
   */
  recordResult(peer: DeviceIdentity, commandId: string, result: CommandResult): Promise<void>;
  /** Ends at most EXPIRY_BATCH overdue commands; call until empty. */
  expireDue(tenantId: string, nowMs: number): Promise<ExpiredCommand[]>;
  /** Newest first. */
  list(
    tenantId: string,
    filter?: { deviceId?: string; status?: CommandStatus; cursor?: string; limit?: number },
  ): Promise<CommandPage>;
  get(tenantId: string, id: string): Promise<CommandView>;
  /** Only while it waits: what a device holds cannot be called back, and is a `conflict`. */
  cancel(tenantId: string, id: string, actor: Actor): Promise<CommandView>;
}

export function createCommands({ db, clock, bus, tenancy }: CommandsDeps): Commands {
  return {
    async send(tenantId, command, actor, traceparent) {
      const args = checkNewCommand(command);
      const query = command.query === undefined ? undefined : compileFleetQuery(command.query);
      const now = clock.now();
      const sent = await db.tenant(tenantId, async (tx) => {
        await store.lockQueue(tx, tenantId);
        const deviceIds = query
          ? await store.devicesByQuery(tx, query, now)
          : await targetsById(tx, command.deviceIds ?? []);
        await refuseOverflow(tx, deviceIds);
        const targets = deviceIds.map((deviceId) => ({ id: timeOrderedId(now), deviceId }));
        const commands = await store.insertCommands(tx, tenantId, targets, {
          name: command.name,
          args,
          createdAt: new Date(now),
          createdBy: actor.name,
          expiresAt: new Date(now + command.ttlSeconds * 1_000),
          traceparent,
        });
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "command.send",
          targetKind: deviceIds.length === 1 ? "device" : "fleet",
          targetId: deviceIds.length === 1 ? (deviceIds[0] as string) : (query?.text ?? ""),
          outcome: "done",
          details: { name: command.name, devices: deviceIds.length },
        });
        return commands;
      });
      for (const { deviceId } of sent) {
        bus.publish(subjects.device(tenantId, deviceId), { kind: "command" });
      }
      return sent;
    },

    undelivered: (tenantId, deviceId, limit) =>
      db.tenant(tenantId, (tx) => store.queuedFor(tx, deviceId, new Date(clock.now()), limit)),

    async markDelivered(tenantId, deviceId, ids) {
      if (ids.length === 0) return;
      const now = new Date(clock.now());
      await db.tenant(tenantId, (tx) => store.setDelivered(tx, deviceId, ids, now));
    },

    async recordResult(peer, commandId, result) {
      const stored = storableResult(result);
      await db.tenant(peer.tenantId, async (tx) => {
        const command = isUuid(commandId)
          ? await store.lockCommand(tx, commandId, peer.deviceId)
          : undefined;
        if (!command) notFound(commandId);
        const effect = effectOfResult(command.status, result.status);
        const now = new Date(clock.now());
        if (effect === "record-late") {
          await store.setLateResult(tx, commandId, storableJson(result), now);
        } else if (effect !== "ignore") {
          await store.setResult(tx, commandId, {
            status: result.status as ReportedStatus,
            ...stored,
            now,
            finished: effect === "finish",
          });
        }
      });
    },

    expireDue: (tenantId, nowMs) =>
      db.tenant(tenantId, (tx) => store.expireOverdue(tx, new Date(nowMs))),

    async list(tenantId, { limit = DEFAULT_PAGE, cursor, ...filter } = {}) {
      if (cursor !== undefined && !isUuid(cursor)) {
        throw new AppError("invalid-cursor", "the cursor belongs to no page of this list");
      }
      return db.tenant(tenantId, (tx) => store.listCommands(tx, { ...filter, cursor, limit }));
    },

    async get(tenantId, id) {
      if (!isUuid(id)) notFound(id);
      const command = await db.tenant(tenantId, (tx) => store.findCommand(tx, id));
      return command ?? notFound(id);
    },

    async cancel(tenantId, id, actor) {
      if (!isUuid(id)) notFound(id);
      const cancelled = await db.tenant(tenantId, async (tx) => {
        const command = await store.lockCommand(tx, id);
        if (!command) notFound(id);
        if (command.status !== "queued") {
          throw new AppError(
            "conflict",
            `the command is ${command.status} and cannot be cancelled`,
            {
              status: command.status,
            },
          );
        }
        await store.setCancelled(tx, id, new Date(clock.now()));
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "command.cancel",
          targetKind: "command",
          targetId: id,
          outcome: "done",
          details: { deviceId: command.deviceId },
        });
        return store.findCommand(tx, id);
      });
      return cancelled ?? notFound(id);
    },
  };
}

async function targetsById(tx: Tx, deviceIds: readonly string[]): Promise<string[]> {
  const asked = [...new Set(deviceIds)];
  const found = await store.activeDevices(tx, asked);
  if (found.length < asked.length) throw store.unknownTargets(asked, found);
  return found;
}

async function refuseOverflow(tx: Tx, deviceIds: readonly string[]): Promise<void> {
  if (deviceIds.length > MAX_TARGETS) {
    throw new AppError("quota-exceeded", `the query finds more than ${MAX_TARGETS} devices`);
  }
  const full = await store.fullQueues(tx, deviceIds);
  if (full.length > 0) {
    throw new AppError("quota-exceeded", "the command queue of a device is full", {
      deviceIds: full.slice(0, 100),
    });
  }
}

function notFound(id: string): never {
  throw new AppError("not-found", `there is no command ${id}`);
}
