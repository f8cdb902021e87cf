import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type Assignment,
  canonicalJson,
  type Envelope,
  MAX_ROOTS_IN_BUNDLE,
  type MetadataBundle,
  metaFileOf,
  type RootMetadata,
  releaseFileName,
  type SnapshotMetadata,
  signDocument,
  type TimestampMetadata,
  TUF_VERSION,
  validSigners,
} from "../protocol/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import * as store from "./metadata-store.ts";
import type { OnlineKeyring } from "./online-keys.ts";
import { latestRoot, latestTargets, newestRoots } from "./trust-store.ts";

const HOUR_MS = 3_600_000;
/** Short: what a thief of old documents can still show devices ends with it (freeze). */
export const TIMESTAMP_LIFETIME_MS = 24 * HOUR_MS;
const TIMESTAMP_RENEW_MS = 8 * HOUR_MS;
export const SNAPSHOT_LIFETIME_MS = 30 * 24 * HOUR_MS;
const SNAPSHOT_RENEW_MS = 10 * 24 * HOUR_MS;
/** Of one product at a time: a snapshot has to fit into a message. */
export const MAX_RELEASES_ON_OFFER = 2_000;
const BUNDLE_TTL_MS = 5_000;
const MAX_BUNDLES = 10_000;

export interface Metadata {
  /** What a device needs to judge an assignment; `conflict` before there is a trust root. */
  bundleFor(
    tenantId: string,
    product: string,
    assignment: Envelope<Assignment>,
  ): Promise<MetadataBundle>;
  /** The newest documents of a product. */
  metadata(tenantId: string, product: string): Promise<MetadataBundle>;
  /** Signs anew what has come near its end; returns how many products. */
  renewMetadata(tenantId: string): Promise<number>;
}

export interface MetadataWriter extends Metadata {
  /** Within a change of releases, delegations or roots: devices see all of it or nothing. */
  refresh(tx: Tx, tenantId: string, product: string): Promise<void>;
  refreshAll(tx: Tx, tenantId: string): Promise<void>;
  /** What this process holds in memory is to be read again. */
  forget(): void;
}

export function createMetadata(deps: FirmwareDeps, keyring: OnlineKeyring): MetadataWriter {
  const { db, clock } = deps;
  const bundles = new TtlCache<MetadataBundle>({
    clock,
    ttlMs: BUNDLE_TTL_MS,
    maxEntries: MAX_BUNDLES,
  });

  async function refresh(tx: Tx, tenantId: string, product: string) {
    const root = (await latestRoot(tx, tenantId))?.signed;
    if (!root) throw new AppError("conflict", "the tenant has no trust root: set it first");
    await store.lockMetadata(tx, tenantId, product);
    const before = await store.findMetadata(tx, tenantId, product);
    const now = clock.now();
    const meta = await snapshotMeta(tx, tenantId, product);
    const key = await keyring.signer(tx, tenantId, "repository", root);
    const whose = { tenant: tenantId, product };
    const snapshot =
      before && isStillGood(before, meta, root, now)
        ? before.snapshot
        : signDocument<SnapshotMetadata>(
            {
              ...common("snapshot", (before?.snapshot.signed.version ?? 0) + 1),
              expires: isoSeconds(now + SNAPSHOT_LIFETIME_MS),
              meta,
              ...whose,
            },
            [key],
          );
    const timestamp = signDocument<TimestampMetadata>(
      {
        ...common("timestamp", (before?.timestamp.signed.version ?? 0) + 1),
        expires: isoSeconds(now + TIMESTAMP_LIFETIME_MS),
        meta: { "snapshot.json": metaFileOf(snapshot, snapshot.signed.version) },
        ...whose,
      },
      [key],
    );
    await store.writeMetadata(tx, tenantId, product, {
      root_version: root.version,
      snapshot,
      timestamp,
      renew_at: new Date(now + TIMESTAMP_RENEW_MS),
    });
  }

  async function load(tenantId: string, product: string): Promise<MetadataBundle> {
    const bundle = await db.tenant(tenantId, async (tx) => {
      const roots = await newestRoots(tx, tenantId, MAX_ROOTS_IN_BUNDLE);
      const root = roots.at(-1)?.signed;
      const found = await store.findMetadata(tx, tenantId, product);
      const isDue = !found || found.renew_at.getTime() <= clock.now();
      if (isDue || found.root_version !== root?.version) await refresh(tx, tenantId, product);
      const targets = (await latestTargets(tx, tenantId)) ?? null;
      const newest = await store.findMetadata(tx, tenantId, product);
      if (!newest) throw new AppError("internal", "the metadata was not written");
      return { roots, timestamp: newest.timestamp, snapshot: newest.snapshot, targets };
    });
    bundles.set(`${tenantId}/${product}`, bundle);
    return bundle;
  }

  return {
    metadata: load,

    async bundleFor(tenantId, product, assignment) {
      const cached = bundles.get(`${tenantId}/${product}`);
      // Another process may have published or changed the root meanwhile.
      return cached && covers(cached, assignment) ? cached : load(tenantId, product);
    },

    async renewMetadata(tenantId) {
      return db.tenant(tenantId, async (tx) => {
        const due = await store.productsWithMetadata(tx, tenantId, new Date(clock.now()));
        for (const product of due) await refresh(tx, tenantId, product);
        return due.length;
      });
    },

    refresh,

    async refreshAll(tx, tenantId) {
      for (const product of await store.productsWithMetadata(tx, tenantId)) {
        await refresh(tx, tenantId, product);
      }
    },

    forget: () => bundles.clear(),
  };
}

async function snapshotMeta(tx: Tx, tenantId: string, product: string) {
  const meta: SnapshotMetadata["meta"] = {};
  const targets = await latestTargets(tx, tenantId);
  if (targets) meta["targets.json"] = metaFileOf(targets, targets.signed.version);
  for (const { version, envelope } of await store.releasesOnOffer(
    tx,
    tenantId,
    product,
    MAX_RELEASES_ON_OFFER,
  )) {
    meta[releaseFileName({ product, version })] = metaFileOf(envelope, 1);
  }
  return meta;
}

/** Whether the snapshot needs no new version: same content, same key, not near its end. */
function isStillGood(
  before: store.ProductMetadata,
  meta: SnapshotMetadata["meta"],
  root: RootMetadata,
  now: number,
): boolean {
  const { snapshot } = before;
  return (
    canonicalJson(snapshot.signed.meta) === canonicalJson(meta) &&
    validSigners(snapshot, root.roles.snapshot, root.keys).length > 0 &&
    Date.parse(snapshot.signed.expires) - now > SNAPSHOT_RENEW_MS
  );
}

/** Whether a device could judge the assignment by these documents. */
function covers({ roots, snapshot }: MetadataBundle, assignment: Envelope<Assignment>): boolean {
  const director = roots.at(-1)?.signed.director.keyids ?? [];
  const isSigned = assignment.signatures.some(({ keyid }) => director.includes(keyid));
  const { release } = assignment.signed;
  return isSigned && (!release || releaseFileName(release.signed) in snapshot.signed.meta);
}

function common<Type extends string>(_type: Type, version: number) {
  return { _type, spec_version: TUF_VERSION, version };
}

/** TUF §4.2.1 has no fractions of a second. */
export function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
