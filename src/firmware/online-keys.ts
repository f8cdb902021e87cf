import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  type RootMetadata,
  type SigningKey,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import * as store from "./trust-store.ts";

export const ONLINE_ROLES = ["director", "repository"] as const;
/** The director assigns releases to devices; the repository signs snapshots and timestamps. */
export type OnlineRole = (typeof ONLINE_ROLES)[number];

/** Public halves of the keys that the platform keeps for a tenant. */
export type OnlineKeys = Record<OnlineRole, SigningKey>;

const KEY_TTL_MS = 60_000;
/** Of one tenant; each rotation adds one of each role. */
const MAX_KEYS = 200;

/** The keys that are kept online, sealed; they sign nothing that a device could run. */
export interface OnlineKeyring {
  /** The newest of each role, made when first asked for. */
  newest(tx: Tx, tenantId: string): Promise<OnlineKeys>;
  /** New keys of both roles; they sign from the moment that a root names them. */
  replace(tx: Tx, tenantId: string): Promise<OnlineKeys>;
  /** Ids of all keys of a role that the platform holds. */
  held(tx: Tx, tenantId: string, role: OnlineRole): Promise<string[]>;
  /** The key that the root in force names; without a root the newest. */
  signer(tx: Tx, tenantId: string, role: OnlineRole, root?: RootMetadata): Promise<KeyObject>;
}

export function createOnlineKeyring(deps: FirmwareDeps): OnlineKeyring {
  const { clock, sealer } = deps;
  const cache = new TtlCache<KeyObject>({ clock, ttlMs: KEY_TTL_MS, maxEntries: 20_000 });

  async function make(tx: Tx, tenantId: string, role: OnlineRole): Promise<store.OnlineKeyRow> {
    const { privateKey } = generateKeyPairSync("ed25519");
    const publicKey = signingKeyOf(privateKey);
    const keyId = signingKeyId(publicKey);
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const sealed = sealer.seal(pem, sealContext(tenantId, keyId));
    const row = { key_id: keyId, role, public_key: publicKey, private_key_sealed: sealed };
    await store.insertOnlineKey(tx, tenantId, row, new Date(clock.now()));
    return row;
  }

  async function newestRow(tx: Tx, tenantId: string, role: OnlineRole) {
    const existing = await store.newestOnlineKey(tx, tenantId, role);
    if (existing) return existing;
    await store.lockTrust(tx, tenantId);
    return (await store.newestOnlineKey(tx, tenantId, role)) ?? make(tx, tenantId, role);
  }

  function open(tenantId: string, row: store.OnlineKeyRow): KeyObject {
    const known = cache.get(`${tenantId}/${row.key_id}`);
    if (known) return known;
    const pem = sealer.open(row.private_key_sealed, sealContext(tenantId, row.key_id));
    const key = createPrivateKey(pem);
    cache.set(`${tenantId}/${row.key_id}`, key);
    return key;
  }

  return {
    async newest(tx, tenantId) {
      const director = (await newestRow(tx, tenantId, "director")).public_key;
      const repository = (await newestRow(tx, tenantId, "repository")).public_key;
      return { director, repository };
    },

    async replace(tx, tenantId) {
      await store.lockTrust(tx, tenantId);
      if ((await store.countOnlineKeys(tx, tenantId)) >= MAX_KEYS) {
        throw new AppError("quota-exceeded", `a tenant may have ${MAX_KEYS} online keys`);
      }
      const director = (await make(tx, tenantId, "director")).public_key;
      const repository = (await make(tx, tenantId, "repository")).public_key;
      return { director, repository };
    },

    held: (tx, tenantId, role) => store.onlineKeyIds(tx, tenantId, role),

    async signer(tx, tenantId, role, root) {
      const named = role === "director" ? root?.director : root?.roles.snapshot;
      for (const keyId of named?.keyids ?? []) {
        const cached = cache.get(`${tenantId}/${keyId}`);
        if (cached) return cached;
        const row = await store.findOnlineKey(tx, tenantId, keyId);
        if (row) return open(tenantId, row);
      }
      return open(tenantId, await newestRow(tx, tenantId, role));
    },
  };
}

function sealContext(tenantId: string, keyId: string): string {
  return `online-key/${tenantId}/${keyId}`;
}
