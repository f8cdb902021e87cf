import type { Readable } from "node:stream";
import type { BlobPlace } from "../blobs/index.ts";
import { AppError } from "../kernel/index.ts";
import { type Collection, createCollection } from "./collection.ts";
import { type Components, createComponents } from "./components.ts";
import { createDeltas, type Deltas } from "./deltas.ts";
import type { FirmwareDeps } from "./deps.ts";
import { createLinks, type Links } from "./links.ts";
import { createMetadata, type Metadata } from "./metadata.ts";
import { createOnlineKeyring } from "./online-keys.ts";
import { createReleases, type Releases } from "./releases.ts";
import { findArtifact } from "./releases-store.ts";
import { blobsOf } from "./tenant-blobs.ts";
import { createTrust, type Trust } from "./trust.ts";
import { createUploads, type Uploads } from "./uploads.ts";

export interface Artifact {
  sha256: string;
  sizeBytes: number;
  /** Bytes `start` to `end`, both included; everything without a range. */
  read(range?: { start: number; end: number }): Promise<Readable>;
  /** Where the receiver may fetch it by itself; undefined where the platform carries the bytes. */
  redirectUrl(): Promise<string | undefined>;
  /** Since when the tenant has it. */
  createdAt: Date;
}

/** Releases, the keys that sign them, and the artifacts that carry them to devices. */
export interface Firmware extends Trust, Metadata, Deltas {
  releases: Omit<Releases, "publish">;
  publish: Releases["publish"];
  uploads: Uploads;
  links: Links;
  collection: Collection;
  components: Components;
  /** Content that the tenant may read; `not-found` for everybody else's and for what is nowhere. */
  openArtifact(tenantId: string, sha256: string): Promise<Artifact>;
  /** Where the tenant's blobs are; that it has one its rows say, and nothing here does. */
  blobsOf(tenantId: string): Promise<BlobPlace>;
}

export function createFirmware(deps: FirmwareDeps): Firmware {
  const { db } = deps;
  const keyring = createOnlineKeyring(deps);
  const metadata = createMetadata(deps, keyring);
  const { publish, ...releases } = createReleases(deps, metadata);
  const { bundleFor, metadata: newest, renewMetadata } = metadata;
  return {
    ...createTrust(deps, keyring, metadata),
    bundleFor,
    metadata: newest,
    renewMetadata,
    ...createDeltas(deps),
    releases,
    publish,
    uploads: createUploads(deps),
    links: createLinks(deps),
    collection: createCollection(deps),
    components: createComponents(deps),
    blobsOf: (tenantId) => blobsOf(deps, tenantId),
    async openArtifact(tenantId, sha256) {
      const row = await db.tenant(tenantId, (tx) => findArtifact(tx, tenantId, sha256));
      const blobs = await blobsOf(deps, tenantId);
      const stat = row && (await blobs.stat(sha256));
      if (!stat) throw new AppError("not-found", "there is no such artifact", { sha256 });
      return {
        ...stat,
        createdAt: row.created_at,
        read: (range) => blobs.openShared(sha256, range),
        redirectUrl: () => blobs.presignedUrl(sha256),
      };
    },
  };
}
