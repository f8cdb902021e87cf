import type { Logger } from "../kernel/logger.ts";
import type { LatestItem } from "./latest-store.ts";

/** Points in the order in which the store took them in, from a place in that order on. */
export interface PointsSource<Place> {
  since(
    tenantId: string,
    place: Place,
    limit: number,
  ): Promise<{ points: LatestItem[]; watermark: Place }>;
  /** The place of what comes in from now on. */
  now(): Place;
}

type Listener = (points: readonly LatestItem[]) => void;

const POLL_MS = 1_000;
const POINTS_PER_POLL = 10_000;

/**
 * What comes in, for those who watch: the store is asked once a second for each tenant that somebody
 * watches, however many they are.
 */
export class LivePoints<Place> {
  readonly #source: PointsSource<Place>;
  readonly #logger: Pick<Logger, "warn"> | undefined;
  readonly #tenants = new Map<string, { listeners: Set<Listener>; stop(): void }>();

  constructor(source: PointsSource<Place>, logger?: Pick<Logger, "warn">) {
    this.#source = source;
    this.#logger = logger;
  }

  /** The result ends it. */
  subscribe(tenantId: string, listener: Listener): () => void {
    const watched = this.#tenants.get(tenantId) ?? this.#watch(tenantId);
    watched.listeners.add(listener);
    return () => {
      watched.listeners.delete(listener);
      if (watched.listeners.size > 0 || this.#tenants.get(tenantId) !== watched) return;
      watched.stop();
      this.#tenants.delete(tenantId);
    };
  }

  #watch(tenantId: string) {
    const listeners = new Set<Listener>();
    let place = this.#source.now();
    let isAsking = false;
    const ask = async () => {
      if (isAsking) return;
      isAsking = true;
      try {
        const { points, watermark } = await this.#source.since(tenantId, place, POINTS_PER_POLL);
        place = watermark;
        if (points.length > 0) for (const listener of listeners) listener(points);
      } catch (err) {
        this.#logger?.warn({ err, tenantId }, "live points could not be read");
      } finally {
        isAsking = false;
      }
    };
    const timer = setInterval(ask, POLL_MS);
    const watched = { listeners, stop: () => clearInterval(timer) };
    this.#tenants.set(tenantId, watched);
    return watched;
  }
}

/** Points that wait for a reader: the newest of each device and metric where they are too many. */
export class PendingPoints {
  readonly #wants: (point: LatestItem) => boolean;
  readonly #maximum: number;
  #points: LatestItem[] = [];
  #missed = 0;

  constructor(wants: (point: LatestItem) => boolean, maximum: number) {
    this.#wants = wants;
    this.#maximum = maximum;
  }

  /** Whether any of them is wanted. */
  add(points: readonly LatestItem[]): boolean {
    const wanted = points.filter(this.#wants);
    this.#points.push(...wanted);
    const beyond = this.#points.length - this.#maximum;
    if (beyond > 0) {
      this.#points.splice(0, beyond);
      this.#missed += beyond;
    }
    return wanted.length > 0;
  }

  take(): { points: LatestItem[]; missed: number } {
    const taken = { points: this.#points, missed: this.#missed };
    this.#points = [];
    this.#missed = 0;
    return taken;
  }
}
