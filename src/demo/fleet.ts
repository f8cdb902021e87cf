import { createHash } from "node:crypto";
import { type ApiClient, ApiRefusal } from "../client/index.ts";
import type { Behaviours, FleetDescription, FleetFolder, FleetMember } from "../simulator/index.ts";
import {
  devicesPerTenant,
  type FleetPace,
  HARDWARE_REVISIONS,
  PRODUCT,
  TENANTS,
  VERSIONS,
} from "./cast.ts";
import { publish } from "./foundation.ts";
import type { DemoImages } from "./images.ts";
import type { OfflineKeys } from "./offline-keys.ts";

const SLOT_BYTES = 512 * 1024;
const WATCHDOG_MS = 5_000;
const SPREAD_MS = 4_000;
const CLAIM_LIFETIME_MS = 3_600_000;
const REGISTRATIONS_AT_ONCE = 8;

/**
 * Sees to it that the folder describes a fleet of at least `total` devices of the cast: published
 * first, then registered, with one claim token a tenant by which they enrol themselves.
 */
export async function describeFleet(
  stage: { api: ApiClient; keys: Map<string, OfflineKeys>; images: DemoImages },
  folder: FleetFolder,
  total: number,
  pace: FleetPace,
): Promise<FleetDescription> {
  const { api, images } = stage;
  const known = folder.read();
  const members = mergeMembers(known?.members ?? [], castOf(total));
  const tenants: FleetDescription["tenants"] = { ...known?.tenants };
  folder.keepImage(images.factory);
  for (const { id } of TENANTS) {
    const { envelope } = await publish(stage, id, VERSIONS.factory, images.factory);
    const missing = members.filter((one) => one.tenant === id && !folder.isEnrolled(one));
    if (missing.length === 0 && tenants[id]) continue;
    await registerAll(api, missing);
    const claimToken = missing.length > 0 ? await claimFor(api, id, missing.length) : "";
    tenants[id] = { claimToken, factoryRelease: envelope };
  }
  const [first] = TENANTS;
  const params = { tenant: first?.id ?? "" };
  const { rootPem } = await api.call("getDeviceConnection", { params });
  const description: FleetDescription = {
    formatVersion: 1,
    seed: 1,
    slotCapacityBytes: SLOT_BYTES,
    watchdogMs: WATCHDOG_MS,
    spreadMs: SPREAD_MS,
    behaviours: behavioursOf(images, pace),
    // A vdelta is a fifth of the size, and takes fifty times as long to apply: nothing to one device,
    // too long for two hundred that share this machine's cores.
    formats: ["zstd-patch"],
    timeScale: pace.timeScale,
    heartbeatIntervalMs: pace.heartbeatIntervalMs,
    ...known,
    rootPem,
    tenants,
    members,
  };
  folder.write(description);
  return description;
}

/** The cast's devices, tenant by tenant. */
export function castOf(total: number): FleetMember[] {
  const counts = devicesPerTenant(total);
  return TENANTS.flatMap(({ id }) =>
    Array.from({ length: counts.get(id) ?? 0 }, (_, index) => ({
      tenant: id,
      device: `${id}-hub-${String(index + 1).padStart(3, "0")}`,
      product: PRODUCT,
      hardwareRevision: HARDWARE_REVISIONS[index % HARDWARE_REVISIONS.length] as string,
    })),
  );
}

/** Those that are there keep their places, by which they have their luck; new ones come behind. */
export function mergeMembers(known: FleetMember[], wanted: FleetMember[]): FleetMember[] {
  const nameOf = (member: FleetMember) => `${member.tenant}/${member.device}`;
  const names = new Set(known.map(nameOf));
  return [...known, ...wanted.filter((member) => !names.has(nameOf(member)))];
}

/** As a factory's list of serial numbers would: what and where each device is, and no key. */
async function registerAll(api: ApiClient, members: FleetMember[]): Promise<void> {
  const queue = [...members.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) await register(api, ...next);
  };
  await Promise.all(Array.from({ length: REGISTRATIONS_AT_ONCE }, worker));
}

async function register(api: ApiClient, index: number, member: FleetMember): Promise<void> {
  const regions = TENANTS.find(({ id }) => id === member.tenant)?.regions ?? [];
  const region = regions[index % regions.length] ?? "";
  try {
    await api.call("enrollDevice", {
      params: { tenant: member.tenant },
      body: {
        id: member.device,
        product: member.product,
        hardwareRevision: member.hardwareRevision,
        region,
        tags: { site: `${region}-${1 + (index % 3)}` },
      },
    });
  } catch (error) {
    // Registered at a start that was cut off.
    if (!(error instanceof ApiRefusal && error.status === 409)) throw error;
  }
}

async function claimFor(api: ApiClient, tenantId: string, devices: number): Promise<string> {
  const { token } = await api.call("createClaimToken", {
    params: { tenant: tenantId },
    body: {
      name: "simulated fleet",
      devicePattern: `${tenantId}-hub-*`,
      product: PRODUCT,
      hardwareRevision: HARDWARE_REVISIONS[0],
      maxUses: devices,
      expiresAt: new Date(Date.now() + CLAIM_LIFETIME_MS).toISOString(),
    },
  });
  return token;
}

function behavioursOf(images: DemoImages, { timeScale }: FleetPace): Behaviours {
  const hash = (image: Buffer) => createHash("sha256").update(image).digest("hex");
  const healthy = {
    bootMs: 800,
    selfTestMs: 400,
    telemetryIntervalMs: 5_000,
    // A device that lives an hour in a second still writes three lines a minute.
    infoLogsPerDeviceHour: 180 / timeScale,
  };
  return {
    [hash(images.factory)]: healthy,
    [hash(images.good)]: healthy,
    [hash(images.bad)]: {
      ...healthy,
      errorLogsPerDeviceHour: 2,
      faults: [{ kind: "crash-loop", everyMs: 1_500 }],
    },
  };
}
