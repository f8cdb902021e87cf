import type { Clock } from "../kernel/index.ts";
import {
  type AlertReport,
  DEVICE_KIND,
  FLEET_KIND,
  fleetAlert,
  isCommonCause,
  isOver,
  offlineAlert,
  type PresenceChange,
  type Silence,
} from "./presence-alerts.ts";

/** An alert about silence that is open. */
export interface OpenAlert {
  id: string;
  key: string;
  kind: string;
  subjectId: string;
  openedAt: Date;
}

export interface PresenceWatchDeps {
  clock: Clock;
  devices: {
    extendPresenceDeadlines(now: number): Promise<void>;
    expirePresence(tenantId: string, now: number): Promise<PresenceChange[]>;
    silence(tenantId: string, since: number): Promise<Silence>;
    stillSilent(tenantId: string, deviceIds: readonly string[]): Promise<SilentDevice[]>;
    /** For how long silences that fall due count as simultaneous. */
    silenceWindowMs(tenantId: string): Promise<number>;
  };
  alerts: {
    raise(tenantId: string, report: AlertReport): Promise<unknown>;
    resolve(tenantId: string, key: string): Promise<unknown>;
    open(
      tenantId: string,
      kinds: readonly string[],
      options: { afterId: string | undefined; limit: number },
    ): Promise<OpenAlert[]>;
  };
}

export interface SilentDevice {
  deviceId: string;
  lastSeenAt: Date | null;
}

export interface PresenceWatch {
  /** Before a pass over the tenants; grants everybody grace where the platform itself was away. */
  begin(): Promise<void>;
  /** Moves the devices of a tenant whose silence has become too long, and raises what it calls for. */
  expire(tenantId: string): Promise<void>;
  /** Resolves the alerts of those who are heard again. */
  resolve(tenantId: string): Promise<void>;
  /** After a pass that did not fail. */
  end(): void;
}

/** Passes come every second; after a longer gap nobody was listening, and no device is to blame. */
const GAP_MS = 15_000;
const MAX_BATCHES = 100;
const PAGE = 500;
const MAX_PAGES = 40;
/** After so long those who are still away are named one by one, if they are few enough to be. */
const COMMON_CAUSE_LASTS_MS = 3_600_000;
const MAX_NAMED = 100;

/** Turns the silence of devices into alerts, and their return into the ends of these. */
export function createPresenceWatch({ clock, devices, alerts }: PresenceWatchDeps): PresenceWatch {
  const startedAt = clock.now();
  let lastEndedAt: number | undefined;
  let graceSince = startedAt;

  return {
    async begin() {
      const now = clock.now();
      if (lastEndedAt !== undefined && now - lastEndedAt <= GAP_MS) return;
      await devices.extendPresenceDeadlines(now);
      graceSince = now;
      lastEndedAt = now;
    },

    end() {
      lastEndedAt = clock.now();
    },

    async expire(tenantId) {
      const offline: PresenceChange[] = [];
      for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
        const changes = await devices.expirePresence(tenantId, clock.now());
        if (changes.length === 0) break;
        offline.push(...changes.filter(isNews));
      }
      if (offline.length === 0) return;
      const windowMs = await devices.silenceWindowMs(tenantId);
      const silence = await devices.silence(tenantId, clock.now() - windowMs);
      if (!isCommonCause(silence)) {
        for (const device of offline) await alerts.raise(tenantId, offlineAlert(device));
        return;
      }
      const isFresh = clock.now() - graceSince <= 2 * windowMs;
      await alerts.raise(tenantId, fleetAlert(silence, isFresh ? new Date(graceSince) : null));
    },

    async resolve(tenantId) {
      let afterId: string | undefined;
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const open = await alerts.open(tenantId, [DEVICE_KIND, FLEET_KIND], {
          afterId,
          limit: PAGE,
        });
        const named = open.filter((alert) => alert.kind === DEVICE_KIND);
        const ids = named.map((alert) => alert.subjectId);
        const silent = ids.length > 0 ? await devices.stillSilent(tenantId, ids) : [];
        const isSilent = new Set(silent.map((device) => device.deviceId));
        for (const { key, subjectId } of named) {
          if (!isSilent.has(subjectId)) await alerts.resolve(tenantId, key);
        }
        for (const alert of open) if (alert.kind === FLEET_KIND) await endFleet(tenantId, alert);
        if (open.length < PAGE) return;
        afterId = open.at(-1)?.id;
      }
    },
  };

  /** A common failure is over when most are back; who is not back by then is named. */
  async function endFleet(tenantId: string, alert: OpenAlert): Promise<void> {
    const windowMs = await devices.silenceWindowMs(tenantId);
    const silence = await devices.silence(tenantId, alert.openedAt.getTime() - windowMs);
    const isOld = clock.now() - alert.openedAt.getTime() > COMMON_CAUSE_LASTS_MS;
    if (!isOver(silence) && !(isOld && silence.devices <= MAX_NAMED)) return;
    for (const device of await devices.stillSilent(tenantId, silence.deviceIds)) {
      await alerts.raise(tenantId, offlineAlert(device));
    }
    await alerts.resolve(tenantId, alert.key);
  }
}

function isNews({ presence, status }: PresenceChange): boolean {
  return presence === "offline" && status === "active";
}
