import type { ApiClient } from "../client/index.ts";
import type { FleetFolder } from "../simulator/index.ts";
import { DEMO_POLICY } from "./cast.ts";
import type { DemoImages } from "./images.ts";
import type { Narrator } from "./narrator.ts";
import type { OfflineKeys } from "./offline-keys.ts";

/** What the story is played on. */
export interface Stage {
  api: ApiClient;
  narrator: Narrator;
  images: DemoImages;
  keys: Map<string, OfflineKeys>;
  folder: FleetFolder;
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
