import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isAppError } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import { currentTraceparent, parseTraceparent } from "../kernel/tracing.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import type { IssuingAuthority } from "./authority-types.ts";
import { type IssuedCertificateRow, issueCertificate } from "./enrolment-issue.ts";
import { actorOf, assertActive, type EnrolmentAuthority } from "./enrolment-rights.ts";
import { atStep } from "./enrolment-steps.ts";
import { SUPERSEDED_GRACE_MS } from "./peer-check.ts";
import { decideRenewal, ISSUING_WINDOW_MS, MAX_ACTIVE, MAX_ISSUED } from "./renewal-decision.ts";
import * as store from "./renewal-store.ts";

/** A device that has proved itself by its certificate asks for the next one. */
export interface Renewal {
  deviceId: string;
  authority: Extract<EnrolmentAuthority, { kind: "certificate" }>;
  /** The key that is to be certified. */
  publicKey: Buffer;
  publicKeySha256: string;
  via: string;
  /** Whether the platform made the key. */
  serverKey: boolean;
}

export interface Renewed {
  serial: string;
  pem: string;
  issuer: IssuingAuthority;
}

interface Waiting extends Renewal {
  traceId: string | undefined;
}

type Outcome = Renewed | { refusal: unknown };

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "settings" | "audit">;
  authorities: Authorities;
}

const MAX_BATCH = 64;
/** A renewal takes its time anyway, and a batch costs what each would cost alone. */
const MAX_DELAY_MS = 25;
const MAX_WAITING = 5_000;
/** Certificates with one key that are looked at. */
const MAX_HOLDERS = 50;
const HOUR_MS = 3_600_000;

/**
 * Renewals that arrive together share a transaction: after an outage thousands of devices come at
 * once, and what each would cost alone is statements, round trips and a turn at the end of the
 * tenant's audit chain, which is locked until the commit is on disk.
 */
export function createRenewals(
  deps: Deps,
): (tenantId: string, renewal: Renewal) => Promise<Renewed> {
  const batcher = new KeyedBatcher<Waiting, Outcome>({
    maxBatchSize: MAX_BATCH,
    maxDelayMs: MAX_DELAY_MS,
    maxQueuedSize: MAX_WAITING,
    gathers: true,
    write: (tenantId, batch) => renewAll(deps, tenantId, batch),
  });
  return async function renew(tenantId, renewal) {
    const traceId = parseTraceparent(currentTraceparent())?.traceId;
    const outcome = await batcher.add(tenantId, { ...renewal, traceId });
    if ("refusal" in outcome) throw outcome.refusal;
    return outcome;
  };
}

/** In as many transactions as it takes for no device and no key to come twice in one. */
async function renewAll(deps: Deps, tenantId: string, batch: Waiting[]): Promise<Outcome[]> {
  const outcomes = new Map<Waiting, Outcome>();
  let left = batch;
  while (left.length > 0) {
    const taken = new Set<string>();
    const round = left.filter(({ deviceId, publicKeySha256 }) => {
      if (taken.has(deviceId) || taken.has(publicKeySha256)) return false;
      taken.add(deviceId).add(publicKeySha256);
      return true;
    });
    left = left.filter((one) => !round.includes(one));
    for (const [one, outcome] of await renewRound(deps, tenantId, round))
      outcomes.set(one, outcome);
  }
  return batch.map((one) => outcomes.get(one) as Outcome);
}

async function renewRound(
  deps: Deps,
  tenantId: string,
  round: readonly Waiting[],
): Promise<Map<Waiting, Outcome>> {
  const { db, clock, tenancy, authorities } = deps;
  try {
    const settings = await tenancy.settings(tenantId);
    const issuer = await authorities.issuing(tenantId);
    const lifetimeMs = settings.certificateLifetimeHours * HOUR_MS;
    return await db.tenant(tenantId, async (tx) => {
      const nowMs = clock.now();
      const outcomes = new Map<Waiting, Outcome>();
      const decided = await decideAll(tx, tenantId, round, issuer, nowMs);
      const granted: { one: Waiting; row: IssuedCertificateRow }[] = [];
      const superseded: string[] = [];
      await Promise.all(
        decided.map(async ([one, decision]) => {
          if (decision instanceof AppError) outcomes.set(one, { refusal: decision });
          else if (decision.kind === "again") outcomes.set(one, { ...decision, issuer });
          else {
            const identity = { tenantId, deviceId: one.deviceId };
            const issued = await issueCertificate(issuer, identity, one, { lifetimeMs, nowMs });
            superseded.push(...decision.supersede);
            granted.push({ one, row: { ...issued.row, issued_via: one.via } });
            outcomes.set(one, { serial: issued.row.serial, pem: issued.pem, issuer });
          }
        }),
      );
      if (granted.length > 0) await keep(deps, tx, tenantId, granted, superseded, nowMs);
      return outcomes;
    });
  } catch (error) {
    if (!isAppError(error)) throw error;
    return new Map(round.map((one) => [one, { refusal: error }]));
  }
}

async function decideAll(
  tx: Tx,
  tenantId: string,
  round: readonly Waiting[],
  issuer: IssuingAuthority,
  nowMs: number,
) {
  const deviceIds = round.map((one) => one.deviceId);
  const keys = round.map((one) => one.publicKeySha256);
  const statuses = await store.lockDevices(tx, tenantId, deviceIds);
  const serials = round.map(({ authority }) => authority.peer.serial);
  const known = await store.renewalFacts(tx, tenantId, {
    ...{ deviceIds, serials, keys },
    since: new Date(nowMs - ISSUING_WINDOW_MS),
    limits: { ofDevice: MAX_ISSUED + MAX_ACTIVE, holders: MAX_HOLDERS * round.length },
  });
  await atStep("tenant", () => assertActive(tenantId, known.tenant));
  const ownOf = Map.groupBy(known.own, (held) => held.device_id);
  const holdersOf = Map.groupBy(known.holders, (held) => held.public_key_sha256);
  return round.map((one) => {
    const { deviceId, publicKeySha256 } = one;
    const { serial, registeredAuthorityId } = one.authority.peer;
    const facts = {
      deviceId,
      deviceStatus: statuses.get(deviceId),
      peerSerial: serial,
      peer: registeredAuthorityId === undefined ? known.peers.get(serial) : ("registered" as const),
      publicKeySha256,
      isCompromised: known.compromised.has(publicKeySha256),
      holders: holdersOf.get(publicKeySha256) ?? [],
      own: ownOf.get(deviceId) ?? [],
      issuedLately: known.issued.get(deviceId) ?? 0,
      issuerId: issuer.id,
      nowMs,
    };
    return [one, refusalOr(() => decideRenewal(facts))] as const;
  });
}

function refusalOr<Result>(decide: () => Result): Result | AppError {
  try {
    return decide();
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
}

/** Writes down everything that was granted. */
async function keep(
  { tenancy }: Deps,
  tx: Tx,
  tenantId: string,
  granted: readonly { one: Waiting; row: IssuedCertificateRow }[],
  superseded: readonly string[],
  nowMs: number,
): Promise<void> {
  const now = new Date(nowMs);
  const rows = granted.map(({ row }) => row);
  const ended = { serials: superseded, at: new Date(nowMs - SUPERSEDED_GRACE_MS) };
  await store.keepRenewals(tx, tenantId, rows, ended, now);
  await tenancy.audit.recordAll(
    tx,
    tenantId,
    granted.map(({ one, row }) => ({
      actor: actorOf(one.authority, ""),
      action: "device.enroll",
      targetKind: "device",
      targetId: one.deviceId,
      outcome: "done" as const,
      details: {
        serial: row.serial,
        via: one.via,
        authority: "certificate",
        ...(one.serverKey ? { serverKey: true } : {}),
      },
      traceId: one.traceId,
    })),
  );
}
