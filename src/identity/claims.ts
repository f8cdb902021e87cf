import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as store from "./claim-store.ts";
import { DEVICE_PATTERN, matchesPattern } from "./device-pattern.ts";
import { type DeviceAttributes, tenantStatus } from "./enrolment-store.ts";
import type { EnrolmentPolicy, PolicyRow } from "./policy.ts";

/** Lets devices enrol themselves: which ids, how many, until when, what they are, who decides. */
export interface NewClaim extends DeviceAttributes, EnrolmentPolicy {
  name: string;
  /** Device ids: `*` stands for any characters, `?` for one. */
  devicePattern: string;
  maxUses: number;
  expiresAt: Date;
}

export const MAX_USES = 1_000_000;

/** Every field that is wrong, in one `invalid-content`. */
export function checkClaim(claim: NewClaim, now: Date): void {
  const errors: { field: string; message: string }[] = [];
  if (claim.name.trim() === "" || claim.name.length > 100) {
    errors.push({ field: "name", message: "needs 1 to 100 characters" });
  }
  if (!DEVICE_PATTERN.test(claim.devicePattern)) {
    errors.push({ field: "devicePattern", message: "needs letters, digits, . _ - * ?" });
  }
  if (!Number.isInteger(claim.maxUses) || claim.maxUses < 1 || claim.maxUses > MAX_USES) {
    errors.push({ field: "maxUses", message: `needs a whole number from 1 to ${MAX_USES}` });
  }
  if (!(claim.expiresAt > now)) errors.push({ field: "expiresAt", message: "lies in the past" });
  if (errors.length > 0) {
    throw new AppError("invalid-content", "the claim is not valid", { errors });
  }
}

/** Why a claim does not permit an enrolment at present, or undefined where it does. */
export function claimProblem(
  claim: Pick<
    store.ClaimRow,
    "revoked_at" | "expires_at" | "device_pattern" | "used_count" | "max_uses"
  >,
  deviceId: string,
  now: Date,
): "revoked" | "expired" | "used-up" | "pattern" | undefined {
  if (claim.revoked_at !== null) return "revoked";
  if (claim.expires_at <= now) return "expired";
  if (!matchesPattern(claim.device_pattern, deviceId)) return "pattern";
  if (claim.used_count >= claim.max_uses) return "used-up";
  return undefined;
}

/** What is particular to one kind of claim. */
interface Particulars {
  id: string;
  kind: store.ClaimKind;
  hash: Buffer;
  columns: PolicyRow;
  secretSealed?: Buffer;
  certificatePem?: string;
  authorityId?: string;
}

/** Writes a new claim and its audit entry. */
export async function insertClaim(
  tx: Tx,
  { audit }: Pick<Tenancy, "audit">,
  tenantId: string,
  claim: NewClaim,
  particulars: Particulars,
  { actor, now }: { actor: Actor; now: Date },
): Promise<void> {
  if (!(await tenantStatus(tx, tenantId))) {
    throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  }
  const { id, kind, columns } = particulars;
  await store.insertClaim(tx, tenantId, {
    ...columns,
    id,
    kind,
    name: claim.name,
    token_hash: particulars.hash,
    device_pattern: claim.devicePattern,
    product: claim.product,
    hardware_revision: claim.hardwareRevision,
    region: claim.region ?? "",
    tags: claim.tags ?? {},
    max_uses: claim.maxUses,
    used_count: 0,
    created_by: actor.name,
    created_at: now,
    expires_at: claim.expiresAt,
    revoked_at: null,
    secret_sealed: particulars.secretSealed ?? null,
    certificate_pem: particulars.certificatePem ?? null,
    authority_id: particulars.authorityId ?? null,
  });
  const { name, devicePattern, maxUses, expiresAt } = claim;
  const { approval } = columns;
  await audit.record(tx, tenantId, {
    actor,
    action: "claim-token.create",
    targetKind: "claim-token",
    targetId: id,
    outcome: "done",
    details: { name, kind, devicePattern, maxUses, expiresAt, approval },
  });
}
