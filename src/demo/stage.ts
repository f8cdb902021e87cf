import type { ApiClient } from "../client/index.ts";
import type { Envelope, ReleaseManifest, SigningKey } from "../protocol/index.ts";
import { DEMO_POLICY, HARDWARE_REVISIONS, TENANTS } from "./cast.ts";
import type { DemoImages } from "./images.ts";
import type { Narrator } from "./narrator.ts";
import { makeOfflineKeys, makeTrustRoot, type OfflineKeys, signRelease } from "./offline-keys.ts";

export interface Stage {
  api: ApiClient;
  narrator: Narrator;
  images: DemoImages;
  keys: Map<string, OfflineKeys>;
}

/** Tenants with their settings, offline keys and trust roots. */
export async function setStage(
  api: ApiClient,
  narrator: Narrator,
  images: DemoImages,
): Promise<Stage> {
  const keys = new Map<string, OfflineKeys>();
  for (const tenant of TENANTS) {
    await api.call("createTenant", {
      body: { id: tenant.id, name: tenant.name, settings: { heartbeatIntervalSeconds: 2 } },
    });
    const offline = makeOfflineKeys();
    const params = { tenant: tenant.id };
    const director = await api.call("getDirectorKey", { params });
    const body = makeTrustRoot(tenant.id, offline, director.key as SigningKey);
    await api.call("setTrustRoot", { params, body });
    keys.set(tenant.id, offline);
    narrator.say(
      `tenant ${tenant.id}: its own certificate authority; two offline release keys, both needed`,
    );
  }
  return { api, narrator, images, keys };
}

export interface PublishedRelease {
  id: string;
  envelope: Envelope<ReleaseManifest>;
}

/** Signs and publishes `image` as `version` for one tenant. */
export async function publish(
  stage: Stage,
  tenantId: string,
  version: string,
  image: Buffer,
): Promise<PublishedRelease> {
  const keys = stage.keys.get(tenantId) as OfflineKeys;
  const envelope = signRelease(tenantId, version, image, [...HARDWARE_REVISIONS], keys);
  const params = { tenant: tenantId };
  const headers = {
    "x-vautn-manifest": Buffer.from(JSON.stringify(envelope)).toString("base64url"),
  };
  const bytes = new Uint8Array(image);
  const release = await stage.api.upload("publishRelease", { params }, bytes, headers);
  return { id: release.id, envelope };
}

/** Starts a rollout to every device of the tenant under the demo's policy. */
export async function startRollout(
  stage: Stage,
  tenantId: string,
  name: string,
  releaseId: string,
): Promise<string> {
  const rollout = await stage.api.call("createRollout", {
    params: { tenant: tenantId },
    body: { name, releaseId, query: 'product = "hub"', policy: DEMO_POLICY },
  });
  return rollout.id;
}

/** Asks again every 300 ms until `done` says yes; throws with the last answer after `timeoutMs`. */
export async function waitFor<T>(
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  timeoutMs: number,
  what: string,
  onAnswer: (answer: T) => void = () => {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    onAnswer(answer);
    if (done(answer)) return answer;
    if (Date.now() > deadline) {
      throw new Error(`${what} did not come true within ${timeoutMs / 1000} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
