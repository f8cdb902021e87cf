import type { Clock } from "../kernel/index.ts";
import {
  type AlertReport,
  DEVICE_KIND,
  FLEET_KIND,
  fleetAlert,
  isBurst,
  isCommonCause,
  isOver,
  MAX_NAMED,
  offlineAlert,
  PLATFORM_KEY,
  PLATFORM_KIND,
  type PresenceChange,
  platformAlert,
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
    expirePresence(
      tenantId: string,
      now: number,
      isHeld: (gatewayId: string) => boolean,
    ): Promise<{ due: number; changes: PresenceChange[] }>;
    liveGateways(): Promise<string[]>;
    gatewaysInUse(tenantId: string): Promise<string[]>;
    silencesBetween(tenantId: string, from: number, to: number): Promise<number>;
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
  /** After a pass that did not fail: tells of the silences that have waited for company. */
  end(): Promise<void>;
}

/** Passes come every second; after a longer gap nobody was listening, and no device is to blame. */
const GAP_MS = 15_000;
const MAX_BATCHES = 100;
const PAGE = 500;
const MAX_PAGES = 40;
/** A single silence is told after so long: who loses the platform with others goes with them. */
const WAIT_FOR_COMPANY_MS = 2_000;
/** Windows of silence that devices may take to come back after the platform was away. */
const RETURN_WINDOWS = 1.5;
const COUNT_AGAIN_MS = 10_000;
/** Silences of one tenant that may wait; of more the cause is a common one. */
const MAX_WAITING = 10_000;
/** What is usual is learnt from so long. */
const USUAL_MS = 86_400_000;
/** After so long those who are still away are named one by one, if they are few enough to be. */
const COMMON_CAUSE_LASTS_MS = 3_600_000;

/** A device whose silence nobody has been told of, and since when it is known. */
interface Untold {
  change: PresenceChange;
  at: number;
}

/** What a watch remembers of one tenant. */
interface Waiting {
  silences: Untold[];
  /** Those who have waited alone, and may yet come back from a time in which the platform was away. */
  putOff: Untold[];
  /** When the last silence of a common cause was told. */
  commonAt: number;
  /** When its alert was last given new numbers. */
  toldAt: number;
  /** Since when the stragglers of a common cause have been few. */
  fewSince: number | undefined;
}

/** Turns the silence of devices into alerts, and their return into the ends of these. */
export function createPresenceWatch({ clock, devices, alerts }: PresenceWatchDeps): PresenceWatch {
  const startedAt = clock.now();
  let lastEndedAt: number | undefined;
  let graceSince = startedAt;
  /** Gateways that live, as read in this pass; only a pass that finds something due asks. */
  let live: ReadonlySet<string> | undefined;
  const waiting = new Map<string, Waiting>();
  /** Since when gateways that hold devices have not been heard. */
  const lostSince = new Map<string, number>();

  return {
    async begin() {
      const now = clock.now();
      live = undefined;
      if (lastEndedAt !== undefined && now - lastEndedAt <= GAP_MS) return;
      await devices.extendPresenceDeadlines(now);
      graceSince = now;
      lastEndedAt = now;
    },

    async end() {
      for (const [tenantId, state] of waiting) await tell(tenantId, state);
      lastEndedAt = clock.now();
    },

    async expire(tenantId) {
      const state = stateOf(tenantId);
      const lost = new Map<string, number>();
      const windowMs = await devices.silenceWindowMs(tenantId);
      const living = await liveGateways();
      const isHeld = (gatewayId: string) => {
        if (!isLost(gatewayId, living, windowMs)) return false;
        lost.set(gatewayId, (lost.get(gatewayId) ?? 0) + 1);
        return true;
      };
      for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
        const { due, changes } = await devices.expirePresence(tenantId, clock.now(), isHeld);
        const at = clock.now();
        for (const change of changes.filter(isNews)) state.silences.push({ change, at });
        if (due === 0) break;
        if (state.silences.length > MAX_WAITING) await tell(tenantId, state);
      }
      if (lost.size === 0) return;
      const held = [...lost.values()].reduce((sum, count) => sum + count, 0);
      await alerts.raise(tenantId, platformAlert([...lost.keys()], held));
    },

    async resolve(tenantId) {
      let afterId: string | undefined;
      const kinds = [DEVICE_KIND, FLEET_KIND, PLATFORM_KIND];
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const open = await alerts.open(tenantId, kinds, { afterId, limit: PAGE });
        const named = open.filter((alert) => alert.kind === DEVICE_KIND);
        const ids = named.map((alert) => alert.subjectId);
        const silent = ids.length > 0 ? await devices.stillSilent(tenantId, ids) : [];
        const isSilent = new Set(silent.map((device) => device.deviceId));
        for (const { key, subjectId } of named) {
          if (!isSilent.has(subjectId)) await alerts.resolve(tenantId, key);
        }
        for (const alert of open) {
          if (alert.kind === FLEET_KIND) await endFleet(tenantId, alert);
          if (alert.kind === PLATFORM_KIND) await endPlatform(tenantId);
        }
        if (open.length < PAGE) return;
        afterId = open.at(-1)?.id;
      }
    },
  };

  function stateOf(tenantId: string): Waiting {
    const known = waiting.get(tenantId);
    if (known) return known;
    const fresh: Waiting = {
      silences: [],
      putOff: [],
      commonAt: Number.NEGATIVE_INFINITY,
      toldAt: Number.NEGATIVE_INFINITY,
      fewSince: undefined,
    };
    waiting.set(tenantId, fresh);
    return fresh;
  }

  async function liveGateways(): Promise<ReadonlySet<string>> {
    if (live) return live;
    const read = new Set(await devices.liveGateways());
    for (const gatewayId of read) lostSince.delete(gatewayId);
    live = read;
    return read;
  }

  /** Where others live its devices can go there: after two windows their silence is their own. */
  function isLost(gatewayId: string, living: ReadonlySet<string>, windowMs: number): boolean {
    if (living.has(gatewayId)) return false;
    const since = lostSince.get(gatewayId) ?? clock.now();
    lostSince.set(gatewayId, since);
    return living.size === 0 || clock.now() - since <= 2 * windowMs;
  }

  /** One alert for those who went together, one each for those who have waited alone. */
  async function tell(tenantId: string, state: Waiting): Promise<void> {
    const { silences } = state;
    const now = clock.now();
    const hasWaited = (one: Untold) => now - one.at >= WAIT_FOR_COMPANY_MS;
    if (silences.length === 0 && state.putOff.length === 0) {
      // Nothing is remembered of a tenant at peace.
      if (state.fewSince === undefined && now - state.commonAt > USUAL_MS) waiting.delete(tenantId);
      return;
    }
    const windowMs = await devices.silenceWindowMs(tenantId);
    // An alert that has just been told need not count its growth every second.
    if (now - state.toldAt < COUNT_AGAIN_MS) {
      silences.length = 0;
      state.commonAt = now;
      return;
    }
    const silence = await devices.silence(tenantId, now - windowMs);
    const oldest = silences[0]?.at ?? now;
    const spanMs = Math.max(now - oldest, WAIT_FOR_COMPANY_MS);
    const before = oldest - windowMs;
    const usual = async () =>
      (await devices.silencesBetween(tenantId, before - USUAL_MS, before)) * (spanMs / USUAL_MS);
    const isCommon =
      isCommonCause(silence) ||
      now - state.commonAt <= windowMs ||
      isBurst(silences.length, await usual());
    if (isCommon) {
      const isFresh = now - graceSince <= 2 * windowMs;
      await alerts.raise(tenantId, fleetAlert(silence, isFresh ? new Date(graceSince) : null));
      state.commonAt = now;
      state.toldAt = now;
      state.fewSince = undefined;
      silences.length = 0;
      state.putOff = [];
      return;
    }
    const alone = [...state.putOff, ...silences.filter(hasWaited)];
    state.silences = silences.filter((one) => !hasWaited(one));
    // Who has not been heard since the platform was away comes back in a while of its own.
    const isReturning = now - graceSince <= RETURN_WINDOWS * windowMs;
    const mayReturn = ({ change: { lastSeenAt } }: Untold) =>
      isReturning && lastSeenAt !== null && lastSeenAt.getTime() < graceSince;
    const told = new Set<Untold>();
    try {
      for (const one of alone) {
        if (mayReturn(one)) continue;
        // Who is back meanwhile is no news.
        const [silent] = await devices.stillSilent(tenantId, [one.change.deviceId]);
        if (silent) await alerts.raise(tenantId, offlineAlert(silent));
        told.add(one);
      }
    } finally {
      // Whom a store that failed kept from being told of is tried again.
      state.putOff = alone.filter((one) => !told.has(one)).slice(-MAX_WAITING);
    }
  }

  /**
   * A common failure is over when most are back and no more have come for as long as they take to; who
   * is not back by then is named.
   */
  async function endFleet(tenantId: string, alert: OpenAlert): Promise<void> {
    const state = stateOf(tenantId);
    const windowMs = await devices.silenceWindowMs(tenantId);
    const silence = await devices.silence(tenantId, alert.openedAt.getTime() - windowMs);
    const isOld = clock.now() - alert.openedAt.getTime() > COMMON_CAUSE_LASTS_MS;
    if (!isOver(silence) && !(isOld && silence.devices <= MAX_NAMED)) {
      state.fewSince = undefined;
      return;
    }
    state.fewSince ??= clock.now();
    if (silence.devices > 0 && clock.now() - state.fewSince < windowMs) return;
    for (const device of await devices.stillSilent(tenantId, silence.deviceIds)) {
      await alerts.raise(tenantId, offlineAlert(device));
    }
    await alerts.resolve(tenantId, alert.key);
    state.fewSince = undefined;
    state.commonAt = Number.NEGATIVE_INFINITY;
    state.toldAt = Number.NEGATIVE_INFINITY;
  }

  async function endPlatform(tenantId: string): Promise<void> {
    const windowMs = await devices.silenceWindowMs(tenantId);
    const used = await devices.gatewaysInUse(tenantId);
    const living = await liveGateways();
    if (!used.some((gatewayId) => isLost(gatewayId, living, windowMs))) {
      await alerts.resolve(tenantId, PLATFORM_KEY);
    }
  }
}

function isNews({ presence, status }: PresenceChange): boolean {
  return presence === "offline" && status === "active";
}
