import type { BlobPlace } from "../blobs/index.ts";
import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Timeseries } from "../timeseries/index.ts";
import { type ArchivedFile, sha256Of, TAR_END, tarHeader, tarPadding } from "./archive.ts";
import * as store from "./tenant-data-store.ts";

export interface ExportDeps {
  db: Database;
  clock: Clock;
  firmware: { blobsOf(tenantId: string): Promise<Pick<BlobPlace, "open" | "stat">> };
  timeseries: Pick<Timeseries, "exportTenant">;
}

const PAGE_ROWS = 1_000;
/** A table is written in parts of about this size: a part stands in memory as a whole. */
const PART_BYTES = 4 * 1024 * 1024;

/**
 * Columns that hold secrets, or what a secret is recognised by: keys that the platform has sealed,
 * hashes of tokens and passwords. The archive says so, and holds null in their place.
 */
const SECRET_COLUMN =
  /(_sealed|_hash|_secret|^secret|^password|^private_key|^staging_state|^lock_token|token_hash)$/;
/** These are hashes of what is public: of images, and of the audit log's own entries. */
const PUBLIC_HASHES = ["audit_entries", "audit_heads", "audit_checkpoints"];

/**
 * Everything that a tenant owns, as a POSIX archive that is made while it is read: tables as JSON Lines,
 * measurements, lines and spans, artifacts by their hash, and at the end `manifest.json` with the hash of
 * every file. Who is cut off begins anew; an archive without a manifest is not whole.
 */
export async function* exportTenant(deps: ExportDeps, tenantId: string): AsyncGenerator<Buffer> {
  const { db, clock } = deps;
  const startedAt = clock.now();
  const files: ArchivedFile[] = [];
  const file = (name: string, content: Buffer, rows?: number) => {
    const sizeBytes = content.length;
    files.push({ name, sizeBytes, sha256: sha256Of(content), ...(rows ? { rows } : {}) });
    const header = tarHeader(name, sizeBytes, startedAt);
    return Buffer.concat([header, content, tarPadding(sizeBytes)]);
  };
  const tables = await db.tenant(tenantId, store.tenantTables);
  for (const table of tables) {
    yield* inParts(`postgresql/${table.name}`, rowsOf(db, tenantId, table), file);
  }
  for (const { table, rows } of deps.timeseries.exportTenant(tenantId)) {
    yield* inParts(`clickhouse/${table}`, rows, file);
  }
  const { artifacts } = await db.tenant(tenantId, store.tenantBlobs);
  const blobs = await deps.firmware.blobsOf(tenantId);
  for (const { sha256 } of artifacts) {
    const stat = await blobs.stat(sha256);
    if (!stat) continue;
    const name = `blobs/${sha256}`;
    files.push({ name, sizeBytes: stat.sizeBytes, sha256 });
    yield tarHeader(name, stat.sizeBytes, startedAt);
    for await (const chunk of await blobs.open(sha256)) yield chunk as Buffer;
    yield tarPadding(stat.sizeBytes);
  }
  const manifest = {
    tenant: tenantId,
    startedAt: new Date(startedAt).toISOString(),
    endedAt: new Date(clock.now()).toISOString(),
    format: "vautn-tenant-export/1",
    withoutSecrets: "sealed keys, and hashes of passwords, tokens and keys, are null",
    files,
  };
  yield file("manifest.json", Buffer.from(JSON.stringify(manifest, null, 1)));
  yield TAR_END;
}

async function* inParts(
  name: string,
  rows: AsyncIterable<string>,
  file: (name: string, content: Buffer, rows: number) => Buffer,
): AsyncGenerator<Buffer> {
  let part = 0;
  let lines: string[] = [];
  let size = 0;
  const end = () => {
    part += 1;
    const content = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    const made = file(`${name}-${String(part).padStart(5, "0")}.jsonl`, content, lines.length);
    lines = [];
    size = 0;
    return made;
  };
  for await (const line of rows) {
    lines.push(line);
    size += line.length;
    if (size >= PART_BYTES) yield end();
  }
  if (lines.length > 0) yield end();
}

async function* rowsOf(
  db: Database,
  tenantId: string,
  table: store.TenantTable,
): AsyncGenerator<string> {
  let after: object | undefined;
  for (;;) {
    const page = await db.tenant(tenantId, (tx) => store.readPage(tx, table, after, PAGE_ROWS));
    for (const row of page) yield JSON.stringify(withoutSecrets(table.name, row));
    if (page.length < PAGE_ROWS) return;
    after = page.at(-1);
  }
}

function withoutSecrets(table: string, row: Record<string, unknown>): Record<string, unknown> {
  const isPublic = PUBLIC_HASHES.includes(table);
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [
      column,
      SECRET_COLUMN.test(column) && !isPublic ? null : value,
    ]),
  );
}
