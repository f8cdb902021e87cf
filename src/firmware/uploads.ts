import { createHash } from "node:crypto";
import { AppError, isAppError, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { withSpan } from "../kernel/tracing.ts";
import { type Actor, SYSTEM_ACTOR } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import { blobsOf, stagingOf } from "./tenant-blobs.ts";
import {
  type AppendOptions,
  type Held,
  UPLOAD_REST_MS,
  whileHeld,
  writeContent,
} from "./upload-writer.ts";
import * as store from "./uploads-store.ts";

export interface UploadView {
  id: string;
  status: "open" | "complete";
  name: string;
  sizeBytes: number;
  offsetBytes: number;
  /** Of the content, once all of it is here. */
  sha256: string | null;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date;
}

export interface NewUpload {
  sizeBytes: number;
  /** Upload-Metadata as it was sent. */
  metadata: string;
  name: string;
  expectedSha256: string | null;
}

/** Images on their way in: resumable, bounded by tenant, durable as far as their offset says. */
export interface Uploads {
  /** Refusals: payload-too-large, quota-exceeded, storage-full. */
  create(tenantId: string, upload: NewUpload, actor: Actor): Promise<UploadView>;
  get(tenantId: string, id: string): Promise<UploadView & { metadata: string }>;
  list(
    tenantId: string,
    options?: { cursor?: string | undefined; limit?: number | undefined },
  ): Promise<{ items: UploadView[]; nextCursor: string | null }>;
  /**
   * Refusals: upload-offset, upload-locked, upload-gone, checksum-mismatch, payload-too-large,
   * storage-full; image-mismatch where all of it is here and is not what was announced.
   */
  append(tenantId: string, id: string, options: AppendOptions, actor: Actor): Promise<UploadView>;
  terminate(tenantId: string, id: string, actor: Actor): Promise<void>;
  /** Ends what has expired. */
  expire(tenantId: string): Promise<number>;
}

const DEFAULT_PAGE = 50;
const WRITERS_PER_TENANT = 8;
const EXPIRED_AT_ONCE = 100;

const outcomes = counter("vautn_uploads_total", "Uploads by how they ended", ["outcome"]);

export function createUploads(deps: FirmwareDeps): Uploads {
  const { db, clock, blobs } = deps;
  const writers = new Map<string, number>();

  /** One tenant's uploads keep a process from its other work only so far. */
  async function counted<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
    const count = writers.get(tenantId) ?? 0;
    if (count >= WRITERS_PER_TENANT) {
      throw new AppError("rate-limited", "the tenant uploads too much at once", {
        retryAfterSeconds: 5,
      });
    }
    writers.set(tenantId, count + 1);
    try {
      return await work();
    } finally {
      const left = (writers.get(tenantId) ?? 1) - 1;
      if (left === 0) writers.delete(tenantId);
      else writers.set(tenantId, left);
    }
  }

  async function found(tenantId: string, id: string): Promise<store.UploadRow> {
    const row = isUuid(id)
      ? await db.tenant(tenantId, (tx) => store.findUpload(tx, tenantId, id))
      : undefined;
    if (!row) throw new AppError("not-found", "there is no such upload", { upload: id });
    if (row.expires_at.getTime() <= clock.now()) throw gone();
    return row;
  }

  /** All bytes are here: hashes them and makes a blob of them. Goes on where a crash cut it off. */
  async function finish(held: Held, tenantId: string, actor: Actor): Promise<void> {
    const { row } = held;
    const staging = stagingOf(blobs, row);
    const sha256 =
      row.sha256 ?? (await hashOf(staging.read(row.id, row.size_bytes, row.staging_state)));
    if (row.expected_sha256 !== null && row.expected_sha256 !== sha256) {
      await remove(tenantId, row);
      outcomes.inc({ outcome: "refused" });
      throw new AppError("image-mismatch", "the content is not what the upload announced", {
        expectedSha256: row.expected_sha256,
        actualSha256: sha256,
      });
    }
    // From here on the blob is referred to; who collects it at this moment is done before that.
    if (row.status === "open") await held.change({ status: "finishing", sha256 }, sha256);
    const place = await blobsOf(deps, tenantId);
    const staged = { staging, id: row.id, state: row.staging_state };
    await place.adopt(staged, { sha256, sizeBytes: row.size_bytes });
    await held.change({ status: "complete" });
    await db.tenant(tenantId, (tx) =>
      record(tx, tenantId, row, { action: "upload.complete", actor, details: { sha256 } }),
    );
    outcomes.inc({ outcome: "complete" });
  }

  async function finishWhenWhole(row: store.UploadRow, actor: Actor): Promise<store.UploadRow> {
    if (row.status === "complete" || row.offset_bytes < row.size_bytes) return row;
    await whileHeld(deps, row.tenant_id, row.id, async (held) => {
      if (held.row.status !== "complete") await finish(held, row.tenant_id, actor);
    });
    return found(row.tenant_id, row.id);
  }

  async function remove(tenantId: string, row: store.UploadRow): Promise<void> {
    await stagingOf(blobs, row).remove(row.id);
    await db.tenant(tenantId, (tx) => store.deleteUpload(tx, tenantId, row.id));
  }

  function record(
    tx: Parameters<typeof store.insertUpload>[0],
    tenantId: string,
    row: store.UploadRow,
    what: { action: string; actor: Actor; details?: Record<string, unknown> },
  ): Promise<void> {
    return deps.tenancy.audit.record(tx, tenantId, {
      actor: what.actor,
      action: what.action,
      targetKind: "upload",
      targetId: row.id,
      outcome: "done",
      details: { name: row.name, sizeBytes: row.size_bytes, ...what.details },
    });
  }

  return {
    async create(tenantId, upload, actor) {
      const { sizeBytes } = upload;
      if (sizeBytes > LIMITS.imageBytes) {
        throw new AppError("payload-too-large", `an image has at most ${LIMITS.imageBytes} bytes`, {
          maxBytes: LIMITS.imageBytes,
        });
      }
      const place = (await deps.tenancy.storageClass?.(tenantId)) ?? "shared";
      const staging = stagingOf(blobs, { tenant_id: tenantId, place });
      await staging.assertRoom(sizeBytes);
      const assertRoom = await deps.tenancy.usage?.roomOf(tenantId);
      const now = new Date(clock.now());
      const row: store.UploadRow = {
        tenant_id: tenantId,
        id: timeOrderedId(now.getTime()),
        status: "open",
        size_bytes: sizeBytes,
        offset_bytes: 0,
        metadata: upload.metadata,
        name: upload.name,
        expected_sha256: upload.expectedSha256,
        sha256: null,
        created_at: now,
        created_by: actor.name,
        expires_at: new Date(now.getTime() + UPLOAD_REST_MS),
        lock_token: null,
        locked_until: null,
        staging_state: null,
        place,
      };
      await db.tenant(tenantId, async (tx) => {
        const open = await store.countUploads(tx, tenantId);
        if (open.uploads >= LIMITS.uploadsPerTenant) {
          throw new AppError("quota-exceeded", "publish or end other uploads first", {
            maxUploads: LIMITS.uploadsPerTenant,
          });
        }
        if (open.sizeBytes + sizeBytes > LIMITS.uploadBytesPerTenant) {
          throw new AppError("quota-exceeded", "publish or end other uploads first", {
            maxBytes: LIMITS.uploadBytesPerTenant,
            usedBytes: open.sizeBytes,
          });
        }
        await assertRoom?.(tx, sizeBytes);
        await store.insertUpload(tx, row);
        await record(tx, tenantId, row, { action: "upload.create", actor });
      });
      // An empty upload is whole at once.
      const writer = await staging.writer(row.id, 0, null);
      await writer.close();
      return viewOf(await finishWhenWhole(row, actor));
    },

    async get(tenantId, id) {
      const row = await found(tenantId, id);
      try {
        // A crash may have come between the last byte and its end.
        const whole = await finishWhenWhole(row, SYSTEM_ACTOR);
        return { ...viewOf(whole), metadata: whole.metadata };
      } catch (error) {
        if (!isAppError(error, "upload-locked")) throw error;
        return { ...viewOf(row), metadata: row.metadata };
      }
    },

    async list(tenantId, { cursor, limit = DEFAULT_PAGE } = {}) {
      if (cursor !== undefined && !isUuid(cursor)) {
        throw new AppError("invalid-cursor", "not a page of this list");
      }
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) =>
        store.listUploads(tx, tenantId, { before: cursor, limit: size + 1 }),
      );
      const page = rows.slice(0, size);
      return {
        items: page.map(viewOf),
        nextCursor: rows.length > size ? (page.at(-1)?.id ?? null) : null,
      };
    },

    append: (tenantId, id, options, actor) =>
      withSpan("firmware.upload", { "vautn.tenant": tenantId }, () =>
        counted(tenantId, async () => {
          await found(tenantId, id);
          await whileHeld(deps, tenantId, id, async (held) => {
            const row = { ...held.row, ...(await writeContent(deps, held, options)) };
            if (row.offset_bytes < row.size_bytes || row.status === "complete") return;
            await finish({ ...held, row }, tenantId, actor);
          });
          return viewOf(await found(tenantId, id));
        }),
      ),

    async terminate(tenantId, id, actor) {
      await found(tenantId, id);
      await whileHeld(deps, tenantId, id, async ({ row }) => {
        await stagingOf(blobs, row).remove(id);
        await db.tenant(tenantId, async (tx) => {
          await store.deleteUpload(tx, tenantId, id);
          await record(tx, tenantId, row, { action: "upload.terminate", actor });
        });
      });
      outcomes.inc({ outcome: "terminated" });
    },

    async expire(tenantId) {
      const now = new Date(clock.now());
      const ended = await db.tenant(tenantId, async (tx) => {
        const rows = await store.expiredUploads(tx, tenantId, now, EXPIRED_AT_ONCE);
        for (const row of rows) await store.deleteUpload(tx, tenantId, row.id);
        for (const row of rows) {
          await record(tx, tenantId, row, { action: "upload.expire", actor: SYSTEM_ACTOR });
        }
        return rows;
      });
      // What a crash leaves between the two has no row: the collection of blobs takes it.
      for (const row of ended) await stagingOf(blobs, row).remove(row.id);
      outcomes.inc({ outcome: "expired" }, ended.length);
      return ended.length;
    },
  };
}

async function hashOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of content) hash.update(chunk);
  return hash.digest("hex");
}

function gone(): AppError {
  return new AppError("upload-gone", "the upload has expired: begin a new one");
}

function viewOf(row: store.UploadRow): UploadView {
  return {
    id: row.id,
    status: row.status === "complete" ? "complete" : "open",
    name: row.name,
    sizeBytes: row.size_bytes,
    offsetBytes: row.offset_bytes,
    sha256: row.status === "complete" ? row.sha256 : null,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
  };
}
