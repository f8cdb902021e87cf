import path from "node:path";
import { type ApiClient, ApiRefusal } from "../client/index.ts";
import type { OnlineKeys } from "../firmware/index.ts";
import type { Envelope, ReleaseManifest } from "../protocol/index.ts";
import type { FleetFolder } from "../simulator/index.ts";
import {
  type DemoTenant,
  type FleetPace,
  HARDWARE_REVISIONS,
  METRICS,
  PRODUCT,
  TENANTS,
} from "./cast.ts";
import {
  hasOfflineKeys,
  makeTrustRoot,
  type OfflineKeys,
  offlineKeys,
  signRelease,
} from "./offline-keys.ts";

/** Whoever is told what happens. */
export interface Listener {
  say(text: string): void;
}

/** The cast's tenants, their offline keys and trust roots; what is there already is left as it is. */
export async function makeTenants(
  api: ApiClient,
  folder: FleetFolder,
  pace: FleetPace,
  listener: Listener,
): Promise<Map<string, OfflineKeys>> {
  const keys = new Map<string, OfflineKeys>();
  for (const tenant of TENANTS) {
    const directory = keyDirectory(folder, tenant.id);
    const isOurs = hasOfflineKeys(directory);
    // The keys come first: whoever has them made the tenant, or may make it now.
    if (!isOurs && (await isThere(api, "getTenant", tenant.id))) {
      throw new Error(
        `there is a tenant ${tenant.id} that the demo did not make: choose another folder with --data`,
      );
    }
    keys.set(tenant.id, offlineKeys(directory));
    const isNew = await makeTenant(api, tenant, pace);
    const hasRoot = !isNew && (await isThere(api, "getTrustRoot", tenant.id));
    if (!hasRoot) await setTrustRoot(api, tenant.id, keys.get(tenant.id) as OfflineKeys);
    if (isNew) {
      listener.say(
        `tenant ${tenant.id}: its own certificate authority; two offline release keys, both needed`,
      );
    }
  }
  return keys;
}

/** Where the keys of a tenant of the demo lie. */
export function keyDirectory(folder: FleetFolder, tenantId: string): string {
  return path.join(folder.directory, "offline-keys", tenantId);
}

async function makeTenant(
  api: ApiClient,
  { id, name }: DemoTenant,
  pace: FleetPace,
): Promise<boolean> {
  if (await isThere(api, "getTenant", id)) return false;
  const settings = {
    heartbeatIntervalSeconds: pace.heartbeatIntervalMs / 1_000,
    offlineAfterMissed: pace.offlineAfterMissed,
  };
  await api.call("createTenant", { body: { id, name, settings } });
  const params = { tenant: id, product: PRODUCT };
  await api.call("declareProductMetrics", { params, body: { items: [...METRICS] } });
  return true;
}

async function setTrustRoot(api: ApiClient, tenantId: string, keys: OfflineKeys): Promise<void> {
  const params = { tenant: tenantId };
  const online = await api.call("getOnlineKeys", { params });
  const body = makeTrustRoot(tenantId, keys, online as OnlineKeys);
  await api.call("setTrustRoot", { params, body });
}

export interface PublishedRelease {
  id: string;
  envelope: Envelope<ReleaseManifest>;
}

/** Signs and publishes `image` as `version` for one tenant, unless that was done before. */
export async function publish(
  stage: { api: ApiClient; keys: Map<string, OfflineKeys> },
  tenantId: string,
  version: string,
  image: Buffer,
): Promise<PublishedRelease> {
  const { api } = stage;
  const params = { tenant: tenantId };
  const { items } = await api.call("listReleases", { params, query: { limit: 200 } });
  const known = items.find((item) => item.product === PRODUCT && item.version === version);
  if (known) {
    const found = { ...params, release: known.id };
    const { envelope } = await api.call("getRelease", { params: found });
    return { id: known.id, envelope: envelope as Envelope<ReleaseManifest> };
  }
  const keys = stage.keys.get(tenantId) as OfflineKeys;
  const envelope = signRelease(tenantId, version, image, [...HARDWARE_REVISIONS], keys);
  const headers = {
    "x-vautn-manifest": Buffer.from(JSON.stringify(envelope)).toString("base64url"),
  };
  const bytes = new Uint8Array(image);
  const release = await api.upload("publishRelease", { params }, bytes, headers);
  return { id: release.id, envelope };
}

async function isThere(
  api: ApiClient,
  operation: "getTenant" | "getTrustRoot",
  tenantId: string,
): Promise<boolean> {
  try {
    await api.call(operation, { params: { tenant: tenantId } });
    return true;
  } catch (error) {
    if (error instanceof ApiRefusal && error.status === 404) return false;
    throw error;
  }
}
