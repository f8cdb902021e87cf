import type { Tx } from "../db/index.ts";
import { compileFleetQuery, type FleetQuery } from "../devices/index.ts";
import { AppError, timeOrderedId } from "../kernel/index.ts";
import type { Actor, AuditRecord, Tenancy } from "../tenancy/index.ts";
import * as batches from "./batches-store.ts";
import { queueFull, unknownTargets } from "./commands-errors.ts";
import { type FreshCommand, freshCommand } from "./fresh-command.ts";
import { checkNewCommand, MAX_TARGETS } from "./new-command.ts";
import * as store from "./sending-store.ts";
import type { BatchView, CommandView, NewCommand } from "./types.ts";

/** An order that has been checked, and by whom it was given. */
export interface SendRequest {
  command: NewCommand;
  /** JSON text. */
  args: string;
  query: FleetQuery | undefined;
  actor: Actor;
  traceparent: string | null;
}

/** Views that one order is answered with; the others stand in its batch. */
const MAX_VIEWS = 500;

/** Throws `invalid-request`, `invalid-query` or `payload-too-large`. */
export function checkRequest(
  command: NewCommand,
  actor: Actor,
  traceparent: string | null,
): SendRequest {
  const args = checkNewCommand(command);
  const query = command.query === undefined ? undefined : compileFleetQuery(command.query);
  return { command, args, query, actor, traceparent };
}

/** Orders to devices by name with nothing to replace: they may share a transaction with others. */
export function isPlain({ command }: SendRequest): boolean {
  const { deviceIds, coalesceKey, pace } = command;
  return deviceIds !== undefined && deviceIds.length <= MAX_VIEWS && !coalesceKey && !pace;
}

export interface Sent {
  views: CommandView[];
  /** Devices for which something is queued now. */
  deviceIds: string[];
  batchId: string | null;
  /** Where it is known without a look. */
  batch?: BatchView | null;
  total: number;
  /** By device what its gateway needs to send the command; nothing of what it must look up. */
  fresh?: ReadonlyMap<string, FreshCommand>;
}

type Target = Pick<store.CommandTarget, "id" | "deviceId">;

interface Order {
  request: SendRequest;
  targets: store.CommandTarget[];
  batchId: string | null;
  batch: batches.NewBatch | null;
}

/** Writes orders, each into the queues of its devices, in the caller's transaction. */
export class Sending {
  readonly #tx: Tx;
  readonly #tenantId: string;
  readonly #audit: Tenancy["audit"];
  readonly #now: number;

  constructor(tx: Tx, tenantId: string, audit: Tenancy["audit"], now: number) {
    this.#tx = tx;
    this.#tenantId = tenantId;
    this.#audit = audit;
    this.#now = now;
  }

  /**
   * Plain orders together: what is refused of one is its own affair. `alone` is an order to several
   * devices that cannot be taken as it is; by itself it will be told why.
   */
  async plain(requests: readonly SendRequest[]): Promise<(Sent | AppError | "alone")[]> {
    if (requests.length === 0) return [];
    const orders = requests.map((request, record) => this.#orderOf(request, record));
    const queued = await store.queueEach(this.#tx, this.#tenantId, {
      targets: orders.flatMap(({ targets }) => targets),
      records: orders.map(({ request, batchId }) => this.#recordOf(request, batchId)),
      batches: orders.flatMap(({ batch }) => batch ?? []),
    });
    const last = new Map<string, number>();
    const entries: AuditRecord[] = [];
    let first = 0;
    const results = orders.map((order) => {
      const places = queued.slice(first, first + order.targets.length);
      first += order.targets.length;
      if (places.some(({ outcome }) => outcome !== "queued")) return refusalOf(order, places);
      const deviceIds = order.targets.map(({ deviceId }) => deviceId);
      entries.push(entryOf(order.request, deviceIds, order.batchId));
      return this.#sentOf(order, places, last);
    });
    await this.#audit.recordAll(this.#tx, this.#tenantId, entries);
    return results;
  }

  #orderOf(request: SendRequest, record: number): Order {
    const asked = request.command.deviceIds as readonly string[];
    const targets = [...new Set(asked)].sort().map((deviceId) => {
      return { id: timeOrderedId(this.#now), deviceId, record };
    });
    const batchId = asked.length > 1 ? timeOrderedId(this.#now) : null;
    const batch = batchId ? this.#batchOf(batchId, request, targets.length) : null;
    return { request, targets, batchId, batch };
  }

  /** `last` is what each device has been given by the orders before this one. */
  #sentOf(order: Order, places: readonly store.Queued[], last: Map<string, number>): Sent {
    const { request, targets, batchId } = order;
    const { command, args, traceparent } = request;
    const fresh = new Map<string, FreshCommand>();
    for (const [index, { id, deviceId }] of targets.entries()) {
      const { seq, ahead } = places[index] as store.Queued;
      const place = { seq: seq as number, ahead: last.get(deviceId) ?? ahead };
      last.set(deviceId, place.seq);
      const one = freshCommand({ id, args, traceparent }, command, place, this.#now);
      if (one) fresh.set(deviceId, one);
    }
    const views = targets.map((target) => this.#viewOf(target, request, batchId));
    const deviceIds = targets.map(({ deviceId }) => deviceId);
    const batch = order.batch && batches.viewOfQueued(order.batch);
    return { views, deviceIds, batchId, batch, total: targets.length, fresh };
  }

  /** Any order; throws `not-found` or `quota-exceeded`, and then nothing may be committed. */
  async one(request: SendRequest): Promise<Sent> {
    const { command } = request;
    const now = new Date(this.#now);
    const deviceIds = await this.#targetsOf(request);
    if (deviceIds.length > MAX_TARGETS) {
      throw new AppError("quota-exceeded", `more than ${MAX_TARGETS} devices are meant`);
    }
    const targets = deviceIds.map((deviceId) => ({
      id: timeOrderedId(this.#now),
      deviceId,
      record: 0,
    }));
    if (command.coalesceKey !== undefined) {
      await store.replaceOlder(this.#tx, command.coalesceKey, targets, now);
    }
    const full = await store.fullQueues(this.#tx, new Map(deviceIds.map((id) => [id, 1])));
    if (full.length > 0) throw queueFull(full);
    const isBatch = targets.length > 0 && (command.deviceIds?.length !== 1 || command.pace);
    const batchId = isBatch ? timeOrderedId(this.#now) : null;
    if (batchId) {
      await batches.insertBatch(this.#tx, this.#batchOf(batchId, request, deviceIds.length));
    }
    await store.insertCommands(this.#tx, this.#tenantId, targets, [
      this.#recordOf(request, batchId),
    ]);
    const released =
      batchId && command.pace ? await batches.releaseDue(this.#tx, batchId, this.#now) : deviceIds;
    await this.#audit.record(this.#tx, this.#tenantId, entryOf(request, deviceIds, batchId));
    const isReleased = new Set(released);
    const views = targets.slice(0, MAX_VIEWS).map((target) => {
      const view = this.#viewOf(target, request, batchId);
      return { ...view, status: isReleased.has(target.deviceId) ? "queued" : "waiting" } as const;
    });
    return { views, deviceIds: released, batchId, total: targets.length };
  }

  async #targetsOf({ command, query }: SendRequest): Promise<string[]> {
    if (query) return store.devicesByQuery(this.#tx, query, this.#now);
    if (command.group !== undefined) {
      const text = await store.queryOfGroup(this.#tx, command.group);
      if (text === undefined) throw new AppError("not-found", `there is no group ${command.group}`);
      return store.devicesByQuery(this.#tx, compileFleetQuery(text), this.#now);
    }
    const asked = [...new Set(command.deviceIds)];
    const found = await store.activeDevices(this.#tx, asked);
    if (found.length < asked.length) throw unknownTargets(asked, found);
    return found;
  }

  #batchOf(id: string, request: SendRequest, devices: number): batches.NewBatch {
    const { command, query, actor, traceparent } = request;
    const { pace = {} } = command;
    return {
      tenant_id: this.#tenantId,
      id,
      name: command.name,
      target_kind: query ? "query" : command.group === undefined ? "devices" : "group",
      target: query?.text ?? command.group ?? String(devices),
      state: "running",
      device_count: devices,
      ttl_seconds: command.ttlSeconds,
      concurrency: pace.concurrency ?? null,
      batch_size: pace.batchSize ?? null,
      interval_seconds: pace.intervalSeconds ?? null,
      release_at: null,
      created_at: new Date(this.#now),
      created_by: actor.name,
      traceparent,
    };
  }

  #recordOf(request: SendRequest, batchId: string | null): store.CommandRecord {
    const { command, actor } = request;
    const { deadlines = {}, retry } = command;
    const deliver = deadlines.deliveredSeconds ?? null;
    const isPaced = batchId !== null && command.pace !== undefined;
    const at = (seconds: number) => new Date(this.#now + seconds * 1_000).toISOString();
    return {
      name: command.name,
      args: JSON.parse(request.args),
      status: isPaced ? "waiting" : "queued",
      batch_id: batchId,
      priority: command.priority ?? 0,
      coalesce_key: command.coalesceKey ?? null,
      deliver_seconds: deliver,
      accept_seconds: deadlines.acceptedSeconds ?? null,
      run_seconds: deadlines.runningSeconds ?? null,
      deadline_at: deliver === null || isPaced ? null : at(deliver),
      max_attempts: retry?.attempts ?? 1,
      retry_seconds: retry?.delaySeconds ?? 0,
      retry_on: retry?.on ?? [],
      created_at: at(0),
      created_by: actor.name,
      expires_at: at(command.ttlSeconds),
      traceparent: request.traceparent,
    };
  }

  #viewOf({ id, deviceId }: Target, request: SendRequest, batchId: string | null): CommandView {
    const { command, actor, traceparent, args } = request;
    return {
      ...{ id, deviceId, batchId, name: command.name, args: JSON.parse(args), status: "queued" },
      priority: command.priority ?? 0,
      coalesceKey: command.coalesceKey ?? null,
      attempt: 1,
      maxAttempts: command.retry?.attempts ?? 1,
      retryDelaySeconds: command.retry?.delaySeconds ?? 0,
      retryOn: command.retry?.on ?? [],
      deadlines: {
        deliveredSeconds: command.deadlines?.deliveredSeconds ?? null,
        acceptedSeconds: command.deadlines?.acceptedSeconds ?? null,
        runningSeconds: command.deadlines?.runningSeconds ?? null,
      },
      ...{ retryOf: null, retriedBy: null, replacedBy: null },
      createdAt: new Date(this.#now).toISOString(),
      createdBy: actor.name,
      expiresAt: new Date(this.#now + command.ttlSeconds * 1_000).toISOString(),
      ...{ deliveredAt: null, acceptedAt: null, finishedAt: null, progress: null },
      ...{ output: null, error: null, stream: null, streamCut: false, lateResult: null },
      traceparent,
    };
  }
}

function entryOf(
  { actor, command, query, traceparent }: SendRequest,
  deviceIds: readonly string[],
  batchId: string | null,
): AuditRecord {
  const single = deviceIds.length === 1;
  return {
    actor,
    action: "command.send",
    targetKind: single ? "device" : "fleet",
    targetId: single ? (deviceIds[0] as string) : (query?.text ?? command.group ?? ""),
    outcome: "done",
    // Orders that share a transaction have each their own trace.
    traceId: traceparent?.split("-")[1],
    details: {
      name: command.name,
      devices: deviceIds.length,
      ...(batchId ? { batchId } : {}),
    },
  };
}

function refusalOf({ targets }: Order, [place]: readonly store.Queued[]): AppError | "alone" {
  if (targets.length > 1) return "alone";
  const target = targets[0] as Target;
  return place?.outcome === "unknown-device"
    ? unknownTargets([target.deviceId], [])
    : queueFull([target.deviceId]);
}
