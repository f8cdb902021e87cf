import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import {
  type ConnectionEvent,
  latestConnections,
  releaseGateway,
  storeConnections,
} from "./connections-store.ts";
import type { DevicesDeps } from "./deps.ts";
import { createHealthReports, type HealthReports } from "./health-reports.ts";
import { latestHeartbeats, storeHeartbeats } from "./heartbeats-store.ts";
import { deleteOldIncidents, storeIncidents, takeUncounted } from "./incidents-store.ts";
import { lateAt } from "./presence.ts";
import type { PresencePolicies } from "./presence-rules.ts";
import {
  countKnown,
  countSilences,
  findSilent,
  moveDuePresence,
  POSTPONE_BATCH,
  postponeDeadlines,
  readGatewaysInUse,
  readLiveGateways,
  readSilence,
  type Silence,
} from "./presence-store.ts";
import type {
  HeartbeatRecord,
  Incident,
  Presence,
  PresenceChange,
  PresenceRule,
  PresenceRules,
  UncountedIncident,
} from "./types.ts";

/** Most events of one statement, and how long the first of them waits for company. */
const CONNECTION_BATCH = { maxBatchSize: 500, maxDelayMs: 10, maxQueuedSize: 20_000 };

/** What arrives about devices from the gateways, and what the passing of time says about them. */
export interface DeviceReports extends HealthReports {
  /** Resolves when it is known to the database. */
  connected(
    peer: DeviceIdentity,
    connection: { gatewayId: string; connectionId: string },
  ): Promise<void>;
  /** Changes nothing when another connection has taken over. */
  disconnected(
    peer: DeviceIdentity,
    connection: { connectionId: string; reason: string },
  ): Promise<void>;
  /** One statement for each tenant of the batch; resolves when durable. */
  recordHeartbeats(batch: readonly HeartbeatRecord[]): Promise<void>;
  /** Returns those that were not known before; safe to repeat. */
  recordIncidents(batch: readonly Incident[]): Promise<Incident[]>;
  /**
   * Incidents that no rollout has counted yet, at most `limit`, marked as counted within the
   * caller's transaction: it commits together with what it makes of them, or not at all.
   */
  takeIncidents(tx: Tx, tenantId: string, limit: number): Promise<UncountedIncident[]>;
  /** Deletes a batch of the incidents that are too old to matter; returns how many. */
  forgetIncidents(tenantId: string, nowMs: number): Promise<number>;
  /**
   * Moves at most PRESENCE_BATCH devices whose silence has become too long; call until `due` is less.
   * Devices that are connected to a gateway that `isHeld` names are put off.
   */
  expirePresence(
    tenantId: string,
    nowMs: number,
    isHeld?: (gatewayId: string) => boolean,
  ): Promise<{ due: number; changes: PresenceChange[] }>;
  /** Gateways that live by their own word. */
  liveGateways(): Promise<string[]>;
  /** Gateways to which devices of a tenant are connected, by what was written last. */
  gatewaysInUse(tenantId: string): Promise<string[]>;
  /** How many devices fell silent between two moments. */
  silencesBetween(tenantId: string, fromMs: number, toMs: number): Promise<number>;
  /** How many have fallen silent since a moment, and how many could. */
  silence(tenantId: string, sinceMs: number): Promise<Silence>;
  /** Those of the given devices that are offline and in service. */
  stillSilent(
    tenantId: string,
    deviceIds: readonly string[],
  ): Promise<{ deviceId: string; lastSeenAt: Date | null }[]>;
  /** Devices that lost the platform at one moment go offline within this time. */
  silenceWindowMs(tenantId: string): Promise<number>;
  /** Gives every device another interval to be heard: called when the platform listens again. */
  extendPresenceDeadlines(nowMs: number): Promise<void>;
  /** Frees the connections that an earlier life of this gateway left behind, with the same grace. */
  gatewayStarted(gatewayId: string): Promise<void>;
  /** Writes the connection events that wait. */
  flush(): Promise<void>;
}

export function createReports(deps: DevicesDeps, policies: PresencePolicies): DeviceReports {
  const { db, clock, bus } = deps;
  const announce = (
    tenantId: string,
    changes: readonly { deviceId: string; presence: Presence }[],
  ) => {
    for (const { deviceId, presence } of changes) {
      bus.publish(subjects.fleet(tenantId), { deviceId, presence });
    }
  };
  const graceUntil = async (tenantId: string, nowMs: number) =>
    new Date(lateAt(nowMs, slowestOf(await policies.rules(tenantId))));

  const connections = new KeyedBatcher<ConnectionEvent>({
    ...CONNECTION_BATCH,
    async write(tenantId, events) {
      const rules = await policies.rules(tenantId);
      const latest = latestConnections(events);
      announce(tenantId, await db.tenant(tenantId, (tx) => storeConnections(tx, latest, rules)));
    },
  });

  /** When the platform last began to listen, after a time in which it did not. */
  let graceFrom = Number.NEGATIVE_INFINITY;
  /** To count a fleet costs the fleet: once a minute is often enough, and only while some are away. */
  const fleetSizes = new TtlCache<number>({ clock, ttlMs: 60_000, maxEntries: 10_000 });

  return {
    ...createHealthReports(deps),

    connected(peer, { gatewayId, connectionId }) {
      return connections.add(peer.tenantId, {
        tenantId: peer.tenantId,
        deviceId: peer.deviceId,
        connectionId,
        at: clock.now(),
        change: { kind: "began", gatewayId },
      });
    },

    disconnected(peer, { connectionId, reason }) {
      return connections.add(peer.tenantId, {
        tenantId: peer.tenantId,
        deviceId: peer.deviceId,
        connectionId,
        at: clock.now(),
        change: { kind: "ended", reason },
      });
    },

    async recordHeartbeats(batch) {
      for (const [tenantId, records] of Map.groupBy(batch, (record) => record.tenantId)) {
        const rules = await policies.rules(tenantId);
        const latest = latestHeartbeats(records);
        const changed = await db.tenant(tenantId, (tx) => storeHeartbeats(tx, latest, rules));
        announce(tenantId, changed);
      }
    },

    async recordIncidents(batch) {
      const added: Incident[] = [];
      for (const [tenantId, incidents] of Map.groupBy(batch, (incident) => incident.tenantId)) {
        const now = clock.now();
        added.push(
          ...(await db.tenant(tenantId, (tx) => storeIncidents(tx, tenantId, incidents, now))),
        );
      }
      return added;
    },

    takeIncidents: (tx, tenantId, limit) => takeUncounted(tx, tenantId, clock.now(), limit),

    forgetIncidents: (tenantId, nowMs) =>
      db.tenant(tenantId, (tx) =>
        deleteOldIncidents(tx, tenantId, new Date(nowMs - INCIDENTS_KEPT_MS), FORGET_BATCH),
      ),

    async expirePresence(tenantId, nowMs, isHeld = () => false) {
      const rules = await policies.rules(tenantId);
      const graceUntil = lateAt(graceFrom, slowestOf(rules));
      const moved = await db.tenant(tenantId, (tx) =>
        moveDuePresence(tx, tenantId, rules, nowMs, { isHeld, graceUntil }),
      );
      announce(tenantId, moved.changes);
      return moved;
    },

    liveGateways: () =>
      db.platform((tx) => readLiveGateways(tx, new Date(clock.now() - GATEWAY_SILENT_MS))),

    gatewaysInUse: (tenantId) => db.tenant(tenantId, (tx) => readGatewaysInUse(tx, tenantId)),

    silencesBetween: (tenantId, fromMs, toMs) =>
      db.tenant(tenantId, (tx) => countSilences(tx, new Date(fromMs), new Date(toMs))),

    async silence(tenantId, sinceMs) {
      const known = await fleetSizes.load(tenantId, () =>
        db.tenant(tenantId, (tx) => countKnown(tx, tenantId)),
      );
      const since = new Date(sinceMs);
      const silence = await db.tenant(tenantId, (tx) => readSilence(tx, tenantId, since));
      return { ...silence, known: Math.max(known, silence.devices) };
    },

    stillSilent: (tenantId, deviceIds) =>
      db.tenant(tenantId, (tx) => findSilent(tx, tenantId, deviceIds, new Date(clock.now()))),

    async silenceWindowMs(tenantId) {
      const { heartbeatIntervalSeconds } = slowestOf(await policies.rules(tenantId));
      return Math.max(MIN_WINDOW_MS, 2_000 * heartbeatIntervalSeconds);
    },

    async extendPresenceDeadlines(nowMs) {
      graceFrom = nowMs;
    },

    async gatewayStarted(gatewayId) {
      for (const tenantId of await db.tenantsOnGateway(gatewayId)) {
        const until = await graceUntil(tenantId, clock.now());
        await db.tenant(tenantId, (tx) => releaseGateway(tx, gatewayId, new Date(clock.now())));
        for (let batch = 0; batch < MAX_POSTPONED_BATCHES; batch += 1) {
          const early = await db.tenant(tenantId, (tx) => postponeDeadlines(tx, until));
          if (early < POSTPONE_BATCH) break;
        }
      }
    },

    flush: () => connections.flush(),
  };
}

/** Of a tenant whose products differ: that of those which speak least often. */
function slowestOf({ usual, products }: PresenceRules): PresenceRule {
  return [...products.values()].reduce(
    (slowest, rule) =>
      rule.heartbeatIntervalSeconds > slowest.heartbeatIntervalSeconds ? rule : slowest,
    usual,
  );
}

const MIN_WINDOW_MS = 60_000;
/** Gateways say every five seconds that they live. */
const GATEWAY_SILENT_MS = 20_000;
/** Longer than any rollout looks back. */
export const INCIDENTS_KEPT_MS = 90 * 86_400_000;
const FORGET_BATCH = 10_000;
/** Ten million devices. */
const MAX_POSTPONED_BATCHES = 2_000;
