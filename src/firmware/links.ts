import { createPublicKey, type KeyObject } from "node:crypto";
import { AppError } from "../kernel/index.ts";
import {
  type ArtifactLink,
  artifactLinkPath,
  checkArtifactLink,
  ed25519KeyOf,
  type LinkKeys,
} from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import { findArtifact } from "./releases-store.ts";

/** URLs that permit one download to whoever holds them. */
export interface Links {
  /** Path and query; `not-found` for what the tenant does not have. Recorded. */
  create(
    tenantId: string,
    link: { sha256: string; deviceId: string | null; validSeconds: number },
    actor: Actor,
  ): Promise<{ path: string; expiresAt: Date }>;
  /** What a query permits now; otherwise `link-refused`. */
  check(sha256: string, query: Readonly<Record<string, unknown>>): ArtifactLink;
  /** Keys that are in force, as site caches learn them: id -> SubjectPublicKeyInfo in base64. */
  publicKeys(): Record<string, string>;
}

/** Links live for a week at most, so that the key before the present one is enough. */
export const MAX_LINK_SECONDS = 7 * 86_400;
const KEY_PERIOD_MS = 30 * 86_400_000;

/**
 * The keys come from the master key, one for each thirty days: every process of the platform has
 * them without asking anybody, and a key ends by itself.
 */
export function createLinks({ db, clock, sealer, tenancy }: FirmwareDeps): Links {
  const made = new Map<number, KeyObject>();
  const period = () => Math.floor(clock.now() / KEY_PERIOD_MS);

  function privateKey(number: number): KeyObject {
    let key = made.get(number);
    if (!key) {
      key = ed25519KeyOf(sealer.deriveKey(`artifact-links/${number}`));
      if (made.size > 4) made.clear();
      made.set(number, key);
    }
    return key;
  }

  /** This period's, the one before, and the next one's for a clock that is ahead. */
  function inForce(): LinkKeys {
    const now = period();
    return new Map(
      [now - 1, now, now + 1].map((number) => [
        String(number),
        createPublicKey(privateKey(number) as never),
      ]),
    );
  }
  let keys: { period: number; keys: LinkKeys } | undefined;
  const current = () => {
    if (keys?.period !== period()) keys = { period: period(), keys: inForce() };
    return keys.keys;
  };

  return {
    async create(tenantId, { sha256, deviceId, validSeconds }, actor) {
      const expires = Math.floor(clock.now() / 1000) + Math.min(validSeconds, MAX_LINK_SECONDS);
      await db.tenant(tenantId, async (tx) => {
        const artifact = await findArtifact(tx, tenantId, sha256);
        if (!artifact) throw new AppError("not-found", "there is no such artifact", { sha256 });
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "artifact.link",
          targetKind: "artifact",
          targetId: sha256,
          outcome: "done",
          details: { deviceId, expiresAt: new Date(expires * 1000).toISOString() },
        });
      });
      const number = period();
      const key = { id: String(number), privateKey: privateKey(number) };
      const path = artifactLinkPath({ sha256, tenantId, deviceId, expires }, key);
      return { path, expiresAt: new Date(expires * 1000) };
    },

    check: (sha256, query) => checkArtifactLink(sha256, query, current(), clock.now()),

    publicKeys: () =>
      Object.fromEntries(
        [...current()].map(([id, key]) => [
          id,
          key.export({ type: "spki", format: "der" }).toString("base64"),
        ]),
      ),
  };
}
