import { type Database, isUniqueViolation } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import { isDeviceId } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import type { DeviceAttributes } from "./enrolment-store.ts";
import { policyRefusal } from "./policy.ts";
import * as store from "./preauthorised-store.ts";

/** A device that is expected. */
export interface PreauthorisedDevice extends DeviceAttributes {
  deviceId: string;
  /** Must stand in the subject of its request (X.520 serialNumber). */
  serialNumber?: string | undefined;
  /** SHA-256 over the DER of its public key, hex: no other key is accepted, and it alone suffices. */
  publicKeySha256?: string | undefined;
}

export interface PreauthorisedView {
  deviceId: string;
  serialNumber: string | null;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  publicKeySha256: string | null;
  addedBy: string;
  addedAt: Date;
  enrolledAt: Date | null;
}

/** What became of one row. */
export interface PreauthorisedResult {
  deviceId: string;
  outcome: "added" | "changed" | "refused";
  reason?: string;
}

export interface Preauthorised {
  /** At most 1,000 at a time; each row stands for itself. */
  add(
    tenantId: string,
    devices: readonly PreauthorisedDevice[],
    actor: Actor,
  ): Promise<PreauthorisedResult[]>;
  /** In the order of their ids. */
  list(
    tenantId: string,
    page: { after?: string | undefined; limit?: number | undefined },
  ): Promise<PreauthorisedView[]>;
  remove(tenantId: string, deviceId: string, actor: Actor): Promise<void>;
}

export const MAX_ROWS_AT_ONCE = 1_000;
const SHA256 = /^[0-9a-f]{64}$/;

export function createPreauthorised(deps: {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit" | "settings">;
}): Preauthorised {
  const { db, clock, tenancy } = deps;
  return {
    async add(tenantId, devices, actor) {
      if (devices.length === 0 || devices.length > MAX_ROWS_AT_ONCE) {
        throw new AppError("invalid-content", `1 to ${MAX_ROWS_AT_ONCE} devices at a time`);
      }
      const { maxDevices } = await tenancy.settings(tenantId);
      return db.tenant(tenantId, async (tx) => {
        const results: PreauthorisedResult[] = [];
        let count = await store.countEntries(tx, tenantId, maxDevices);
        for (const device of devices) {
          const { deviceId } = device;
          const problem = problemOf(device) ?? (count >= maxDevices ? "quota" : undefined);
          if (problem) {
            results.push({ deviceId, outcome: "refused", reason: problem });
            continue;
          }
          const row = rowOf(device, actor, new Date(clock.now()));
          const isNew = await put(tx, tenantId, row);
          if (isNew === "key-in-use") {
            results.push({ deviceId, outcome: "refused", reason: "key-in-use" });
            continue;
          }
          if (isNew) count += 1;
          results.push({ deviceId, outcome: isNew ? "added" : "changed" });
        }
        const of = (outcome: string) => results.filter((one) => one.outcome === outcome).length;
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "preauthorised.add",
          targetKind: "preauthorised",
          targetId: "",
          outcome: "done",
          details: { added: of("added"), changed: of("changed"), refused: of("refused") },
        });
        return results;
      });
    },

    async list(tenantId, { after = "", limit = LIMITS.pageSize }) {
      const size = Math.min(limit, LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) => store.listEntries(tx, tenantId, after, size));
      return rows.map(viewOf);
    },

    async remove(tenantId, deviceId, actor) {
      await db.tenant(tenantId, async (tx) => {
        if (!(await store.deleteEntry(tx, tenantId, deviceId))) {
          throw new AppError("not-found", "the device is not on the list", { deviceId });
        }
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "preauthorised.remove",
          targetKind: "preauthorised",
          targetId: deviceId,
          outcome: "done",
        });
      });
    },
  };
}

async function put(
  tx: Parameters<typeof store.putEntry>[0],
  tenantId: string,
  row: store.PreauthorisedRow,
): Promise<boolean | "key-in-use"> {
  if (row.public_key_sha256 !== null) {
    const holder = await store.entryWithKey(tx, tenantId, row.public_key_sha256);
    if (holder && holder.device_id !== row.device_id) return "key-in-use";
  }
  try {
    return await store.putEntry(tx, tenantId, row);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    // Someone else listed the key at this very moment; the transaction is over, so say it plainly.
    throw new AppError("conflict", "a key was listed twice at the same time: send it again");
  }
}

/** What a request must fulfil because its device is listed; throws `enrolment-refused`. */
export function assertAsListed(entry: store.PreauthorisedRow, csr: CertificateRequest): void {
  if (entry.public_key_sha256 !== null && entry.public_key_sha256 !== csr.publicKeySha256) {
    throw policyRefusal("key-not-listed", "the list has another key for this device");
  }
  if (entry.serial_number !== null && entry.serial_number !== csr.name.serialNumber) {
    throw policyRefusal("serial-not-listed", "the list has another serial number for this device");
  }
}

export function attributesOf(
  entry: Pick<store.PreauthorisedRow, "product" | "hardware_revision" | "region" | "tags">,
): DeviceAttributes {
  const { product, hardware_revision: hardwareRevision, region, tags } = entry;
  return { product, hardwareRevision, region, tags };
}

function problemOf(device: PreauthorisedDevice): string | undefined {
  if (!isDeviceId(device.deviceId)) return "id";
  if (!device.product || device.product.length > 64) return "product";
  if (!device.hardwareRevision || device.hardwareRevision.length > 64) return "hardwareRevision";
  const { publicKeySha256, serialNumber } = device;
  if (publicKeySha256 !== undefined && !SHA256.test(publicKeySha256)) return "publicKeySha256";
  if (serialNumber !== undefined && !/^[\x20-\x7e]{1,128}$/.test(serialNumber)) {
    return "serialNumber";
  }
  return undefined;
}

function rowOf(device: PreauthorisedDevice, actor: Actor, now: Date): store.PreauthorisedRow {
  return {
    device_id: device.deviceId,
    serial_number: device.serialNumber ?? null,
    product: device.product,
    hardware_revision: device.hardwareRevision,
    region: device.region ?? "",
    tags: device.tags ?? {},
    public_key_sha256: device.publicKeySha256 ?? null,
    added_by: actor.name,
    added_at: now,
    enrolled_at: null,
  };
}

function viewOf(row: store.PreauthorisedRow): PreauthorisedView {
  return {
    deviceId: row.device_id,
    serialNumber: row.serial_number,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    publicKeySha256: row.public_key_sha256,
    addedBy: row.added_by,
    addedAt: row.added_at,
    enrolledAt: row.enrolled_at,
  };
}
