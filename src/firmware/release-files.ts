import type { BlobPlace } from "../blobs/index.ts";
import type { Tx } from "../db/index.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import type { ReleaseManifest } from "../protocol/index.ts";
import { assertAbout } from "./build.ts";
import { keepBlob } from "./collection.ts";
import { insertComponents } from "./components-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { type ProvenanceSummary, readProvenance } from "./provenance.ts";
import * as releases from "./releases-store.ts";
import { readSbom, type SbomComponent, type SbomSummary, summariseSbom } from "./sbom.ts";
import { blobsOf } from "./tenant-blobs.ts";
import { deleteUpload, holdUpload } from "./uploads-store.ts";

export interface ReleaseFileView {
  role: "component" | "sbom" | "provenance";
  /** Of a component, else ''. */
  component: string;
  name: string;
  sha256: string;
  sizeBytes: number;
  /** What was read from a bill of materials or a provenance; null of a component. */
  summary: SbomSummary | ProvenanceSummary | null;
}

/** A file of a release with the upload that holds it, where it was not here before. */
export interface TakenFile extends ReleaseFileView {
  uploadId: string | null;
  /** Everything that a bill of materials lists; null of other files. */
  components: SbomComponent[] | null;
}

const MAX_UPLOADS = 64;

/**
 * The further files that a manifest names, each found among the uploads or among what the tenant
 * has already; documents are read. `conflict` names those that are nowhere, `manifest-invalid`
 * those that do not say what they have to.
 */
export async function readFiles(
  deps: Pick<FirmwareDeps, "db" | "blobs" | "tenancy">,
  tenantId: string,
  manifest: ReleaseManifest,
  uploadIds: readonly string[],
): Promise<TakenFile[]> {
  const named = namedFiles(manifest);
  if (named.length === 0) return [];
  if (uploadIds.length > MAX_UPLOADS || !uploadIds.every(isUuid)) {
    throw new AppError("invalid-request", `name at most ${MAX_UPLOADS} uploads`);
  }
  const found = await deps.db.tenant(tenantId, async (tx) => {
    const uploads = new Map<string, string>();
    for (const id of uploadIds) {
      const upload = await holdUpload(tx, tenantId, id);
      if (upload?.status === "complete" && upload.sha256) uploads.set(upload.sha256, id);
    }
    const hashes = named.map(({ sha256 }) => sha256);
    return { uploads, known: await releases.knownArtifacts(tx, tenantId, hashes) };
  });
  const missing = named.filter(
    ({ sha256 }) => !found.uploads.has(sha256) && !found.known.has(sha256),
  );
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name);
    throw new AppError("conflict", `files are missing: ${names.join(", ")}`, { missing: names });
  }
  const blobs = await blobsOf(deps, tenantId);
  return Promise.all(
    named.map(async (file) => ({
      ...file,
      ...(await contentOf(blobs, manifest, file)),
      uploadId: found.uploads.get(file.sha256) ?? null,
    })),
  );
}

function namedFiles({ components = [], sbom, provenance }: ReleaseManifest) {
  const view = (
    role: ReleaseFileView["role"],
    component: string,
    { name, sha256, sizeBytes }: { name: string; sha256: string; sizeBytes: number },
  ) => ({ role, component, name, sha256, sizeBytes });
  return [
    ...components.map((file) => view("component", file.component, file)),
    ...(sbom ? [view("sbom", "", sbom)] : []),
    ...(provenance ? [view("provenance", "", provenance)] : []),
  ];
}

async function contentOf(
  blobs: BlobPlace,
  manifest: ReleaseManifest,
  { role, sha256, sizeBytes, name }: Omit<ReleaseFileView, "summary">,
): Promise<Pick<TakenFile, "summary" | "components">> {
  const stat = await blobs.stat(sha256);
  if (stat?.sizeBytes !== sizeBytes) {
    throw new AppError("image-mismatch", `${name} has another size than the manifest says`);
  }
  if (role === "component") return { summary: null, components: null };
  const content = await readDocument(blobs, sha256);
  try {
    if (role === "sbom") {
      const sbom = readSbom(content);
      return { summary: summariseSbom(sbom), components: sbom.components };
    }
    const keys = manifest.provenance?.keys ?? [];
    const provenance = readProvenance(content, keys);
    assertAbout(provenance, manifest.image, keys);
    return { summary: provenance, components: null };
  } catch (cause) {
    const message = cause instanceof AppError ? cause.message : "it cannot be read";
    throw new AppError("manifest-invalid", `${role}: ${message}`, { check: role }, { cause });
  }
}

/** A document of a release, whole: it was bounded when it was accepted. */
export async function readDocument(blobs: BlobPlace, sha256: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await blobs.open(sha256)) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** Within the transaction that makes the release: its files are the tenant's from then on. */
export async function insertFiles(
  deps: Pick<FirmwareDeps, "blobs">,
  tx: Tx,
  release: releases.ReleaseRow,
  files: readonly TakenFile[],
  createdAt: Date,
): Promise<void> {
  // In one order for all, so that two releases with the same files do not wait for each other.
  const sorted = files.toSorted((left, right) => (left.sha256 < right.sha256 ? -1 : 1));
  for (const file of sorted) {
    await keepBlob(deps, tx, release.tenant_id, file.sha256);
    // What devices may download; documents are for people.
    if (file.role === "component") {
      await releases.insertArtifact(tx, {
        tenant_id: release.tenant_id,
        sha256: file.sha256,
        size_bytes: file.sizeBytes,
        kind: "image",
        created_at: createdAt,
      });
    }
    await releases.insertReleaseFile(tx, {
      tenant_id: release.tenant_id,
      release_id: release.id,
      role: file.role,
      component: file.component,
      name: file.name,
      sha256: file.sha256,
      size_bytes: file.sizeBytes,
      summary: file.summary,
      components_listed: file.components !== null,
    });
    if (file.components) {
      await insertComponents(tx, release.tenant_id, release.id, file.components);
    }
    if (file.uploadId) await deleteUpload(tx, release.tenant_id, file.uploadId);
  }
}

export async function findFiles(
  tx: Tx,
  tenantId: string,
  releaseId: string,
): Promise<ReleaseFileView[]> {
  const rows = await releases.listReleaseFiles(tx, tenantId, releaseId);
  return rows.map((row) => ({
    role: row.role,
    component: row.component,
    name: row.name,
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    summary: row.summary as ReleaseFileView["summary"],
  }));
}
