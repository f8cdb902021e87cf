import type { Envelope, ReleaseManifest } from "../protocol/index.ts";
import type { ApiClient } from "./api-client.ts";
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
    await api.post("/tenants", {
      id: tenant.id,
      name: tenant.name,
      settings: { heartbeatIntervalSeconds: 2 },
    });
    const offline = makeOfflineKeys();
    const director = await api.get(`/tenants/${tenant.id}/trust/director-key`);
    await api.put(
      `/tenants/${tenant.id}/trust-root`,
      makeTrustRoot(tenant.id, offline, director.key ?? director),
    );
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
  const release = await stage.api.upload(`/tenants/${tenantId}/releases`, image, {
    "x-vautn-manifest": Buffer.from(JSON.stringify(envelope)).toString("base64url"),
  });
  return { id: release.id, envelope };
}

/** Starts a rollout to every device of the tenant under the demo's policy. */
export async function startRollout(
  stage: Stage,
  tenantId: string,
  name: string,
  releaseId: string,
): Promise<string> {
  const rollout = await stage.api.post(`/tenants/${tenantId}/rollouts`, {
    name,
    releaseId,
    query: 'product = "hub"',
    policy: DEMO_POLICY,
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
