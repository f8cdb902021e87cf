import { type Bus, subjects } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import { confinementIn } from "../kernel/confinement.ts";
import { AppError, type Clock, isUuid } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import type { CommandResult, DeviceIdentity } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import { type Batches, checkCursor, createBatches } from "./batches.ts";
import { unknownCommand } from "./commands-errors.ts";
import * as store from "./commands-store.ts";
import { doDue } from "./due-store.ts";
import { isFinalStatus } from "./lifecycle.ts";
import { QueueGauge } from "./queue-gauge.ts";
import { type Report, readReport, recordReports } from "./reports.ts";
import { checkRequest, isPlain, Sending, type SendRequest, type Sent } from "./sending.ts";
import type {
  BatchView,
  CommandPage,
  CommandStatus,
  CommandView,
  EndedCommand,
  NewCommand,
  QueuedCommand,
} from "./types.ts";

const DEFAULT_PAGE = 100;
/** What arrives within so short a time shares a transaction: one commit for all of it. */
const TOGETHER = { maxBatchSize: 200, maxDelayMs: 2, maxQueuedSize: 20_000 };
/** Nobody waits for the record of a delivery, and its sync to disk holds up those of new orders. */
const DELIVERIES_DELAY_MS = 20;

/**
 * Makes the order of commits the order of `seq`, and the count of open commands exact: without it
 * a command could be sent before another that has the lower number.
 */
const QUEUE_LOCK = { lock: "commands" } as const;

export interface CommandsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  tenancy: Pick<Tenancy, "audit">;
  /** Open commands that a tenant may have; `LIMITS.commandsOpenPerTenant` where left out. */
  openPerTenant?: number;
}

/** Commands to devices: a queue for each device in PostgreSQL, delivered at least once, in order. */
export interface Commands {
  /**
   * Queues a command for devices by id, by group or by fleet query; for more than one device it
   * becomes a batch. Returns the first 500 commands. Refusals: `not-found` where one of the ids is
   * no active device, `quota-exceeded` where a queue is full; then nothing is queued.
   */
  send(
    tenantId: string,
    command: NewCommand,
    actor: Actor,
    traceparent: string | null,
  ): Promise<CommandView[]>;
  /** The same, with the batch that it has become. */
  order(
    tenantId: string,
    command: NewCommand,
    actor: Actor,
    traceparent: string | null,
  ): Promise<{ items: CommandView[]; batch: BatchView | null }>;
  /** What waits for the device: by priority, then oldest first. */
  undelivered(tenantId: string, deviceId: string, limit: number): Promise<QueuedCommand[]>;
  /** The device has acknowledged the receipt of these. */
  markDelivered(tenantId: string, deviceId: string, ids: readonly string[]): Promise<void>;
  /**
   * A device's report; repeating it changes nothing. After an end that the platform has set it is
   * recorded beside that end. `not-found` for a command that is not this device's.
   */
  recordResult(peer: DeviceIdentity, commandId: string, result: CommandResult): Promise<void>;
  /**
   * Does what has become due: ends what is late, at most EXPIRY_BATCH commands (call again until
   * none is returned), and queues new attempts and what the pace of batches allows.
   */
  expireDue(tenantId: string, nowMs: number): Promise<EndedCommand[]>;
  /** Newest first. */
  list(
    tenantId: string,
    filter?: { deviceId?: string; status?: CommandStatus; cursor?: string; limit?: number },
  ): Promise<CommandPage>;
  get(tenantId: string, id: string): Promise<CommandView>;
  /** Only while it waits: what a device holds cannot be called back, and is a `conflict`. */
  cancel(tenantId: string, id: string, actor: Actor): Promise<CommandView>;
  batches: Batches;
}

export function createCommands(deps: CommandsDeps): Commands {
  const { db, clock, tenancy } = deps;
  const gauge = new QueueGauge(clock, deps.openPerTenant);
  const wake = (tenantId: string, deviceIds: readonly string[], known?: Sent["fresh"]) => {
    for (const deviceId of new Set(deviceIds)) {
      const fresh = known?.get(deviceId);
      const message = { kind: "command", ...(fresh ? { fresh } : {}) };
      deps.bus.publish(subjects.device(tenantId, deviceId), message);
    }
  };
  const plain = new KeyedBatcher<SendRequest, Sent | AppError | "alone">({
    ...TOGETHER,
    write: (tenantId, requests) =>
      db.tenant(
        tenantId,
        async (tx) => {
          const refusals = new Map<SendRequest, AppError>();
          for (const request of requests) {
            const refusal = await gauge.refusal(tx, tenantId, sizeOf(request));
            if (refusal) refusals.set(request, refusal);
          }
          const taken = requests.filter((request) => !refusals.has(request));
          const sending = new Sending(tx, tenantId, tenancy.audit, clock.now());
          const sent = await sending.plain(taken);
          const results = new Map(taken.map((request, index) => [request, sent[index]]));
          return requests.map((one) => refusals.get(one) ?? results.get(one) ?? "alone");
        },
        QUEUE_LOCK,
      ),
  });
  const reads = new KeyedBatcher<{ deviceId: string; limit: number }, QueuedCommand[]>({
    ...TOGETHER,
    maxDelayMs: 1,
    async write(tenantId, wanted) {
      const now = new Date(clock.now());
      const found = await db.tenant(tenantId, (tx) => store.queuedFor(tx, wanted, now));
      return wanted.map(({ deviceId }) => found.get(deviceId) ?? []);
    },
  });
  const deliveries = new KeyedBatcher<{ deviceId: string; id: string }>({
    ...TOGETHER,
    maxDelayMs: DELIVERIES_DELAY_MS,
    gathers: true,
    write: (tenantId, commands) =>
      db.tenant(tenantId, (tx) => store.setDelivered(tx, commands, new Date(clock.now()))),
  });
  const reports = new KeyedBatcher<Report, boolean>({
    ...TOGETHER,
    write: (tenantId, some) => db.tenant(tenantId, (tx) => recordReports(tx, some, clock.now())),
  });

  const sendAlone = (tenantId: string, request: SendRequest): Promise<Sent> =>
    db.tenant(
      tenantId,
      async (tx) => {
        const sent = await new Sending(tx, tenantId, tenancy.audit, clock.now()).one(request);
        const written = { areWritten: true };
        const refusal = await gauge.refusal(tx, tenantId, sent.total, written);
        if (refusal) throw refusal;
        return sent;
      },
      QUEUE_LOCK,
    );

  const send = async (tenantId: string, request: SendRequest): Promise<Sent> => {
    // What is written for several callers together is written with the rights of the platform.
    const mayShare = isPlain(request) && !confinementIn(tenantId);
    const shared = mayShare ? await plain.add(tenantId, request, sizeOf(request)) : "alone";
    const sent = shared === "alone" ? await sendAlone(tenantId, request) : shared;
    if (sent instanceof AppError) throw sent;
    wake(tenantId, sent.deviceIds, sent.fresh);
    return sent;
  };
  const allBatches = createBatches({ db, clock, tenancy, wake });

  return {
    async send(tenantId, command, actor, traceparent) {
      return (await send(tenantId, checkRequest(command, actor, traceparent))).views;
    },

    async order(tenantId, command, actor, traceparent) {
      const sent = await send(tenantId, checkRequest(command, actor, traceparent));
      const { views: items, batchId, batch } = sent;
      if (batch !== undefined || !batchId) return { items, batch: batch ?? null };
      return { items, batch: await allBatches.get(tenantId, batchId) };
    },

    undelivered: (tenantId, deviceId, limit) => reads.add(tenantId, { deviceId, limit }),

    async markDelivered(tenantId, deviceId, ids) {
      await Promise.all(ids.map((id) => deliveries.add(tenantId, { deviceId, id })));
    },

    async recordResult(peer, commandId, result) {
      const report = readReport(peer, commandId, result);
      if (!(await reports.add(peer.tenantId, report))) unknownCommand(commandId);
    },

    async expireDue(tenantId, nowMs) {
      const { ended, woken } = await db.tenant(tenantId, (tx) => doDue(tx, nowMs));
      wake(tenantId, woken);
      return ended;
    },

    async list(tenantId, { limit = DEFAULT_PAGE, cursor, ...filter } = {}) {
      checkCursor(cursor);
      return db.tenant(tenantId, (tx) => store.listCommands(tx, { ...filter, cursor, limit }));
    },

    async get(tenantId, id) {
      if (!isUuid(id)) unknownCommand(id);
      const command = await db.tenant(tenantId, (tx) => store.findCommand(tx, id));
      return command ?? unknownCommand(id);
    },

    cancel: (tenantId, id, actor) => cancelCommand(deps, tenantId, id, actor),
    batches: allBatches,
  };
}

/** Devices that a plain order names. */
function sizeOf({ command }: SendRequest): number {
  return command.deviceIds?.length ?? 1;
}

async function cancelCommand(
  { db, clock, tenancy }: CommandsDeps,
  tenantId: string,
  id: string,
  actor: Actor,
): Promise<CommandView> {
  if (!isUuid(id)) unknownCommand(id);
  const cancelled = await db.tenant(tenantId, async (tx) => {
    const command = (await store.lockCommand(tx, id)) ?? unknownCommand(id);
    const { status } = command;
    if (status !== "queued" && status !== "waiting") {
      const message = isFinalStatus(status)
        ? `the command has come to its end before: it is ${status}`
        : `the device holds the command (${status}): it cannot be called back`;
      throw new AppError("conflict", message, { status });
    }
    await store.setCancelled(tx, id, new Date(clock.now()));
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action: "command.cancel",
      targetKind: "command",
      targetId: id,
      outcome: "done",
      details: { deviceId: command.device_id },
    });
    return store.findCommand(tx, id);
  });
  return cancelled ?? unknownCommand(id);
}
