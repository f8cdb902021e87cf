import type { Database } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { countKnocksSince, knocksBefore } from "./knocks-store.ts";
import * as store from "./radar-store.ts";

/** Weeks that the picture shows one by one. */
export const RADAR_WEEKS = 26;
/** Devices rotate at two thirds of a certificate's life; by this share they should have. */
const OVERDUE_SHARE = 5 / 6;
const WEEK_MS = 7 * 86_400_000;
const PICTURE_TTL_MS = 5_000;
const MAX_PICTURES = 10_000;
const DEFAULT_PAGE = 100;
const MAX_NAMED = 100;
/** Failures in a row after which somebody should look. */
const REPEATED_FAILURES = 3;
const KNOCK_WINDOW_MS = 3_600_000;

/** A tenant's certificates at a glance. */
export interface RadarPicture extends store.RadarTotals {
  generatedAt: Date;
  /** Devices whose certificate has ended, and no newer one is in force. */
  expired: number;
  /** By week from now on; the last one holds all that is later. */
  weeks: { startsAt: Date; count: number }[];
  later: number;
  /** Certificates that should have been followed by others, the expired ones included. */
  overdue: number;
  algorithms: { name: string; count: number }[];
  authorities: { id: string; name: string; count: number }[];
  /** Steps at which rotations are stuck. */
  steps: { name: string; count: number }[];
}

export interface TroubledRotation {
  deviceId: string;
  step: string;
  error: { element: string; message: string };
  failures: number;
  startedAt: Date;
  updatedAt: Date;
  /** Until when the device's certificate is good; null where it has none. */
  notAfter: Date | null;
}

export interface KnockView {
  fingerprint: string;
  subject: string;
  issuer: string;
  deviceId: string | null;
  reason: string;
  count: number;
  firstSeenAt: Date;
  lastSeenAt: Date;
  address: string | null;
}

export interface RotationFailure {
  at: Date;
  step: string;
  element: string;
  message: string;
}

/** What a tenant's people should be told of. */
export interface CertificateConcerns {
  /** Overdue, those that end first before the others; at most a hundred of them. */
  overdue: { deviceId: string; notAfter: Date }[];
  /** Devices that failed to rotate again and again; at most a hundred of them. */
  failing: TroubledRotation[];
  /** Certificates that were refused within the last hour. */
  knocks: number;
}

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

export interface Radar {
  picture(tenantId: string): Promise<RadarPicture>;
  /** Devices whose rotation is in trouble, the latest trouble first. */
  failing(
    tenantId: string,
    filter?: { step?: string | undefined; cursor?: string | undefined; limit?: number | undefined },
  ): Promise<Page<TroubledRotation>>;
  /** Refused certificates, the latest first; of those that name no tenant where it is null. */
  knocks(
    tenantId: string | null,
    filter?: {
      reason?: string | undefined;
      cursor?: string | undefined;
      limit?: number | undefined;
    },
  ): Promise<Page<KnockView>>;
  /** Newest first; the last twenty. */
  failures(tenantId: string, deviceId: string): Promise<RotationFailure[]>;
  concerns(tenantId: string): Promise<CertificateConcerns>;
  /** Devices whose newest certificate ends before `before`, the first to end first. */
  expiring(
    tenantId: string,
    before: Date,
    limit: number,
  ): Promise<{ deviceId: string; notAfter: Date }[]>;
}

export function createRadar({ db, clock }: { db: Database; clock: Clock }): Radar {
  const pictures = new TtlCache<RadarPicture>({
    clock,
    ttlMs: PICTURE_TTL_MS,
    maxEntries: MAX_PICTURES,
  });
  return {
    async picture(tenantId) {
      const cached = pictures.get(tenantId);
      if (cached) return cached;
      const picture = await readPicture(db, tenantId, new Date(clock.now()));
      pictures.set(tenantId, picture);
      return picture;
    },

    async failing(tenantId, { step, cursor, limit } = {}) {
      const size = sizeOf(limit);
      const position = cursor === undefined ? undefined : readCursor(cursor);
      const after = position && { at: position.at, deviceId: position.id };
      const filter = { step, minFailures: 1, after, limit: size + 1 };
      const rows = await db.tenant(tenantId, (tx) => store.troubledRotations(tx, filter));
      return pageOf(rows, size, troubleOf, (row) => [row.updated_at, row.device_id]);
    },

    async knocks(tenantId, { reason, cursor, limit } = {}) {
      const size = sizeOf(limit);
      const position = cursor === undefined ? undefined : readCursor(cursor);
      const after = position && { at: position.at, fingerprint: position.id };
      const filter = { reason, after, limit: size + 1 };
      const rows = await (tenantId === null
        ? db.platform((tx) => knocksBefore(tx, PLATFORM_CHAIN, filter))
        : db.tenant(tenantId, (tx) => knocksBefore(tx, tenantId, filter)));
      return pageOf(
        rows,
        size,
        ({ device_id, first_seen_at, last_seen_at, ...row }) => ({
          ...row,
          deviceId: device_id,
          firstSeenAt: first_seen_at,
          lastSeenAt: last_seen_at,
        }),
        (row) => [row.last_seen_at, row.fingerprint],
      );
    },

    failures: (tenantId, deviceId) =>
      db.tenant(tenantId, (tx) => store.failuresOf(tx, tenantId, deviceId)),

    expiring: (tenantId, before, limit) =>
      db.tenant(tenantId, (tx) => store.expiringCertificates(tx, before, limit)),

    concerns: (tenantId) =>
      db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        const filter = { minFailures: REPEATED_FAILURES, after: undefined, limit: MAX_NAMED };
        const hourAgo = new Date(now.getTime() - KNOCK_WINDOW_MS);
        return {
          overdue: await store.overdueRotations(tx, now, OVERDUE_SHARE, MAX_NAMED),
          failing: (await store.troubledRotations(tx, filter)).map(troubleOf),
          knocks: await countKnocksSince(tx, tenantId, hourAgo),
        };
      }),
  };
}

async function readPicture(db: Database, tenantId: string, now: Date): Promise<RadarPicture> {
  return db.tenant(tenantId, async (tx) => {
    const byWeek = await store.expiryByWeek(tx, now, RADAR_WEEKS);
    const countOf = (week: number) => byWeek.find((one) => one.week === week)?.count ?? 0;
    const weeks = Array.from({ length: RADAR_WEEKS }, (_, week) => ({
      startsAt: new Date(now.getTime() + week * WEEK_MS),
      count: countOf(week),
    }));
    const overdue = await store.overdueRotations(tx, now, OVERDUE_SHARE, LIMITS.pageSize * 20);
    return {
      ...(await store.radarTotals(tx, now)),
      generatedAt: now,
      expired: countOf(-1),
      weeks,
      later: countOf(RADAR_WEEKS),
      overdue: overdue.length,
      algorithms: await store.keysInUse(tx),
      authorities: await store.issuersInUse(tx),
      steps: await store.troubleBySteps(tx),
    };
  });
}

function troubleOf(row: store.TroubledRow): TroubledRotation {
  return {
    deviceId: row.device_id,
    step: row.step,
    error: { element: row.element, message: row.message },
    failures: row.failures,
    startedAt: row.started_at,
    updatedAt: row.updated_at,
    notAfter: row.not_after,
  };
}

function sizeOf(limit: number | undefined): number {
  return Math.min(Math.max(1, limit ?? DEFAULT_PAGE), LIMITS.pageSize);
}

function pageOf<Row, Item>(
  rows: readonly Row[],
  size: number,
  view: (row: Row) => Item,
  position: (row: Row) => [Date, string],
): Page<Item> {
  const page = rows.slice(0, size);
  const last = rows.length > size ? page.at(-1) : undefined;
  const [at, id] = last ? position(last) : [];
  return { items: page.map(view), nextCursor: at ? `${at.getTime()}.${id}` : null };
}

function readCursor(cursor: string): { at: Date; id: string } {
  const match = /^(\d{1,15})\.([A-Za-z0-9._-]{1,128})$/.exec(cursor);
  if (!match) throw new AppError("invalid-cursor", "the cursor belongs to no page of this list");
  return { at: new Date(Number(match[1])), id: match[2] as string };
}
