import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import {
  type ConnectionEvent,
  latestConnections,
  releaseGateway,
  storeConnections,
} from "./connections-store.ts";
import type { DevicesDeps } from "./deps.ts";
import { latestHeartbeats, storeHeartbeats } from "./heartbeats-store.ts";
import { deleteOldIncidents, storeIncidents, takeUncounted } from "./incidents-store.ts";
import { lateAt } from "./presence.ts";
import {
  findSilent,
  moveDuePresence,
  postponeDeadlines,
  readSilence,
  type Silence,
} from "./presence-store.ts";
import type {
  HeartbeatRecord,
  Incident,
  Presence,
  PresenceChange,
  UncountedIncident,
} from "./types.ts";

/** Most events of one statement, and how long the first of them waits for company. */
const CONNECTION_BATCH = { maxBatchSize: 500, maxDelayMs: 10, maxQueuedSize: 20_000 };

/** What arrives about devices from the gateways, and what the passing of time says about them. */
export interface DeviceReports {
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
  /** Moves at most PRESENCE_BATCH devices whose silence has become too long; call until empty. */
  expirePresence(tenantId: string, nowMs: number): Promise<PresenceChange[]>;
  /** How many have fallen silent since a moment, and how many could. */
  silence(tenantId: string, sinceMs: number): Promise<Silence>;
  /** Those of the given devices that are offline and in service. */
  stillSilent(
    tenantId: string,
    deviceIds: readonly string[],
  ): Promise<{ deviceId: string; lastSeenAt: Date | null }[]>;
  /** Devices that lost the platform at one moment go offline within this time. */
  silenceWindowMs(tenantId: string): Promise<number>;
  /** Gives every device another interval to be heard: called when the platform starts. */
  extendPresenceDeadlines(nowMs: number): Promise<void>;
  /** Frees the connections that an earlier life of this gateway left behind, with the same grace. */
  gatewayStarted(gatewayId: string): Promise<void>;
  /** Writes the connection events that wait. */
  flush(): Promise<void>;
}

export function createReports({ db, clock, bus, tenancy }: DevicesDeps): DeviceReports {
  const announce = (
    tenantId: string,
    changes: readonly { deviceId: string; presence: Presence }[],
  ) => {
    for (const { deviceId, presence } of changes) {
      bus.publish(subjects.fleet(tenantId), { deviceId, presence });
    }
  };
  const graceUntil = async (tenantId: string, nowMs: number) =>
    new Date(lateAt(nowMs, await tenancy.settings(tenantId)));

  const connections = new KeyedBatcher<ConnectionEvent>({
    ...CONNECTION_BATCH,
    async write(tenantId, events) {
      const settings = await tenancy.settings(tenantId);
      const latest = latestConnections(events);
      announce(tenantId, await db.tenant(tenantId, (tx) => storeConnections(tx, latest, settings)));
    },
  });

  return {
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
        const settings = await tenancy.settings(tenantId);
        const latest = latestHeartbeats(records);
        const changed = await db.tenant(tenantId, (tx) => storeHeartbeats(tx, latest, settings));
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

    async expirePresence(tenantId, nowMs) {
      const settings = await tenancy.settings(tenantId);
      const changes = await db.tenant(tenantId, (tx) =>
        moveDuePresence(tx, tenantId, settings, nowMs),
      );
      announce(tenantId, changes);
      return changes;
    },

    silence: (tenantId, sinceMs) =>
      db.tenant(tenantId, (tx) => readSilence(tx, tenantId, new Date(sinceMs))),

    stillSilent: (tenantId, deviceIds) =>
      db.tenant(tenantId, (tx) => findSilent(tx, tenantId, deviceIds)),

    async silenceWindowMs(tenantId) {
      const { heartbeatIntervalSeconds } = await tenancy.settings(tenantId);
      return Math.max(MIN_WINDOW_MS, 2_000 * heartbeatIntervalSeconds);
    },

    async extendPresenceDeadlines(nowMs) {
      const horizon = new Date(nowMs + LONGEST_GRACE_MS);
      for (const tenantId of await db.tenantsWith("pending_presence", horizon)) {
        const until = await graceUntil(tenantId, nowMs);
        await db.tenant(tenantId, (tx) => postponeDeadlines(tx, until));
      }
    },

    async gatewayStarted(gatewayId) {
      for (const tenantId of await db.tenantsOnGateway(gatewayId)) {
        const until = await graceUntil(tenantId, clock.now());
        await db.tenant(tenantId, async (tx) => {
          await releaseGateway(tx, gatewayId, new Date(clock.now()));
          await postponeDeadlines(tx, until);
        });
      }
    },

    flush: () => connections.flush(),
  };
}

const MIN_WINDOW_MS = 60_000;
/** Longer than any rollout looks back. */
export const INCIDENTS_KEPT_MS = 90 * 86_400_000;
const FORGET_BATCH = 10_000;
/** Heartbeat intervals are at most a day. */
const LONGEST_GRACE_MS = 2 * 86_400_000;
