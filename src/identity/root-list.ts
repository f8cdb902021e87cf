import { createHash, X509Certificate } from "node:crypto";
import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import * as authorityStore from "./authority-store.ts";
import { type AuthorityRow, authorityOf } from "./authority-types.ts";
import { type ListRequest, parseList, readSignedList } from "./ceremony-list.ts";
import type { CrlEntry } from "./crl.ts";
import * as store from "./crl-store.ts";
import { REVOCATION_CODES } from "./revocation-reasons.ts";

/** The revocation list of a root that is offline: asked for, taken over and looked after here. */

/** When people are told that a new list is needed. */
export const LIST_WARNING_MS = 30 * 86_400_000;

export interface RootListView {
  /** `missing`: none was ever signed; `stale`: authorities were revoked since. */
  state: "missing" | "current" | "stale" | "ending" | "ended";
  number: number | null;
  thisUpdate: Date | null;
  nextUpdate: Date | null;
  entries: number;
  /** Authorities that were revoked and do not stand on it. */
  unlisted: number;
}

/** Authorities of tenants that were removed. */
export async function rootEntries(tx: Tx): Promise<CrlEntry[]> {
  const rows = await store.revokedAuthorities(tx);
  return rows.map(({ certificate_pem: pem, revoked_at: revokedAt }) => ({
    serial: new X509Certificate(pem).serialNumber.toLowerCase(),
    revokedAt,
    code: REVOCATION_CODES.cessationOfOperation,
  }));
}

async function offlineRoot(tx: Tx): Promise<AuthorityRow | undefined> {
  const [root] = await authorityStore.usableAuthorities(tx, PLATFORM_CHAIN, "root");
  return root?.key_kind === "offline" ? root : undefined;
}

async function published(tx: Tx, root: AuthorityRow): Promise<store.ListFacts | undefined> {
  const lists = await store.publishedLists(tx, PLATFORM_CHAIN, root.id);
  return lists.find(({ kind }) => kind === "full");
}

/** What the next list is to say; undefined where the root's key is at hand and signs by itself. */
export async function rootListRequest(tx: Tx): Promise<ListRequest | undefined> {
  const root = await offlineRoot(tx);
  if (!root) return undefined;
  const entries = await rootEntries(tx);
  return {
    number: ((await published(tx, root))?.number ?? 0) + 1,
    entries: entries.map(({ serial, revokedAt, code }) => {
      return { serial, revokedAt: revokedAt.toISOString(), code };
    }),
  };
}

/** Publishes a list that came back from the root; `conflict` where it is older than the present one. */
export async function keepRootList(tx: Tx, pem: string, now: number): Promise<RootListView> {
  const root = await offlineRoot(tx);
  if (!root) {
    throw new AppError("conflict", "the root signs its lists by itself: its key is at hand here");
  }
  const list = readSignedList(pem, authorityOf(root).certificate, now);
  await store.lockLists(tx, root.id);
  const before = await published(tx, root);
  if (before && list.number <= before.number) {
    throw new AppError("conflict", "the root's revocation list is not newer than the present one", {
      number: list.number,
      present: before.number,
    });
  }
  await store.putList(tx, {
    ...{ tenant_id: PLATFORM_CHAIN, ca_id: root.id, kind: "full", base_number: null },
    ...{ number: list.number, entries: list.serials.length, der: list.der },
    content_sha256: createHash("sha256").update(list.serials.join("\n")).digest("hex"),
    ...{ this_update: list.thisUpdate, next_update: list.nextUpdate },
  });
  return viewOf(await published(tx, root), await unlisted(tx, root), now);
}

/** How it stands; null where the root signs its lists by itself. */
export async function rootListView(tx: Tx, now: number): Promise<RootListView | null> {
  const root = await offlineRoot(tx);
  if (!root) return null;
  const facts = await published(tx, root);
  return viewOf(facts, await unlisted(tx, root), now);
}

/** How many authorities were revoked since the list was asked for. */
async function unlisted(tx: Tx, root: AuthorityRow): Promise<number> {
  const revoked = await rootEntries(tx);
  const der = await store.listDer(tx, PLATFORM_CHAIN, root.id, "full");
  const listed = new Set(der ? parseList(der, authorityOf(root).certificate).serials : []);
  return revoked.filter(({ serial }) => !listed.has(serial)).length;
}

function viewOf(facts: store.ListFacts | undefined, missing: number, now: number): RootListView {
  if (!facts) {
    const none = { number: null, thisUpdate: null, nextUpdate: null, entries: 0 };
    return { state: "missing", ...none, unlisted: missing };
  }
  const leftMs = facts.next_update.getTime() - now;
  return {
    state:
      leftMs <= 0 ? "ended" : leftMs < LIST_WARNING_MS ? "ending" : missing ? "stale" : "current",
    number: facts.number,
    thisUpdate: facts.this_update,
    nextUpdate: facts.next_update,
    entries: facts.entries,
    unlisted: missing,
  };
}
