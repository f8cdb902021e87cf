import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { AppError, assert } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type Assignment,
  type Envelope,
  type RootMetadata,
  type SigningKey,
  signDocument,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import { checkRoot } from "./root-check.ts";
import * as store from "./trust-store.ts";

const MAX_ROOTS_PER_ANSWER = 100;
const KEY_TTL_MS = 60_000;

/** Who may sign what for a tenant, and the one key of these that is kept online. */
export interface Trust {
  /** Refusals: trust-root-invalid, signature-invalid, conflict (not the next version). */
  setTrustRoot(tenantId: string, envelope: unknown, actor: Actor): Promise<Envelope<RootMetadata>>;
  /** The root in force; `not-found` before there is one. */
  trustRoot(tenantId: string): Promise<Envelope<RootMetadata>>;
  /** Roots above a version, oldest first: a device with an old root follows the chain. */
  trustRootsAfter(tenantId: string, version: number): Promise<Envelope<RootMetadata>[]>;
  /** The public half of the director's key, made when first asked for. */
  ensureDirectorKey(tenantId: string): Promise<SigningKey>;
  signAssignment(tenantId: string, assignment: Assignment): Promise<Envelope<Assignment>>;
}

export function createTrust(deps: FirmwareDeps): Trust {
  const { db, clock, sealer, tenancy } = deps;
  const keys = new TtlCache<KeyObject>({ clock, ttlMs: KEY_TTL_MS, maxEntries: 10_000 });

  async function directorKey(tenantId: string): Promise<KeyObject> {
    const cached = keys.get(tenantId);
    if (cached) return cached;
    const row = await db.tenant(tenantId, async (tx) => {
      const existing = await store.latestDirectorKey(tx, tenantId);
      if (existing) return existing;
      await store.lockTrust(tx, tenantId);
      const meanwhile = await store.latestDirectorKey(tx, tenantId);
      if (meanwhile) return meanwhile;
      const made = makeDirectorKey(tenantId);
      await store.insertDirectorKey(tx, tenantId, made, new Date(clock.now()));
      return made;
    });
    const pem = sealer.open(row.private_key_sealed, sealContext(tenantId, row.key_id));
    const key = createPrivateKey(pem);
    keys.set(tenantId, key);
    return key;
  }

  function makeDirectorKey(tenantId: string): store.DirectorKeyRow {
    const { privateKey } = generateKeyPairSync("ed25519");
    const publicKey = signingKeyOf(privateKey);
    const keyId = signingKeyId(publicKey);
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const sealed = sealer.seal(pem, sealContext(tenantId, keyId));
    return { key_id: keyId, public_key: publicKey, private_key_sealed: sealed };
  }

  return {
    async setTrustRoot(tenantId, value, actor) {
      const directorKeyId = signingKeyId(signingKeyOf(await directorKey(tenantId)));
      return db.tenant(tenantId, async (tx) => {
        await store.lockTrust(tx, tenantId);
        const current = (await store.latestRoot(tx, tenantId))?.signed ?? null;
        const nowMs = clock.now();
        const envelope = checkRoot(value, { tenantId, current, directorKeyId, nowMs });
        await store.insertRoot(tx, tenantId, envelope, new Date(nowMs));
        const { version, roles } = envelope.signed;
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "trust-root.set",
          targetKind: "trust-root",
          targetId: String(version),
          outcome: "done",
          details: { releaseKeyIds: roles.release.keyIds, threshold: roles.release.threshold },
        });
        return envelope;
      });
    },

    async trustRoot(tenantId) {
      const root = await db.tenant(tenantId, (tx) => store.latestRoot(tx, tenantId));
      if (!root) throw new AppError("not-found", "the tenant has no trust root yet");
      return root;
    },

    trustRootsAfter: (tenantId, version) =>
      db.tenant(tenantId, (tx) => store.rootsAfter(tx, tenantId, version, MAX_ROOTS_PER_ANSWER)),

    async ensureDirectorKey(tenantId) {
      return signingKeyOf(await directorKey(tenantId));
    },

    async signAssignment(tenantId, assignment) {
      assert(
        assignment.tenant === tenantId,
        "an assignment is signed by its own tenant's director",
      );
      return signDocument(assignment, [await directorKey(tenantId)]);
    },
  };
}

function sealContext(tenantId: string, keyId: string): string {
  return `director-key/${tenantId}/${keyId}`;
}
