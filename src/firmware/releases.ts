import type { BlobPlace } from "../blobs/index.ts";
import { isUniqueViolation, type Tx } from "../db/index.ts";
import { AppError, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import { withSpan } from "../kernel/tracing.ts";
import type { Envelope, ReleaseManifest } from "../protocol/index.ts";
import { type Actor, auditChange } from "../tenancy/index.ts";
import { CHANNELS, type Channel } from "./channels.ts";
import { addArtifact } from "./collection.ts";
import { deltaWarning } from "./delta-warning.ts";
import type { FirmwareDeps } from "./deps.ts";
import { checkManifest } from "./manifest-check.ts";
import type { MetadataWriter } from "./metadata.ts";
import { findFiles, insertFiles, type ReleaseFileView, readFiles } from "./release-files.ts";
import * as store from "./releases-store.ts";
import { blobsOf } from "./tenant-blobs.ts";
import { latestRoot, latestTargets } from "./trust-store.ts";
import { deleteUpload, findUpload, holdUpload } from "./uploads-store.ts";

export interface ReleaseView {
  id: string;
  product: string;
  version: string;
  hardwareRevisions: string[];
  minimumSourceVersion: string | null;
  securityCounter: number;
  imageSha256: string;
  imageSizeBytes: number;
  imageName: string;
  status: "published" | "yanked";
  channel: Channel;
  yankReason: string | null;
  notes: string;
  publishedAt: Date;
  publishedBy: string;
  /** Ids of the release keys that signed it. */
  signers: string[];
  /** Why deltas of the image will save nothing; null where nothing speaks against them. */
  deltaWarning: string | null;
}

export interface PublishOptions {
  /** An Envelope<ReleaseManifest>, as yet unjudged. */
  envelope: unknown;
  /** The image as it arrives, or the complete upload that holds it and ends with this. */
  image: AsyncIterable<Uint8Array> | { uploadId: string };
  notes?: string | undefined;
  /** Where it begins; `dev` unless said otherwise. */
  channel?: Channel | undefined;
  /** Complete uploads that hold the further files that the manifest names. */
  files?: readonly string[] | undefined;
}

export type ReleaseDetail = ReleaseView & {
  envelope: Envelope<ReleaseManifest>;
  files: ReleaseFileView[];
};

export interface Releases {
  /**
   * Judges the manifest, then takes in the image, which must be the one that the manifest names.
   * Refusals: signature-invalid, manifest-invalid (details.check), already-exists, image-mismatch,
   * quota-exceeded, conflict (no trust root yet).
   */
  publish(tenantId: string, options: PublishOptions, actor: Actor): Promise<ReleaseView>;
  get(tenantId: string, id: string): Promise<ReleaseDetail>;
  list(
    tenantId: string,
    options?: ReleaseFilter & { cursor?: string | undefined; limit?: number },
  ): Promise<{ items: ReleaseView[]; nextCursor: string | null }>;
  /** Moves a release towards `stable`; refuses with `conflict` to move it back, or when yanked. */
  promote(tenantId: string, id: string, channel: Channel, actor: Actor): Promise<ReleaseView>;
  /** Withdraws a release: nothing new may install it. A second time changes nothing. */
  yank(tenantId: string, id: string, reason: string, actor: Actor): Promise<ReleaseView>;
}

export interface ReleaseFilter {
  product?: string | undefined;
  channel?: Channel | undefined;
  status?: "published" | "yanked" | undefined;
}

const DEFAULT_PAGE = 50;
const MAX_TEXT = 10_000;

export function createReleases(
  deps: FirmwareDeps,
  metadata: Pick<MetadataWriter, "refresh" | "forget">,
): Releases {
  const { db, tenancy } = deps;
  return {
    publish: (tenantId, options, actor) =>
      withSpan("firmware.publish", { "vautn.tenant": tenantId }, async (span) => {
        // Read first: a connection must not be held while another one is waited for.
        const { maxReleases } = await tenancy.settings(tenantId);
        const assertRoom = await tenancy.usage?.roomOf(tenantId);
        const assertRoomFor = async (tx: Tx, { image }: ReleaseManifest) => {
          const isThere = (await store.findImages(tx, tenantId, [image.sha256])).size > 0;
          // What was uploaded has its place already.
          if (!isThere && !("uploadId" in options.image)) await assertRoom?.(tx, image.sizeBytes);
        };
        const envelope = await db.tenant(tenantId, async (tx) => {
          const judged = await judge(tx, deps, tenantId, options);
          if ((await store.countReleases(tx, tenantId)) >= maxReleases) throw quota(maxReleases);
          await assertRoomFor(tx, judged.signed);
          return judged;
        });
        const { product, version, image } = envelope.signed;
        span.setAttributes({ product, version, sizeBytes: image.sizeBytes });
        if (!("uploadId" in options.image)) {
          await takeImage(await blobsOf(deps, tenantId), envelope.signed, options.image);
        }
        const publication = { tenantId, envelope, options, assertRoomFor };
        const row = await insert(deps, metadata, publication, actor);
        return releaseView(row);
      }),

    async get(tenantId, id) {
      const row = isUuid(id)
        ? await db.tenant(tenantId, (tx) => store.findRelease(tx, tenantId, id))
        : undefined;
      if (!row) throw notFound(id);
      const files = await db.tenant(tenantId, (tx) => findFiles(tx, tenantId, id));
      return { ...releaseView(row), envelope: row.envelope, files };
    },

    async list(tenantId, { cursor, limit = DEFAULT_PAGE, ...filter } = {}) {
      if (cursor !== undefined && !isUuid(cursor)) {
        throw new AppError("invalid-cursor", "not a page of this list");
      }
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) =>
        store.listReleases(tx, tenantId, { ...filter, before: cursor, limit: size + 1 }),
      );
      const page = rows.slice(0, size);
      const nextCursor = rows.length > size ? (page.at(-1)?.id ?? null) : null;
      return { items: page.map(releaseView), nextCursor };
    },

    async promote(tenantId, id, channel, actor) {
      if (!isUuid(id)) throw notFound(id);
      return db.tenant(tenantId, async (tx) => {
        const below = CHANNELS.slice(0, CHANNELS.indexOf(channel));
        const row = await store.findRelease(tx, tenantId, id);
        const promoted = await store.setChannel(tx, tenantId, id, channel, below);
        if (row && promoted) {
          const details = auditChange({ channel: row.channel }, { channel });
          const record = { action: "release.promote", targetId: id, details };
          await tenancy.audit.record(tx, tenantId, releaseRecord(actor, record));
          return releaseView(promoted);
        }
        if (!row) throw notFound(id);
        if (row.status === "published" && row.channel === channel) return releaseView(row);
        const why = row.status === "yanked" ? "has been yanked" : `is in ${row.channel} already`;
        throw new AppError("conflict", `the release ${why}`, { channel: row.channel });
      });
    },

    async yank(tenantId, id, reason, actor) {
      if (!isUuid(id)) throw notFound(id);
      return db.tenant(tenantId, async (tx) => {
        const text = storableText(reason, MAX_TEXT);
        const yanked = await store.markYanked(tx, tenantId, id, text);
        const row = yanked ?? (await store.findRelease(tx, tenantId, id));
        if (!row) throw notFound(id);
        if (yanked) {
          const record = { action: "release.yank", targetId: id, details: { reason: text } };
          await tenancy.audit.record(tx, tenantId, releaseRecord(actor, record));
          await metadata.refresh(tx, tenantId, row.product);
        }
        return releaseView(row);
      });
    },
  };
}

/** Everything that can be refused before the image is read. */
async function judge(
  tx: Tx,
  deps: FirmwareDeps,
  tenantId: string,
  options: PublishOptions,
): Promise<Envelope<ReleaseManifest>> {
  const root = await latestRoot(tx, tenantId);
  if (!root) throw new AppError("conflict", "the tenant has no trust root: set it first");
  const envelope = checkManifest(options.envelope, {
    tenantId,
    root: root.signed,
    targets: (await latestTargets(tx, tenantId))?.signed ?? null,
    nowMs: deps.clock.now(),
  });
  const { product, version } = envelope.signed;
  if (await store.hasVersion(tx, tenantId, product, version)) throw taken(product, version);
  return envelope;
}

async function takeImage(
  blobs: BlobPlace,
  manifest: ReleaseManifest,
  image: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { sha256, sizeBytes } = manifest.image;
  try {
    const stored = await blobs.put(image, { maxBytes: sizeBytes, expectedSha256: sha256 });
    if (stored.sizeBytes === sizeBytes) return;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "payload-too-large") throw error;
  }
  throw new AppError("image-mismatch", `the manifest names an image of ${sizeBytes} bytes`, {
    expectedSizeBytes: sizeBytes,
  });
}

/** The upload's place is taken by the release, in the same transaction. */
async function takeUpload(
  tx: Tx,
  tenantId: string,
  id: string,
  manifest: ReleaseManifest,
  nowMs: number,
): Promise<void> {
  const upload = isUuid(id) ? await holdUpload(tx, tenantId, id) : undefined;
  if (!upload || upload.expires_at.getTime() <= nowMs) {
    throw new AppError("not-found", "there is no such upload", { upload: id });
  }
  if (upload.status !== "complete") {
    throw new AppError("conflict", "the upload is not complete", {
      offsetBytes: upload.offset_bytes,
      sizeBytes: upload.size_bytes,
    });
  }
  const { sha256, sizeBytes } = manifest.image;
  if (upload.sha256 !== sha256 || upload.size_bytes !== sizeBytes) {
    throw new AppError("image-mismatch", "the upload is not the image that the manifest names", {
      expectedSha256: sha256,
      actualSha256: upload.sha256,
    });
  }
  await deleteUpload(tx, tenantId, id);
}

interface Publication {
  tenantId: string;
  envelope: Envelope<ReleaseManifest>;
  options: PublishOptions;
  /** Of what is sent with the release; others may have taken the room meanwhile. */
  assertRoomFor(tx: Tx, manifest: ReleaseManifest): Promise<void>;
}

async function insert(
  deps: FirmwareDeps,
  metadata: Pick<MetadataWriter, "refresh">,
  publication: Publication,
  actor: Actor,
): Promise<store.ReleaseRow> {
  const { tenantId, envelope, options, assertRoomFor } = publication;
  const manifest = envelope.signed;
  const now = new Date(deps.clock.now());
  const row: store.ReleaseRow = {
    tenant_id: tenantId,
    id: timeOrderedId(now.getTime()),
    product: manifest.product,
    version: manifest.version,
    hardware_revisions: manifest.hardwareRevisions,
    minimum_source_version: manifest.minimumSourceVersion,
    security_counter: manifest.securityCounter,
    image_sha256: manifest.image.sha256,
    image_size_bytes: manifest.image.sizeBytes,
    image_name: manifest.image.name,
    envelope,
    status: "published",
    channel: options.channel ?? "dev",
    yank_reason: null,
    notes: storableText(options.notes ?? manifest.notes ?? "", MAX_TEXT),
    published_at: now,
    published_by: actor.name,
    delta_warning: await warningOf(deps, publication),
  };
  const files = await readFiles(deps, tenantId, manifest, options.files ?? []);
  try {
    await deps.db.tenant(tenantId, async (tx) => {
      if ("uploadId" in options.image) {
        await takeUpload(tx, tenantId, options.image.uploadId, manifest, deps.clock.now());
      }
      await assertRoomFor(tx, manifest);
      await addArtifact(deps, tx, {
        tenant_id: tenantId,
        sha256: row.image_sha256,
        size_bytes: row.image_size_bytes,
        kind: "image",
        created_at: now,
      });
      await store.insertRelease(tx, row);
      await insertFiles(deps, tx, row, files, now);
      // In the same transaction: devices believe a release when the snapshot names it.
      await metadata.refresh(tx, tenantId, row.product);
      const { product, version, image_sha256: imageSha256 } = row;
      const details = { product, version, imageSha256, signers: releaseView(row).signers };
      const record = { action: "release.publish", targetId: row.id, details };
      await deps.tenancy.audit.record(tx, tenantId, releaseRecord(actor, record));
    });
  } catch (error) {
    throw isUniqueViolation(error) ? taken(row.product, row.version) : error;
  }
  return row;
}

/** Where the image is not the tenant's (an upload that is not complete), the transaction refuses it. */
async function warningOf(
  deps: FirmwareDeps,
  { tenantId, envelope, options }: Publication,
): Promise<string | null> {
  const { sha256 } = envelope.signed.image;
  if ("uploadId" in options.image) {
    const { uploadId } = options.image;
    // Whether somebody else has it is not to be felt by how long the refusal takes.
    const upload = isUuid(uploadId)
      ? await deps.db.tenant(tenantId, (tx) => findUpload(tx, tenantId, uploadId))
      : undefined;
    if (upload?.sha256 !== sha256) return null;
  }
  const blobs = await blobsOf(deps, tenantId);
  const stat = await blobs.stat(sha256);
  if (!stat) return null;
  return deltaWarning({
    sizeBytes: stat.sizeBytes,
    async read(start, end) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await blobs.open(sha256, { start, end })) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
  });
}

function releaseRecord(
  actor: Actor,
  record: { action: string; targetId: string; details: Record<string, unknown> },
) {
  return { actor, targetKind: "release", outcome: "done" as const, ...record };
}

function releaseView(row: store.ReleaseRow): ReleaseView {
  const envelope: Envelope<ReleaseManifest> = row.envelope;
  return {
    id: row.id,
    product: row.product,
    version: row.version,
    hardwareRevisions: row.hardware_revisions,
    minimumSourceVersion: row.minimum_source_version,
    securityCounter: row.security_counter,
    imageSha256: row.image_sha256,
    imageSizeBytes: row.image_size_bytes,
    imageName: row.image_name,
    status: row.status,
    channel: row.channel,
    yankReason: row.yank_reason,
    notes: row.notes,
    publishedAt: row.published_at,
    publishedBy: row.published_by,
    signers: envelope.signatures.map((signature) => signature.keyid),
    deltaWarning: row.delta_warning,
  };
}

function taken(product: string, version: string): AppError {
  return new AppError("already-exists", `${product} ${version} has been published`, {
    product,
    version,
  });
}

function quota(maxReleases: number): AppError {
  return new AppError("quota-exceeded", `the tenant may have ${maxReleases} releases`, {
    maxReleases,
  });
}

function notFound(id: string): AppError {
  return new AppError("not-found", "there is no such release", { release: id });
}
