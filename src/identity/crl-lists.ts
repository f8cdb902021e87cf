import { createHash } from "node:crypto";
import type { Database, Tx } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, histogram } from "../kernel/metrics.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import type { AuthorityRow } from "./authority-types.ts";
import type { Issuer } from "./certificate-builder.ts";
import { buildCrl, type CrlEntry } from "./crl.ts";
import { type CachedList, CrlCache } from "./crl-cache.ts";
import { DELTA_FROM_ENTRIES, isListDue, LIST_LIFETIME_MS, nextListKind } from "./crl-schedule.ts";
import * as store from "./crl-store.ts";
import type { PublishedAuthorities, PublishedAuthority } from "./published-authorities.ts";
import { rootEntries } from "./root-list.ts";
import type { StandingChange } from "./standing-store.ts";

/** Certificates that one list names; an authority with more revoked ones needs successors. */
export const MAX_ENTRIES = 1_000_000;
/** A certificate stays on the lists a while beyond its end (RFC 5280 §5). */
const BEYOND_END_MS = 2 * LIST_LIFETIME_MS;
/** Transactions that were under way when the full list was made have ended after this time. */
const DELTA_OVERLAP_MS = 10 * 60_000;
/** What is published says when it was made a little early: verifiers' clocks run behind. */
const BACKDATE_MS = 60_000;

const made = counter("vautn_crls_made_total", "Revocation lists made", ["kind"]);
const seconds = histogram("vautn_crl_seconds", "Time to make a revocation list", [0.01, 0.1, 1, 5]);

/** A list as it is published. */
export interface PublishedList {
  der: Buffer;
  /** SHA-256 over it, hex. */
  sha256: string;
  number: number;
  entries: number;
  thisUpdate: Date;
  nextUpdate: Date;
}

/** In whose name a list is written. */
interface Writer {
  tenantId: string;
  id: string;
  issuer: Issuer;
  now: number;
}

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  directory: PublishedAuthorities;
  /** What signs for an authority; undefined where its key is not at hand. */
  issuerOf(row: AuthorityRow): Issuer | undefined;
  /** Where a delta list is found, where the platform has a public address. */
  deltaUrl(authorityId: string): string | undefined;
}

/**
 * Revocation lists of every authority whose key is at hand: made when asked for and something has
 * changed, no more often than the schedule allows, kept in the database for all processes.
 */
export class RevocationLists {
  readonly #deps: Deps;
  readonly #cache: CrlCache;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#cache = new CrlCache(deps);
  }

  /** Undefined where there is no such authority, its key is not at hand, or it has no delta list. */
  async get(authorityId: string, kind: store.ListKind): Promise<PublishedList | undefined> {
    const authority = await this.#deps.directory.byId(authorityId);
    if (!authority) return undefined;
    const cached = await this.#cache.get(authorityId, () => this.#refresh(authority));
    return kind === "full" ? cached?.full : cached?.delta;
  }

  /** A root that is offline has signed a list, or there are other authorities. */
  heardOfAuthorities(tenantId: string): void {
    this.#cache.markTenant(tenantId);
  }

  /** What is published of this tenant may have to be made anew. */
  heard({ tenantId, kind }: StandingChange): void {
    if (kind === "quarantined" || kind === "released") return;
    this.#cache.markTenant(tenantId);
  }

  async #refresh(authority: PublishedAuthority): Promise<CachedList | undefined> {
    const { db, issuerOf } = this.#deps;
    const { tenantId, id } = authority;
    const scoped = <T>(work: (tx: Tx) => Promise<T>) =>
      tenantId === PLATFORM_CHAIN ? db.platform(work) : db.tenant(tenantId, work);
    return scoped(async (tx) => {
      const row = await store.findAuthority(tx, tenantId, id);
      const issuer = row && issuerOf(row);
      if (!issuer) return signedElsewhere(tx, authority);
      await store.lockLists(tx, id);
      const stop = seconds.startTimer();
      const lists = await this.#publish(tx, authority, issuer);
      stop();
      return { tenantId, ...lists };
    });
  }

  async #publish(
    tx: Tx,
    { tenantId, id, kind }: PublishedAuthority,
    issuer: Issuer,
  ): Promise<{ full: PublishedList; delta: PublishedList | undefined }> {
    const now = this.#deps.clock.now();
    const published = await store.publishedLists(tx, tenantId, id);
    const fullFacts = published.find((one) => one.kind === "full");
    const deltaFacts = published.find((one) => one.kind === "delta");
    const entries =
      kind === "root" ? await rootEntries(tx) : await this.#entries(tx, tenantId, id, now);
    const content = contentOf(entries);
    const number = Math.max(0, ...published.map((one) => one.number)) + 1;
    const writer = { tenantId, id, issuer, now };
    const due = nextListKind(fullFacts, { content, entries: entries.length, nowMs: now });
    const isLarge = entries.length >= DELTA_FROM_ENTRIES;
    if (due === "full" || !fullFacts) {
      const facts = { kind: "full" as const, number, base_number: null, content_sha256: content };
      const full = await this.#write(tx, writer, facts, entries);
      if (!isLarge) return { full, delta: undefined };
      return { full, delta: await this.#delta(tx, writer, full, number + 1) };
    }
    const full = await readList(tx, fullFacts);
    if (!isLarge) return { full, delta: undefined };
    return { full, delta: await this.#delta(tx, writer, full, number, deltaFacts) };
  }

  /** The delta on top of `base`: the published one where it still says the same. */
  async #delta(
    tx: Tx,
    writer: Writer,
    base: PublishedList,
    number: number,
    published?: store.ListFacts,
  ): Promise<PublishedList> {
    const since = new Date(base.thisUpdate.getTime() - DELTA_OVERLAP_MS);
    const { tenantId, id, now } = writer;
    const changed = whole(await store.changedEntries(tx, tenantId, id, since, MAX_ENTRIES + 1));
    const content = contentOf(changed);
    const isCurrent =
      published?.base_number === base.number &&
      published.content_sha256 === content &&
      !isListDue(published, now);
    if (isCurrent) return readList(tx, published);
    const facts = { kind: "delta" as const, number, content_sha256: content };
    return this.#write(tx, writer, { ...facts, base_number: base.number }, changed);
  }

  async #entries(tx: Tx, tenantId: string, id: string, now: number): Promise<CrlEntry[]> {
    const since = new Date(now - BEYOND_END_MS);
    return whole(await store.revokedEntries(tx, tenantId, id, since, MAX_ENTRIES + 1));
  }

  async #write(
    tx: Tx,
    writer: Writer,
    facts: Pick<store.ListRow, "kind" | "number" | "base_number" | "content_sha256">,
    entries: readonly CrlEntry[],
  ): Promise<PublishedList> {
    const { tenantId, id, issuer, now } = writer;
    const { kind, number, base_number: baseNumber } = facts;
    const isLarge = entries.length >= DELTA_FROM_ENTRIES;
    const thisUpdate = new Date(now - BACKDATE_MS);
    const nextUpdate = new Date(now + LIST_LIFETIME_MS);
    const der = await buildCrl({
      ...{ issuer, number, thisUpdate, nextUpdate, entries },
      ...(baseNumber === null ? {} : { baseNumber }),
      freshestUrl: isLarge && kind === "full" ? this.#deps.deltaUrl(id) : undefined,
    });
    const row = { ...facts, tenant_id: tenantId, ca_id: id, entries: entries.length, der };
    await store.putList(tx, { ...row, this_update: thisUpdate, next_update: nextUpdate });
    made.inc({ kind });
    return { ...{ der, number, thisUpdate, nextUpdate }, entries: entries.length, ...hashOf(der) };
  }
}

/** Half a list would vouch for what is missing in it. */
function whole(entries: CrlEntry[]): CrlEntry[] {
  if (entries.length > MAX_ENTRIES) throw new RangeError(`more than ${MAX_ENTRIES} entries`);
  return entries;
}

/** The list of a root that is offline, from its ceremony. */
async function signedElsewhere(
  tx: Tx,
  { tenantId, id, kind }: PublishedAuthority,
): Promise<CachedList | undefined> {
  if (kind !== "root") return undefined;
  const facts = (await store.publishedLists(tx, tenantId, id)).find((one) => one.kind === "full");
  return facts && { tenantId, full: await readList(tx, facts), delta: undefined };
}

async function readList(tx: Tx, facts: store.ListFacts): Promise<PublishedList> {
  const der = await store.listDer(tx, facts.tenant_id, facts.ca_id, facts.kind);
  if (!der) throw new Error("a list went away while its row was locked");
  const { number, entries, this_update: thisUpdate, next_update: nextUpdate } = facts;
  return { der, number, entries, thisUpdate, nextUpdate, ...hashOf(der) };
}

function contentOf(entries: readonly CrlEntry[]): string {
  const hash = createHash("sha256");
  for (const { serial, revokedAt, code } of entries) {
    hash.update(`${serial} ${revokedAt.getTime()} ${code}\n`);
  }
  return hash.digest("hex");
}

function hashOf(der: Buffer): { sha256: string } {
  return { sha256: createHash("sha256").update(der).digest("hex") };
}
