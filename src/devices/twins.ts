import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import {
  checkTwinDocument,
  type DeviceIdentity,
  type JsonObject,
  mergePatch,
  type ReportedMessage,
} from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { DevicesDeps } from "./deps.ts";
import { compileFleetQuery } from "./fleet-query.ts";
import { findMembers } from "./registry-store.ts";
import {
  findTwin,
  liftDesired,
  lockTwins,
  storeDesired,
  storeReported,
  type Twin,
} from "./twin-store.ts";
import type { TwinView } from "./types.ts";

/** RFC 7396, or the whole document. */
export type TwinChange = { patch: JsonObject } | { replacement: JsonObject };

/** What devices ought to be and what they say that they are: JSON documents with versions. */
export interface Twins {
  /** Throws `not-found`. */
  get(tenantId: string, deviceId: string): Promise<TwinView>;
  /** `precondition` throws when the twin, locked until the change is done, is not as it should be. */
  change(
    tenantId: string,
    deviceId: string,
    change: TwinChange,
    actor: Actor,
    precondition?: (twin: TwinView) => void,
  ): Promise<TwinView>;
  /**
   * The same patch for many, named or found by a query; a chunk at a time, so that a repetition after
   * a failure changes only those that are left. Refuses all where one of the names is unknown.
   */
  changeMany(
    tenantId: string,
    which: { devices: readonly string[] } | { query: string },
    patch: JsonObject,
    actor: Actor,
  ): Promise<{ devices: number; changed: number }>;
  /** What a connected device is told; null where nobody has ever said anything of it. */
  forDelivery(tenantId: string, deviceId: string): Promise<Twin | null>;
  /** Takes what a device reports; true where the device is to be told where the platform stands. */
  record(peer: DeviceIdentity, message: ReportedMessage): Promise<boolean>;
}

export function createTwins({ db, clock, bus, tenancy }: DevicesDeps): Twins {
  const announce = (tenantId: string, deviceIds: readonly string[]) => {
    for (const deviceId of deviceIds) {
      bus.publish(subjects.device(tenantId, deviceId), { kind: "twin" });
    }
  };
  const write = async (tx: Tx, twins: readonly Twin[], change: TwinChange, actor: Actor) => {
    const changes = twins.flatMap((twin) => {
      const next = desiredAfter(twin, change);
      return next ? [{ deviceId: twin.deviceId, ...next }] : [];
    });
    if (changes.length > 0) {
      await storeDesired(tx, changes, { at: new Date(clock.now()), actor: actor.name });
    }
    return changes.map(({ deviceId }) => deviceId);
  };
  const audit = (
    tx: Tx,
    tenantId: string,
    actor: Actor,
    target: { targetKind: string; targetId: string },
    details: Record<string, unknown>,
  ) => {
    const entry = { actor, action: "device.twin", outcome: "done" as const, details };
    return tenancy.audit.record(tx, tenantId, { ...entry, ...target });
  };
  const changeChunk = (
    tenantId: string,
    deviceIds: readonly string[],
    patch: JsonObject,
    actor: Actor,
  ) =>
    db.tenant(tenantId, async (tx) => {
      const twins = await lockTwins(tx, tenantId, deviceIds);
      const changed = await write(tx, twins, { patch }, actor);
      if (changed.length > 0) {
        const target = { targetKind: "fleet", targetId: `${changed.length} devices` };
        const names = Object.keys(patch).slice(0, AUDITED_NAMES);
        await audit(tx, tenantId, actor, target, { properties: names, first: changed[0] });
      }
      return changed;
    });

  return {
    async get(tenantId, deviceId) {
      const twin = await db.tenant(tenantId, (tx) => findTwin(tx, deviceId));
      return seen(twin ?? notFound(deviceId));
    },

    async change(tenantId, deviceId, change, actor, precondition) {
      const [twin, changed] = await db.tenant(tenantId, async (tx) => {
        const [before = notFound(deviceId)] = await lockTwins(tx, tenantId, [deviceId]);
        precondition?.(before);
        const ids = await write(tx, [before], change, actor);
        const properties = Object.keys("patch" in change ? change.patch : change.replacement);
        const details = { properties: properties.slice(0, AUDITED_NAMES) };
        const target = { targetKind: "device", targetId: deviceId };
        if (ids.length > 0) await audit(tx, tenantId, actor, target, details);
        return [await findTwin(tx, deviceId), ids] as const;
      });
      announce(tenantId, changed);
      return seen(twin ?? notFound(deviceId));
    },

    async changeMany(tenantId, which, patch, actor) {
      const ids = await db.tenant(tenantId, async (tx) => {
        const query = "query" in which ? which.query : undefined;
        if (query !== undefined) {
          const members = await findMembers(tx, compileFleetQuery(query), clock.now());
          return members.map(({ id }) => id);
        }
        const named = "devices" in which ? [...new Set(which.devices)].sort() : [];
        for (const id of named) if (!(await findTwin(tx, id))) notFound(id);
        return named;
      });
      let changed = 0;
      for (let from = 0; from < ids.length; from += LIMITS.twinsPerRequest) {
        const chunk = ids.slice(from, from + LIMITS.twinsPerRequest);
        const done = await changeChunk(tenantId, chunk, patch, actor);
        announce(tenantId, done);
        changed += done.length;
      }
      return { devices: ids.length, changed };
    },

    async forDelivery(tenantId, deviceId) {
      const twin = await db.tenant(tenantId, (tx) => findTwin(tx, deviceId));
      return twin && (twin.desiredVersion > 0 || twin.reportedVersion > 0) ? twin : null;
    },

    async record({ tenantId, deviceId }, message) {
      return db.tenant(tenantId, async (tx) => {
        const [twin = notFound(deviceId)] = await lockTwins(tx, tenantId, [deviceId]);
        // CBOR holds what JSON does not.
        const patch = JSON.parse(storableJson(message.patch)) as JsonObject;
        const reported = reportedAfter(twin, { ...message, patch });
        const { desiredVersion: heldVersion, appliedVersion, fault } = message;
        const told = fault ? { ...fault, message: storableText(fault.message) } : null;
        const found = { ...(reported ?? twin), heldVersion, appliedVersion, fault: told };
        await storeReported(tx, deviceId, found, new Date(clock.now()));
        if (heldVersion > twin.desiredVersion) await liftDesired(tx, deviceId, heldVersion);
        return !reported || heldVersion !== twin.desiredVersion;
      });
    },
  };
}

const AUDITED_NAMES = 20;

/** What people are shown of it. */
function seen({ deviceId: _id, lastPatch: _patch, heldVersion: _held, ...view }: Twin): TwinView {
  return view;
}

/** Undefined where the change changes nothing. */
function desiredAfter(
  twin: Twin,
  change: TwinChange,
): { desired: JsonObject; patch: JsonObject | null } | undefined {
  const isPatch = "patch" in change;
  const patch = isPatch ? change.patch : null;
  const desired = mergePatch(isPatch ? twin.desired : {}, patch ?? replacementOf(change));
  checkTwinDocument(desired, "desired", "invalid-request");
  if (JSON.stringify(sorted(desired)) === JSON.stringify(sorted(twin.desired))) return undefined;
  return { desired: desired as JsonObject, patch };
}

function replacementOf(change: TwinChange): JsonObject {
  return "replacement" in change ? change.replacement : change.patch;
}

/** PostgreSQL keeps its own order of names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}

/** Null where the patch starts from what the platform does not hold. */
function reportedAfter(
  twin: Twin,
  { version, from, patch }: ReportedMessage,
): Pick<Twin, "reported" | "reportedVersion"> | null {
  // Delivered once more: it has been taken in already.
  if (from !== 0 && version === twin.reportedVersion) return twin;
  if (from !== 0 && from !== twin.reportedVersion) return null;
  const reported = mergePatch(from === 0 ? {} : twin.reported, patch) as JsonObject;
  checkTwinDocument(reported, "reported");
  return { reported, reportedVersion: version };
}

function notFound(deviceId: string): never {
  throw new AppError("not-found", `there is no device ${deviceId}`);
}
