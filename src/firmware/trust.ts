import type { KeyObject } from "node:crypto";
import { AppError, assert } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type Assignment,
  type Envelope,
  MAX_ROOTS_IN_BUNDLE,
  type RootMetadata,
  signDocument,
  signingKeyId,
  type TargetsMetadata,
} from "../protocol/index.ts";
import { type Actor, auditChange } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import type { MetadataWriter } from "./metadata.ts";
import type { OnlineKeyring, OnlineKeys } from "./online-keys.ts";
import { checkRoot, checkTargets } from "./root-check.ts";
import * as store from "./trust-store.ts";

const MAX_ROOTS_PER_ANSWER = 100;
/** How long another process may sign with the director's key of the root before. */
const DIRECTOR_TTL_MS = 1_000;
const ROOTS_TTL_MS = 10_000;

/** Who may sign what for a tenant, and the keys of these that are kept online. */
export interface Trust {
  /** Refusals: trust-root-invalid, signature-invalid, conflict (not the next version). */
  setTrustRoot(tenantId: string, envelope: unknown, actor: Actor): Promise<Envelope<RootMetadata>>;
  /** The root in force; `not-found` before there is one. */
  trustRoot(tenantId: string): Promise<Envelope<RootMetadata>>;
  /** Roots above a version, oldest first: a device with an old root follows the chain. */
  trustRootsAfter(tenantId: string, version: number): Promise<Envelope<RootMetadata>[]>;
  /** The newest roots in the order of their versions; may be some seconds old. */
  newestTrustRoots(tenantId: string): Promise<Envelope<RootMetadata>[]>;
  /** Whose keys sign which products' releases; the same refusals as of a root. */
  setTargets(tenantId: string, envelope: unknown, actor: Actor): Promise<Envelope<TargetsMetadata>>;
  /** `not-found` where nothing was ever delegated. */
  targets(tenantId: string): Promise<Envelope<TargetsMetadata>>;
  /** The public halves of the newest online keys, made when first asked for. */
  ensureOnlineKeys(tenantId: string): Promise<OnlineKeys>;
  /** New online keys, after the old ones were stolen, say; a new root has to name them. */
  replaceOnlineKeys(tenantId: string, actor: Actor): Promise<OnlineKeys>;
  signAssignment(tenantId: string, assignment: Assignment): Promise<Envelope<Assignment>>;
  /** Whether it is signed by the director of the root in force. */
  isAssignmentCurrent(tenantId: string, assignment: Envelope<Assignment>): Promise<boolean>;
}

export function createTrust(
  deps: FirmwareDeps,
  keyring: OnlineKeyring,
  metadata: Pick<MetadataWriter, "refreshAll" | "forget">,
): Trust {
  const { db, clock, tenancy } = deps;
  const directors = new TtlCache<{ keyId: string; key: KeyObject }>({
    clock,
    ttlMs: DIRECTOR_TTL_MS,
    maxEntries: 10_000,
  });

  const newest = new TtlCache<Envelope<RootMetadata>[]>({
    clock,
    ttlMs: ROOTS_TTL_MS,
    maxEntries: 10_000,
  });

  async function director(tenantId: string) {
    const cached = directors.get(tenantId);
    if (cached) return cached;
    const found = await db.tenant(tenantId, async (tx) => {
      const root = (await store.latestRoot(tx, tenantId))?.signed;
      const key = await keyring.signer(tx, tenantId, "director", root);
      const keyId = root?.director.keyids[0] ?? "";
      return { keyId, key };
    });
    directors.set(tenantId, found);
    return found;
  }

  return {
    async setTrustRoot(tenantId, value, actor) {
      const accepted = await db.tenant(tenantId, async (tx) => {
        await store.lockTrust(tx, tenantId);
        await keyring.newest(tx, tenantId);
        const current = (await store.latestRoot(tx, tenantId))?.signed ?? null;
        const held = {
          director: await keyring.held(tx, tenantId, "director"),
          repository: await keyring.held(tx, tenantId, "repository"),
        };
        const nowMs = clock.now();
        const envelope = checkRoot(value, { tenantId, current, held, nowMs });
        await store.insertRoot(tx, tenantId, envelope, new Date(nowMs));
        await metadata.refreshAll(tx, tenantId);
        const { version } = envelope.signed;
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "trust-root.set",
          targetKind: "trust-root",
          targetId: String(version),
          outcome: "done",
          details: auditChange(rolesOf(current), rolesOf(envelope.signed)),
        });
        return envelope;
      });
      directors.delete(tenantId);
      newest.delete(tenantId);
      metadata.forget();
      return accepted;
    },

    async trustRoot(tenantId) {
      const root = await db.tenant(tenantId, (tx) => store.latestRoot(tx, tenantId));
      if (!root) throw new AppError("not-found", "the tenant has no trust root yet");
      return root;
    },

    trustRootsAfter: (tenantId, version) =>
      db.tenant(tenantId, (tx) => store.rootsAfter(tx, tenantId, version, MAX_ROOTS_PER_ANSWER)),

    async newestTrustRoots(tenantId) {
      const known = newest.get(tenantId);
      if (known) return known;
      const roots = await db.tenant(tenantId, (tx) =>
        store.newestRoots(tx, tenantId, MAX_ROOTS_IN_BUNDLE),
      );
      newest.set(tenantId, roots);
      return roots;
    },

    async setTargets(tenantId, value, actor) {
      const accepted = await db.tenant(tenantId, async (tx) => {
        await store.lockTrust(tx, tenantId);
        const root = (await store.latestRoot(tx, tenantId))?.signed;
        if (!root) throw new AppError("conflict", "the tenant has no trust root: set it first");
        const current = (await store.latestTargets(tx, tenantId))?.signed ?? null;
        const heldKeyIds = [
          ...(await keyring.held(tx, tenantId, "director")),
          ...(await keyring.held(tx, tenantId, "repository")),
        ];
        const nowMs = clock.now();
        const envelope = checkTargets(value, { tenantId, root, current, heldKeyIds, nowMs });
        await store.insertTargets(tx, tenantId, envelope, new Date(nowMs));
        await metadata.refreshAll(tx, tenantId);
        const roles = envelope.signed.delegations?.roles ?? [];
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "trust-targets.set",
          targetKind: "trust-targets",
          targetId: String(envelope.signed.version),
          outcome: "done",
          details: { roles: roles.map(({ name, threshold }) => ({ name, threshold })) },
        });
        return envelope;
      });
      metadata.forget();
      return accepted;
    },

    async targets(tenantId) {
      const targets = await db.tenant(tenantId, (tx) => store.latestTargets(tx, tenantId));
      if (!targets) throw new AppError("not-found", "the tenant has delegated nothing");
      return targets;
    },

    ensureOnlineKeys: (tenantId) => db.tenant(tenantId, (tx) => keyring.newest(tx, tenantId)),

    async replaceOnlineKeys(tenantId, actor) {
      return db.tenant(tenantId, async (tx) => {
        const keys = await keyring.replace(tx, tenantId);
        const keyIds = {
          director: signingKeyId(keys.director),
          repository: signingKeyId(keys.repository),
        };
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "trust.replace-keys",
          targetKind: "online-keys",
          targetId: keyIds.director,
          outcome: "done",
          details: keyIds,
        });
        return keys;
      });
    },

    async signAssignment(tenantId, assignment) {
      assert(
        assignment.tenant === tenantId,
        "an assignment is signed by its own tenant's director",
      );
      return signDocument(assignment, [(await director(tenantId)).key]);
    },

    async isAssignmentCurrent(tenantId, { signatures }) {
      const { keyId } = await director(tenantId);
      return signatures.some(({ keyid }) => keyid === keyId);
    },
  };
}

/** Of a root, what the audit log says about who may sign. */
function rolesOf(root: RootMetadata | null) {
  if (!root) return {};
  const { root: own, targets } = root.roles;
  return {
    rootKeyIds: own.keyids,
    rootThreshold: own.threshold,
    releaseKeyIds: targets.keyids,
    threshold: targets.threshold,
  };
}
