import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";
import {
  AUDIT_FORGET,
  type AuditCheckpoint,
  addSignatureOf,
  type Envelope,
  ed25519KeyOf,
  type SignedAuditCheckpoint,
  type Signer,
  type SigningKey,
  signerOf,
  signingKeyId,
  validSigners,
} from "../protocol/index.ts";
import { SYSTEM_ACTOR } from "./actor.ts";
import type { AuditVerification } from "./audit.ts";
import * as store from "./audit-checkpoints-store.ts";
import { readHead } from "./audit-store.ts";
import { effectiveSettings } from "./settings.ts";
import type { Tenancy } from "./tenancy.ts";

export interface SignedAuditVerification extends AuditVerification {
  /** The last checkpoint, and whose signature it bears; absent where nothing is signed yet. */
  signed?: { number: number; seq: number; at: Date; keyId: string };
}

/** What the platform signs of audit logs, so that who rewrites a chain in the database is found out. */
export interface AuditCheckpoints {
  /** Comes from the master key: whoever pins it trusts no answer of this platform. */
  readonly key: SigningKey;
  /** Those of master keys that were replaced, the last one first: what they had signed stands. */
  readonly replacedKeys: readonly SigningKey[];
  /** Signs the end of the chain; false where it has not moved since the last time. */
  sign(tenantId: string): Promise<boolean>;
  /** A document of the platform's, under the same key; its `_type` keeps it from being another. */
  signDocument<T extends object>(signed: T): Promise<Envelope<T>>;
  /** In their order. */
  list(
    tenantId: string,
    options?: { after?: number; limit?: number },
  ): Promise<{ items: Envelope<SignedAuditCheckpoint>[]; nextCursor: string | null }>;
  /** The chain, through everything that was signed and what was `kept` outside. */
  verify(tenantId: string, kept?: AuditCheckpoint): Promise<SignedAuditVerification>;
  /**
   * Deletes what is older than the tenant keeps it (`auditRetentionDays`), up to a checkpoint, and
   * writes that down; how many entries that were.
   */
  forgetOld(tenantId: string): Promise<number>;
}

const PURPOSE = "audit checkpoints";
const DAY_MS = 86_400_000;
const PAGE = 1_000;
/** Hourly ones of a hundred years, the longest that a log is kept. */
const MAX_CHECKPOINTS = 1_000_000;
/** Checkpoints whose entries are deleted in one transaction. */
const FORGET_BATCH = 200;

export function createAuditCheckpoints(deps: {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  tenancy: Pick<Tenancy, "audit" | "settings">;
}): AuditCheckpoints {
  const { db, clock, tenancy } = deps;
  const { audit } = tenancy;
  const signer = signerOf(ed25519KeyOf(deps.sealer.deriveKey(PURPOSE)));
  const replacedKeys = deps.sealer
    .deriveReplacedKeys(PURPOSE)
    .map((key) => signerOf(ed25519KeyOf(key)).key);
  const keys = [signer.key, ...replacedKeys];

  /** All that was signed, and the entry of the first one that is missing or not ours. */
  async function signed(tenantId: string) {
    const checkpoints: AuditCheckpoint[] = [];
    let last: store.CheckpointRow | undefined;
    while (checkpoints.length < MAX_CHECKPOINTS) {
      const after = last?.number ?? 0;
      const page = await db.tenant(tenantId, (tx) =>
        store.checkpointsAfter(tx, tenantId, after, PAGE),
      );
      const flawed = firstFlawed(tenantId, page, last, keys);
      if (flawed !== undefined) return { checkpoints, last, flawed };
      for (const { seq, hash } of page) checkpoints.push({ seq, hash: hash.toString("hex") });
      last = page.at(-1) ?? last;
      if (page.length < PAGE) break;
    }
    return { checkpoints, last };
  }

  return {
    key: signer.key,
    replacedKeys,

    sign: (tenantId) => db.tenant(tenantId, (tx) => signHead(tx, tenantId, signer, clock)),

    signDocument: (signed) => addSignatureOf({ signed, signatures: [] }, signer),

    async list(tenantId, { after = 0, limit = LIMITS.pageSize } = {}) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) =>
        store.checkpointsAfter(tx, tenantId, after, size + 1),
      );
      const page = rows.slice(0, size);
      const nextCursor = rows.length > size ? String(page.at(-1)?.number) : null;
      return { items: page.map((row) => envelopeOf(tenantId, row)), nextCursor };
    },

    async verify(tenantId, kept) {
      const { checkpoints, last, flawed } = await signed(tenantId);
      if (flawed !== undefined) {
        return { entries: 0, intact: false, firstBroken: flawed, reason: "signature" };
      }
      const all = kept ? [...checkpoints, kept] : checkpoints;
      const verification = await audit.verify(tenantId, all);
      if (!last) return verification;
      const { number, seq, at, key_id } = last;
      return { ...verification, signed: { number, seq, at, keyId: key_id } };
    },

    async forgetOld(tenantId) {
      const days = await retentionDaysOf(tenancy, tenantId);
      const before = new Date(clock.now() - days * DAY_MS);
      return db.tenant(tenantId, async (tx) => {
        const last = await store.checkpointBefore(tx, tenantId, before, FORGET_BATCH);
        if (!last) return 0;
        const deleted = await store.forgetEntries(tx, tenantId, last.seq);
        if (deleted === 0) return 0;
        await audit.record(tx, tenantId, {
          actor: SYSTEM_ACTOR,
          action: AUDIT_FORGET,
          targetKind: "audit",
          targetId: tenantId,
          outcome: "done",
          details: { upTo: last.seq, deleted, retentionDays: days },
        });
        return deleted;
      });
    },
  };
}

/** The platform's own chain, and those of tenants that are gone, are kept as long as is usual. */
async function retentionDaysOf(
  tenancy: Pick<Tenancy, "settings">,
  tenantId: string,
): Promise<number> {
  try {
    return (await tenancy.settings(tenantId)).auditRetentionDays;
  } catch (error) {
    if (!(error instanceof AppError && error.code === "not-found")) throw error;
    return effectiveSettings({}).auditRetentionDays;
  }
}

async function signHead(tx: Tx, tenantId: string, signer: Signer, clock: Clock): Promise<boolean> {
  const head = await readHead(tx, tenantId);
  const last = await store.lastCheckpoint(tx, tenantId);
  if (!head || head.seq <= (last?.seq ?? 0)) return false;
  const row = {
    number: (last?.number ?? 0) + 1,
    seq: head.seq,
    hash: head.hash,
    at: new Date(clock.now()),
  };
  const unsigned = { signed: checkpointOf(tenantId, row), signatures: [] };
  const { signatures } = await addSignatureOf(unsigned, signer);
  const signature = Buffer.from(signatures[0]?.sig ?? "", "hex");
  const key_id = signingKeyId(signer.key);
  await store.insertCheckpoint(tx, tenantId, { ...row, key_id, signature });
  return true;
}

/**
 * The entry of the first checkpoint that is missing, out of order or not signed by one of the keys,
 * the newest of which comes first. A key that was replaced signs nothing after the next one has.
 */
function firstFlawed(
  tenantId: string,
  rows: readonly store.CheckpointRow[],
  before: store.CheckpointRow | undefined,
  keys: readonly SigningKey[],
): number | undefined {
  const keyids = keys.map(signingKeyId);
  const byId = Object.fromEntries(keys.map((key) => [signingKeyId(key), key]));
  let previous = before;
  for (const row of rows) {
    const follows = !previous || (row.number === previous.number + 1 && row.seq > previous.seq);
    const newest = previous ? keyids.indexOf(previous.key_id) + 1 : keyids.length;
    const role = { keyids: keyids.slice(0, newest), threshold: 1 };
    const [by] = validSigners(envelopeOf(tenantId, row), role, byId);
    if (!follows || by === undefined) return row.seq;
    previous = row;
  }
  return undefined;
}

function checkpointOf(
  log: string,
  row: Pick<store.CheckpointRow, "number" | "seq" | "hash" | "at">,
): SignedAuditCheckpoint {
  return {
    _type: "audit-checkpoint",
    ...{ log, number: row.number, seq: row.seq },
    hash: row.hash.toString("hex"),
    at: row.at.getTime(),
  };
}

function envelopeOf(log: string, row: store.CheckpointRow): Envelope<SignedAuditCheckpoint> {
  return {
    signed: checkpointOf(log, row),
    signatures: [{ keyid: row.key_id, sig: row.signature.toString("hex") }],
  };
}
