import { randomBytes } from "node:crypto";
import { Webhook } from "standardwebhooks";
import type { Database } from "../db/index.ts";
import { parseWebhookUrl, postWebhook, type Resolve } from "../kernel/guarded-request.ts";
import { sendGuarded } from "../kernel/guarded-socket.ts";
import { AppError, type Clock, isUuid, messageOf, timeOrderedId } from "../kernel/index.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Actor } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { entriesAfter, readHead, type StoredAuditEntry } from "./audit-store.ts";
import * as store from "./audit-streams-store.ts";
import { syslogFrame } from "./syslog.ts";

const MAX_STREAMS = 5;
const SECRET_BYTES = 32;
/** Entries that are sent at once. */
const BATCH = 100;
/** Longer than an attempt can take: what a dead process had claimed comes up again. */
const LEASE_MS = 60_000;
const TIMEOUT_MS = 10_000;
const FIRST_RETRY_MS = 2_000;
const MAX_RETRY_MS = 15 * 60_000;

export interface AuditStreamView {
  id: string;
  url: string;
  /** The last entry that the receiver has taken. */
  seq: number;
  attempts: number;
  lastError: string | null;
  deliveredAt: Date | null;
  nextAttemptAt: Date;
  createdAt: Date;
  createdBy: string;
}

export interface NewAuditStream {
  /** `https://…`, `syslog+tcp://host:port` or `syslog+tls://host:port`. */
  url: string;
  /** In PEM, of a syslog server with an authority of its own. */
  authorityPem?: string | undefined;
  /** Whether what is in the log already is sent as well. */
  fromStart?: boolean | undefined;
}

/** A tenant's audit log sent on, each entry at least once and in order. */
export interface AuditStreams {
  /** The secret of a webhook is told this once (Standard Webhooks form). */
  create(
    tenantId: string,
    stream: NewAuditStream,
    actor: Actor,
  ): Promise<AuditStreamView & { secret: string | null }>;
  list(tenantId: string): Promise<AuditStreamView[]>;
  remove(tenantId: string, id: string, actor: Actor): Promise<void>;
  /** Sends what is due; how many streams were tried. */
  deliverDue(tenantId: string): Promise<number>;
}

export interface AuditStreamsDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  tenancy: { audit: Pick<Audit, "record"> };
  allowPrivateAddresses: PrivateAddresses;
  /** Names the platform in syslog messages. */
  publicHost: string;
  resolve?: Resolve | undefined;
}

export function createAuditStreams(deps: AuditStreamsDeps): AuditStreams {
  const { db, clock, sealer, tenancy } = deps;
  const entry = (actor: Actor, action: string, id: string, url: string) => ({
    ...{ actor, action, targetKind: "audit-stream", targetId: id, outcome: "done" as const },
    details: { url },
  });
  return {
    async create(tenantId, stream, actor) {
      const url = parseStreamUrl(stream.url, deps.allowPrivateAddresses);
      const isWebhook = !url.startsWith("syslog+");
      const secret = isWebhook ? randomBytes(SECRET_BYTES).toString("base64") : null;
      const now = new Date(clock.now());
      const id = timeOrderedId(now.getTime());
      const row = await db.tenant(tenantId, async (tx) => {
        if ((await store.listStreams(tx, MAX_STREAMS)).length >= MAX_STREAMS) {
          const message = `a tenant streams its audit log to ${MAX_STREAMS} places at most`;
          throw new AppError("quota-exceeded", message);
        }
        await tenancy.audit.record(tx, tenantId, entry(actor, "audit-stream.create", id, url));
        const head = await readHead(tx, tenantId);
        const row: store.StreamRow = {
          ...{ id, url, authority_pem: stream.authorityPem ?? null },
          secret_sealed: secret ? sealer.seal(secret, contextOf(tenantId, id)) : null,
          seq: stream.fromStart ? 0 : (head?.seq ?? 0),
          ...{ attempts: 0, next_attempt_at: now, last_error: null, delivered_at: null },
          ...{ created_at: now, created_by: actor.name },
        };
        await store.insertStream(tx, tenantId, row);
        return row;
      });
      return { ...viewOf(row), secret: secret ? `whsec_${secret}` : null };
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) => store.listStreams(tx, MAX_STREAMS));
      return rows.map(viewOf);
    },

    async remove(tenantId, id, actor) {
      await db.tenant(tenantId, async (tx) => {
        const url = isUuid(id) ? await store.deleteStream(tx, id) : undefined;
        if (url === undefined) throw new AppError("not-found", "there is no such audit stream");
        await tenancy.audit.record(tx, tenantId, entry(actor, "audit-stream.delete", id, url));
      });
    },

    async deliverDue(tenantId) {
      const now = clock.now();
      const until = new Date(now + LEASE_MS);
      const due = await db.tenant(tenantId, (tx) =>
        store.claimDue(tx, new Date(now), until, MAX_STREAMS),
      );
      await Promise.all(due.map((row) => deliver(deps, tenantId, row)));
      return due.length;
    },
  };
}

/** One batch. The cursor moves when the receiver has taken it: who dies before sends it again. */
async function deliver(
  deps: AuditStreamsDeps,
  tenantId: string,
  row: store.StreamRow,
): Promise<void> {
  const { db, clock } = deps;
  const entries = await db.tenant(tenantId, (tx) => entriesAfter(tx, tenantId, row.seq, BATCH));
  const last = entries.at(-1);
  let outcome: Parameters<typeof store.recordAttempt>[2];
  try {
    if (last) await send(deps, tenantId, row, entries);
    const now = new Date(clock.now());
    outcome = {
      ...{ seq: last?.seq ?? row.seq, attempts: 0, next_attempt_at: now, last_error: null },
      ...(last ? { delivered_at: now } : {}),
    };
  } catch (error) {
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(row.attempts, 20));
    outcome = {
      ...{ attempts: row.attempts + 1, last_error: messageOf(error).slice(0, 500) },
      next_attempt_at: new Date(clock.now() + delayMs),
    };
  }
  await db.tenant(tenantId, (tx) => store.recordAttempt(tx, row.id, outcome));
}

async function send(
  deps: AuditStreamsDeps,
  tenantId: string,
  row: store.StreamRow,
  entries: readonly StoredAuditEntry[],
): Promise<void> {
  const url = new URL(row.url);
  if (url.protocol.startsWith("syslog+")) {
    const frames = Buffer.concat(entries.map((entry) => syslogFrame(entry, deps.publicHost)));
    const isTls = url.protocol === "syslog+tls:";
    const target = { host: hostOf(url), port: Number(url.port) };
    const secured = isTls ? { tls: { ca: row.authority_pem } } : {};
    await sendGuarded({ ...target, ...secured }, frames, { ...deps, timeoutMs: TIMEOUT_MS });
    return;
  }
  const first = entries[0]?.seq ?? 0;
  // The same for the same batch: by it the receiver tells repeats apart.
  const id = `${row.id}-${first}-${entries.at(-1)?.seq ?? first}`;
  const body = JSON.stringify({
    ...{ specversion: "1.0", id, type: "vautn.audit.entries", source: `vautn/${tenantId}` },
    ...{ datacontenttype: "application/json", data: { entries: entries.map(plainOf) } },
  });
  const secret = deps.sealer.open(row.secret_sealed as Buffer, contextOf(tenantId, row.id));
  const at = new Date(deps.clock.now());
  const headers = {
    "content-type": "application/cloudevents+json; charset=utf-8",
    "user-agent": "vautn",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": new Webhook(secret.toString()).sign(id, at, body),
  };
  const checked = parseWebhookUrl(row.url, deps.allowPrivateAddresses);
  const status = await postWebhook(checked, body, headers, deps);
  if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
}

function plainOf({ hash, previousHash, ...facts }: StoredAuditEntry) {
  return { ...facts, hash: hash.toString("hex"), previousHash: previousHash.toString("hex") };
}

/** Refuses what is no place to send to; whether its addresses are public is asked at each sending. */
function parseStreamUrl(text: string, allowPrivateAddresses: PrivateAddresses): string {
  if (!/^syslog\+/i.test(text)) return parseWebhookUrl(text, allowPrivateAddresses).href;
  const url = text.length <= 512 ? URL.parse(text) : null;
  const refuse = (why: string) => new AppError("invalid-request", why, { path: "/url" });
  if (!url || !["syslog+tcp:", "syslog+tls:"].includes(url.protocol)) {
    throw refuse("syslog goes to syslog+tcp://host:port or syslog+tls://host:port");
  }
  if (!url.hostname || !url.port) throw refuse("name the host and the port of the syslog server");
  if (url.username || url.password || url.search || !["", "/"].includes(url.pathname)) {
    throw refuse("the address of a syslog server is a host and a port, and nothing else");
  }
  // Literal addresses are judged as those of webhooks are.
  parseWebhookUrl(`http://${url.host}/`, allowPrivateAddresses);
  return `${url.protocol}//${url.host}`;
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function contextOf(tenantId: string, id: string): string {
  return `audit stream ${tenantId}/${id}`;
}

function viewOf(row: store.StreamRow): AuditStreamView {
  return {
    ...{ id: row.id, url: row.url, seq: row.seq, attempts: row.attempts },
    ...{ lastError: row.last_error, deliveredAt: row.delivered_at },
    ...{ nextAttemptAt: row.next_attempt_at, createdAt: row.created_at },
    createdBy: row.created_by,
  };
}
