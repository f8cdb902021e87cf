import type { Readable } from "node:stream";
import { AppError, isAppError, isUuid, LIMITS } from "../kernel/index.ts";
import { parseComponentQuery } from "./component-query.ts";
import * as store from "./components-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { readDocument } from "./release-files.ts";
import { findRelease, listReleaseFiles } from "./releases-store.ts";
import { readSbom, type SbomComponent } from "./sbom.ts";
import { blobsOf } from "./tenant-blobs.ts";

/** A component with the release that contains it. */
export interface ComponentView {
  name: string;
  version: string | null;
  license: string | null;
  purl: string | null;
  release: {
    id: string;
    product: string;
    version: string;
    channel: store.FoundComponent["channel"];
    status: store.FoundComponent["status"];
  };
}

export interface ComponentSearch extends store.ComponentFilter {
  /** `openssl < 3.0.15`; everything without one. */
  q?: string | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

/** What is inside the tenant's releases, by their bills of materials. */
export interface Components {
  /** Refusals: `invalid-query`, `invalid-cursor`, `not-found` (the release that is named). */
  find(
    tenantId: string,
    search: ComponentSearch,
  ): Promise<{ items: ComponentView[]; nextCursor: string | null }>;
  /** A document of a release as it was published; `not-found` where it has none. */
  document(
    tenantId: string,
    releaseId: string,
    role: "sbom" | "provenance",
  ): Promise<{ name: string; sizeBytes: number; read(): Promise<Readable> }>;
}

const DEFAULT_PAGE = 50;
const LISTED_AT_ONCE = 20;
/** As many as the most releases that a tenant can have. */
const MAX_ROUNDS = 5_000;

export function createComponents(deps: FirmwareDeps): Components {
  const { db } = deps;
  return {
    async find(tenantId, { q = "", cursor, limit = DEFAULT_PAGE, ...filter }) {
      const query = parseComponentQuery(q);
      const after = cursor === undefined ? undefined : readCursor(cursor);
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const { releaseId } = filter;
      if (releaseId !== undefined) await assertRelease(deps, tenantId, releaseId);
      await listDocuments(deps, tenantId);
      const rows = await db.tenant(tenantId, (tx) =>
        store.findComponents(tx, tenantId, query, filter, { after, limit: size + 1 }),
      );
      const page = rows.slice(0, size);
      const last = rows.length > size ? page.at(-1) : undefined;
      return {
        items: page.map(componentView),
        nextCursor: last ? `${last.releaseId}:${last.position}` : null,
      };
    },

    async document(tenantId, releaseId, role) {
      await assertRelease(deps, tenantId, releaseId);
      const files = await db.tenant(tenantId, (tx) => listReleaseFiles(tx, tenantId, releaseId));
      const file = files.find((each) => each.role === role);
      if (!file)
        throw new AppError("not-found", `the release has no ${role}`, { release: releaseId });
      return {
        name: file.name,
        sizeBytes: file.size_bytes,
        read: async () => (await blobsOf(deps, tenantId)).open(file.sha256),
      };
    },
  };
}

/** Writes down the components of documents that came before the platform did so. */
async function listDocuments(deps: FirmwareDeps, tenantId: string): Promise<void> {
  const { db } = deps;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const documents = await db.tenant(tenantId, (tx) =>
      store.unlistedDocuments(tx, tenantId, LISTED_AT_ONCE),
    );
    if (documents.length === 0) return;
    for (const { release_id: releaseId, sha256 } of documents) {
      const components = await componentsOf(deps, { tenantId, releaseId, sha256 });
      await db.tenant(tenantId, async (tx) => {
        await store.insertComponents(tx, tenantId, releaseId, components);
        await store.markListed(tx, tenantId, releaseId);
      });
    }
  }
}

/** Nothing for a document that can never be read: it must not keep the others from being found. */
async function componentsOf(
  deps: FirmwareDeps,
  { sha256, ...of }: { tenantId: string; releaseId: string; sha256: string },
): Promise<readonly SbomComponent[]> {
  try {
    return readSbom(await readDocument(await blobsOf(deps, of.tenantId), sha256)).components;
  } catch (error) {
    if (!isAppError(error, "invalid-content") && !isAppError(error, "not-found")) throw error;
    deps.logger.warn({ ...of, sha256, err: error }, "a bill of materials cannot be searched");
    return [];
  }
}

async function assertRelease({ db }: FirmwareDeps, tenantId: string, id: string): Promise<void> {
  const found = isUuid(id)
    ? await db.tenant(tenantId, (tx) => findRelease(tx, tenantId, id))
    : undefined;
  if (!found) throw new AppError("not-found", "there is no such release", { release: id });
}

function readCursor(cursor: string): { releaseId: string; position: number } {
  const [releaseId = "", position = ""] = cursor.split(":");
  if (!isUuid(releaseId) || !/^\d{1,6}$/.test(position)) {
    throw new AppError("invalid-cursor", "not a page of this list");
  }
  return { releaseId, position: Number(position) };
}

function componentView(row: store.FoundComponent): ComponentView {
  const { name, version, license, purl, releaseId, product, releaseVersion } = row;
  const { channel, status } = row;
  return {
    name,
    version,
    license,
    purl,
    release: { id: releaseId, product, version: releaseVersion, channel, status },
  };
}
