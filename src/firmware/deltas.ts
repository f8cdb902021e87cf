import { AppError, isAppError, messageOf } from "../kernel/index.ts";
import { counter, histogram } from "../kernel/metrics.ts";
import { createRecentUse } from "../kernel/recent-use.ts";
import { storableText } from "../kernel/storable.ts";
import { withSpan } from "../kernel/tracing.ts";
import { addArtifact } from "./collection.ts";
import { createDeltaBuilder } from "./delta-builder.ts";
import {
  costOf,
  type DeltaSource,
  type DeltaView,
  deltaKeys,
  deltaView,
  isUnpacked,
  type Offer,
  offerOf,
} from "./delta-views.ts";
import * as store from "./deltas-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { findArtifact, findImages } from "./releases-store.ts";
import { blobsOf } from "./tenant-blobs.ts";

export interface OfferQuery {
  targetSha256: string;
  /** What the device runs; null where nobody knows. */
  sourceSha256: string | null;
  /** Formats that the device applies. */
  formats: readonly string[];
}

export interface Deltas {
  /**
   * Queues what is missing: the packed image, and a patch from each source. Sources that were never
   * published here (a factory image, say) have no content. Of very many sources the first are taken;
   * devices that run another one get the packed image.
   */
  requestDeltas(
    tenantId: string,
    targetSha256: string,
    sources: readonly DeltaSource[],
  ): Promise<{ queued: number; unknownSources: string[]; leftOut: number }>;
  /** Builds the delta that most of the tenant's devices wait for; false where none is open. */
  buildNextDelta(tenantId: string): Promise<boolean>;
  deltas(tenantId: string, targetSha256: string): Promise<DeltaView[]>;
  /** Ways to obtain the image that are ready and verified, smallest first. */
  offers(tenantId: string, query: OfferQuery): Promise<Offer[]>;
  /**
   * To be called when a worker starts: builds that its predecessor left are due at once, not when
   * their leases end. A build of another live worker is merely done twice.
   */
  requeueInterruptedDeltas(): Promise<void>;
  /** Ends builds under way; their deltas go back to the queue. */
  stop(): Promise<void>;
}

/** Processes that build; jobs give each tenant one at most. */
const DELTA_WORKERS = 3;
const LEASE_MS = 30_000;
/** Who has stopped asking for much is soon as good as anybody else. */
const RECENT_HALF_LIFE_MS = 20_000;
const MAX_SOURCES = 200;
const MAX_LISTED = 1_000;
/** Old and new together; the encoder takes about ten times as much memory. */
const MAX_PATCHED_BYTES = 512 * 1024 ** 2;
const MAX_ERROR_LENGTH = 2_000;

const builds = counter("vautn_delta_builds_total", "Deltas built", ["format", "outcome"]);
const buildSeconds = histogram(
  "vautn_delta_build_seconds",
  "Time to build and verify a delta",
  [0.1, 0.5, 1, 5, 15, 60, 300, 1800],
  ["format"],
);

export function createDeltas(deps: FirmwareDeps): Deltas {
  const { db, clock } = deps;
  const builder = createDeltaBuilder({ maxProcesses: deps.deltaWorkers ?? DELTA_WORKERS });
  const recent = createRecentUse(clock, RECENT_HALF_LIFE_MS);
  let stopping = false;
  const now = () => new Date(clock.now());
  const leaseEnd = () => new Date(clock.now() + LEASE_MS);

  async function isGranted(asked: Promise<void>): Promise<boolean> {
    try {
      await asked;
      return true;
    } catch (error) {
      if (isAppError(error) && error.code === "quota-exceeded") return false;
      throw error;
    }
  }

  /** Who has used up the day's building gets whole images, which work as well and cost more. */
  function isSpent(tenantId: string): boolean {
    try {
      deps.tenancy.usage?.assertWithin(tenantId, "deltaSeconds");
      return false;
    } catch {
      return true;
    }
  }

  /** Keeps the row ours while `work` runs, however long that is. */
  async function whileLeased<T>(
    tenantId: string,
    row: store.DeltaRow,
    work: (onProgress: (progress: number) => void) => Promise<T>,
  ): Promise<T> {
    let progress = 0;
    const renew = () => {
      db.tenant(tenantId, (tx) => store.renewLease(tx, tenantId, row, leaseEnd(), progress)).catch(
        (error) =>
          deps.logger.warn({ tenantId, err: error }, "a delta's lease could not be renewed"),
      );
    };
    const timer = setInterval(renew, LEASE_MS / 3);
    try {
      return await work((share) => {
        progress = share;
      });
    } finally {
      clearInterval(timer);
    }
  }

  /** Resolves with what it took of a processor, in seconds. */
  async function build(
    tenantId: string,
    row: store.DeltaRow,
    onProgress: (progress: number) => void,
  ): Promise<number> {
    const started = performance.now();
    const { format, source_sha256: source, target_sha256: target } = row;
    const skip = async (reason: string) => {
      const result = { status: "skipped" as const, error: reason, finished_at: now() };
      await db.tenant(tenantId, (tx) => store.finish(tx, tenantId, row, result));
    };
    // What gains nothing for one coder gains nothing for the other.
    const reason = isUnpacked(format)
      ? await db.tenant(tenantId, (tx) => store.skippedBecause(tx, tenantId, row))
      : null;
    if (reason !== null) return skip(reason).then(() => 0);
    const blobs = await blobsOf(deps, tenantId);
    const built = await builder.build(
      blobs,
      {
        format,
        recentSeconds: recent.ofTheGreedy(tenantId),
        source: source === "" ? null : { file: await blobs.localPath(source), sha256: source },
        target: {
          file: await blobs.localPath(target),
          sha256: target,
          sizeBytes: row.target_size_bytes as number,
        },
      },
      onProgress,
    );
    if (built.status === "pointless") return skip(built.reason).then(() => built.cpuSeconds);
    const { stored, unpacked, cpuSeconds } = built;
    const buildMs = Math.round(performance.now() - started);
    buildSeconds.observe({ format }, buildMs / 1000);
    const finishedAt = now();
    await db.tenant(tenantId, async (tx) => {
      await addArtifact(deps, tx, {
        tenant_id: tenantId,
        sha256: stored.sha256,
        size_bytes: stored.sizeBytes,
        kind: source === "" ? "full-zstd" : "patch",
        created_at: finishedAt,
      });
      await store.finish(tx, tenantId, row, {
        status: "ready",
        artifact_sha256: stored.sha256,
        size_bytes: stored.sizeBytes,
        build_ms: buildMs,
        finished_at: finishedAt,
        requires: unpacked?.requires ?? null,
        unpacked,
      });
    });
    return cpuSeconds;
  }

  async function recordFailure(
    tenantId: string,
    row: store.DeltaRow,
    error: unknown,
  ): Promise<void> {
    const text = storableText(messageOf(error), MAX_ERROR_LENGTH);
    const last = row.attempts >= store.MAX_ATTEMPTS;
    const result = stopping
      ? { status: "queued" as const, error: text, attempts: row.attempts - 1 }
      : last
        ? { status: "failed" as const, error: text, finished_at: now() }
        : { status: "queued" as const, error: text };
    await db.tenant(tenantId, (tx) => store.finish(tx, tenantId, row, result));
    if (stopping) return;
    builds.inc({ format: row.format, outcome: last ? "failed" : "retried" });
    deps.logger.warn(
      {
        tenantId,
        target: row.target_sha256,
        format: row.format,
        attempt: row.attempts,
        err: error,
      },
      "a delta could not be built",
    );
  }

  return {
    async requestDeltas(tenantId, targetSha256, asking) {
      if (isSpent(tenantId)) return { queued: 0, unknownSources: [], leftOut: asking.length };
      const distinct = new Map(asking.map((source) => [source.sha256, source]));
      const wanted = [...distinct.values()].filter(({ sha256 }) => sha256 !== targetSha256);
      const sources = wanted.slice(0, MAX_SOURCES);
      const hashes = sources.map(({ sha256 }) => sha256);
      const assertRoom = await deps.tenancy.usage?.roomOf(tenantId);
      return db.tenant(tenantId, async (tx) => {
        // Without room devices get whole images, which are there.
        if (assertRoom && !(await isGranted(assertRoom(tx, 1)))) {
          return { queued: 0, unknownSources: [], leftOut: asking.length };
        }
        const images = await findImages(tx, tenantId, [targetSha256, ...hashes]);
        const targetSizeBytes = images.get(targetSha256);
        if (targetSizeBytes === undefined) throw noImage(targetSha256);
        const patchable = sources.filter(({ sha256 }) => {
          const sizeBytes = images.get(sha256);
          return sizeBytes !== undefined && targetSizeBytes + sizeBytes <= MAX_PATCHED_BYTES;
        });
        const keys = deltaKeys(targetSha256, sources, patchable);
        const queued = await store.enqueue(tx, tenantId, keys, {
          targetSizeBytes,
          createdAt: now(),
        });
        const unknownSources = hashes.filter((sha256) => !images.has(sha256));
        return { queued, unknownSources, leftOut: wanted.length - sources.length };
      });
    },

    async buildNextDelta(tenantId) {
      if (stopping) return false;
      const row = await db.tenant(tenantId, async (tx) => {
        await store.failAbandoned(tx, tenantId, now());
        return store.claimNext(tx, tenantId, now(), leaseEnd());
      });
      if (!row) return false;
      const { format, source_sha256: source, target_sha256: target } = row;
      const began = performance.now();
      const elapsed = () => (performance.now() - began) / 1_000;
      let cpuSeconds: number | undefined;
      try {
        cpuSeconds = await withSpan(
          "firmware.build-delta",
          { "vautn.tenant": tenantId, format, source, target },
          () => whileLeased(tenantId, row, (onProgress) => build(tenantId, row, onProgress)),
        );
        builds.inc({ format, outcome: "ready" });
      } catch (error) {
        await recordFailure(tenantId, row, error);
      } finally {
        // Of a build that failed nobody knows.
        recent.add(tenantId, cpuSeconds ?? elapsed());
        deps.tenancy.usage?.count(tenantId, "deltaSeconds", Math.ceil(elapsed()));
      }
      return true;
    },

    async requeueInterruptedDeltas() {
      for (const tenantId of await db.tenantsWith("open_deltas", now())) {
        await db.tenant(tenantId, (tx) => store.requeueBuilding(tx, tenantId));
      }
    },

    async deltas(tenantId, targetSha256) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.listDeltas(tx, tenantId, targetSha256, MAX_LISTED),
      );
      return rows.map(deltaView);
    },

    async offers(tenantId, { targetSha256, sourceSha256, formats }) {
      const { image, ready } = await db.tenant(tenantId, async (tx) => ({
        image: await findArtifact(tx, tenantId, targetSha256),
        ready: await store.readyDeltas(tx, tenantId, targetSha256, sourceSha256),
      }));
      if (image?.kind !== "image") throw noImage(targetSha256);
      const full: Offer = {
        format: "full",
        sha256: image.sha256,
        sizeBytes: image.size_bytes,
        sourceSha256: null,
      };
      const able = ready.filter(({ requires }) => requires === null || formats.includes(requires));
      return [full, ...able.map(offerOf)]
        .filter((offer) => formats.includes(offer.format))
        .sort((left, right) => costOf(left) - costOf(right));
    },

    async stop() {
      stopping = true;
      await builder.stop();
    },
  };
}

function noImage(sha256: string): AppError {
  return new AppError("not-found", "there is no such image", { sha256 });
}
