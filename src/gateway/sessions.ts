import { type Bus, subjects } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import { type Clock, isAppError, messageOf } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import type { Logger } from "../kernel/logger.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import { GatewayBeats } from "./gateway-beats.ts";
import * as store from "./sessions-store.ts";

const CLAIM_BATCH = { maxBatchSize: 500, maxDelayMs: 2, maxQueuedSize: 20_000 };
const SAVE_BATCH = { maxBatchSize: 200, maxDelayMs: 2, maxQueuedSize: 50_000 };
const SWEEP_INTERVAL_MS = 1_000;
/** How long a newer connection elsewhere is remembered, for one that is still being accepted. */
const NEWS_TTL_MS = 60_000;
const MAX_NEWS = 10_000;

interface SessionsDeps {
  db?: Database;
  bus: Bus;
  clock: Clock;
  logger: Logger;
}

/** What a device has without a database behind the gateway: a session as long as its connection. */
const TRANSIENT: store.ClaimedSession = {
  epoch: 0,
  resumed: false,
  state: { subscriptions: [], inflight: [], received: [] },
  formerGatewayId: null,
};

/** The sessions of devices in PostgreSQL, for all connections of a gateway. */
export class Sessions {
  readonly #deps: SessionsDeps;
  readonly #gatewayId: string;
  readonly #claims: KeyedBatcher<store.SessionClaim, store.ClaimedSession | undefined>;
  readonly #saves: KeyedBatcher<store.SessionSave, boolean>;
  readonly #wills: KeyedBatcher<store.WillOutcome>;
  /** Subject of a device -> epoch of its newest connection, as others have said. */
  readonly #news: TtlCache<number>;

  constructor(deps: SessionsDeps, gatewayId: string) {
    this.#deps = deps;
    this.#gatewayId = gatewayId;
    this.#news = new TtlCache({ clock: deps.clock, ttlMs: NEWS_TTL_MS, maxEntries: MAX_NEWS });
    this.#claims = new KeyedBatcher({
      ...CLAIM_BATCH,
      write: (tenantId, claims) => this.#claimAll(tenantId, claims),
    });
    this.#saves = new KeyedBatcher({
      ...SAVE_BATCH,
      write: (tenantId, saves) => this.#saveAll(tenantId, saves),
    });
    this.#wills = new KeyedBatcher({
      ...SAVE_BATCH,
      write: (tenantId, outcomes) =>
        (deps.db as Database).tenant(tenantId, (tx) =>
          store.settleWills(tx, outcomes, new Date(deps.clock.now())),
        ),
    });
  }

  /** The session of a device that connects; other gateways let go of it. Throws `unavailable`. */
  async claim(device: DeviceIdentity, claim: Omit<store.SessionClaim, "deviceId">) {
    const { tenantId, deviceId } = device;
    if (!this.#deps.db) return TRANSIENT;
    const session = await this.#claims.add(tenantId, { deviceId, ...claim });
    if (!session) return TRANSIENT;
    const { epoch, resumed, formerGatewayId } = session;
    if (formerGatewayId !== null && formerGatewayId !== this.#gatewayId) {
      const news = { kind: "session", epoch, resumed };
      this.#deps.bus.publish(subjects.device(tenantId, deviceId), news);
    }
    return session;
  }

  /** Somebody else has the device since. */
  hear(subject: string, epoch: number): void {
    this.#news.set(subject, Math.max(epoch, this.#news.get(subject) ?? 0));
  }

  /** Whether a connection that is being accepted has come too late. */
  isSuperseded({ tenantId, deviceId }: DeviceIdentity, epoch: number): boolean {
    return (this.#news.get(subjects.device(tenantId, deviceId)) ?? 0) > epoch;
  }

  /** Makes a session's state durable; false when it belongs to a newer connection by now. */
  save(tenantId: string, save: store.SessionSave): Promise<boolean> {
    return this.#saves.add(tenantId, save);
  }

  /** The will of a connection that has ended was published, or has to be tried again. */
  settleWill(tenantId: string, outcome: store.WillOutcome): void {
    this.#wills.add(tenantId, outcome).catch((error) => {
      // It stays armed: the next start of this gateway finds it.
      this.#report(error, "the end of a will could not be recorded");
    });
  }

  /** Sessions of this gateway's earlier life have no connection any more. */
  async begin(): Promise<void> {
    await this.#orphan(this.#gatewayId);
  }

  /**
   * Ends, about once a second, what has expired, and calls `more` for each tenant concerned; sees
   * to the sessions of gateways that have died. `onForgotten`: this one was taken for dead.
   */
  startSweeping(
    more: (db: Database, tenantId: string) => Promise<void>,
    onForgotten: () => void,
  ): () => void {
    const { db, clock } = this.#deps;
    if (!db) return () => {};
    const beats = new GatewayBeats({
      ...{ db, clock, gatewayId: this.#gatewayId, onForgotten },
      onDead: (gatewayId) => this.#orphan(gatewayId),
    });
    let timer = clock.after(SWEEP_INTERVAL_MS, () => void sweep());
    let isStopped = false;
    const sweep = async () => {
      try {
        await beats.tick();
        await this.#sweep(db, more);
      } catch (error) {
        this.#report(error, "sessions could not be swept");
      }
      if (!isStopped) timer = clock.after(SWEEP_INTERVAL_MS, () => void sweep());
    };
    return () => {
      isStopped = true;
      timer.cancel();
      beats.stop().catch((error) => this.#report(error, "the end could not be recorded"));
    };
  }

  async flush(): Promise<void> {
    await this.#saves.flush();
    await this.#wills.flush();
  }

  async #orphan(gatewayId: string): Promise<void> {
    const { db, clock } = this.#deps;
    if (!db) return;
    for (const tenantId of await db.tenantsWithSessionsOf(gatewayId)) {
      await db.tenant(tenantId, (tx) => store.orphanSessions(tx, gatewayId, new Date(clock.now())));
    }
  }

  async #sweep(db: Database, more: (db: Database, tenantId: string) => Promise<void>) {
    const now = new Date(this.#deps.clock.now());
    for (const tenantId of await db.tenantsWith("due_sessions", now)) {
      try {
        await db.tenant(tenantId, (tx) => store.expireSessions(tx, now));
        await more(db, tenantId);
      } catch (error) {
        this.#report(error, "the sessions of a tenant could not be swept");
      }
    }
  }

  async #claimAll(tenantId: string, claims: store.SessionClaim[]) {
    const { db, clock } = this.#deps;
    const now = new Date(clock.now());
    const answers: (store.ClaimedSession | undefined)[] = [];
    // A device may be there twice: each round takes the first of every device that is left.
    let rest = claims.map((claim, index) => ({ claim, index }));
    while (rest.length > 0) {
      const seen = new Set<string>();
      const round = rest.filter(({ claim }) => {
        const isFirst = !seen.has(claim.deviceId);
        seen.add(claim.deviceId);
        return isFirst;
      });
      const found = await (db as Database).tenant(tenantId, (tx) =>
        store.claimSessions(
          tx,
          tenantId,
          this.#gatewayId,
          round.map(({ claim }) => claim),
          now,
        ),
      );
      for (const { claim, index } of round) answers[index] = found.get(claim.deviceId);
      const taken = new Set(round);
      rest = rest.filter((entry) => !taken.has(entry));
    }
    return answers;
  }

  async #saveAll(tenantId: string, saves: store.SessionSave[]): Promise<boolean[]> {
    // Of several states of one session the last says everything.
    const last = new Map(saves.map((save) => [store.keyOf(save), save]));
    const held = await (this.#deps.db as Database).tenant(tenantId, (tx) =>
      store.saveSessions(tx, [...last.values()]),
    );
    return saves.map((save) => held.has(store.keyOf(save)));
  }

  #report(error: unknown, what: string): void {
    if (isAppError(error, "unavailable")) return;
    this.#deps.logger.error({ error: messageOf(error) }, what);
  }
}
