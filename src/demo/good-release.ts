import { TENANTS, VERSIONS } from "./cast.ts";
import { publish } from "./foundation.ts";
import { type Stage, startRollout, waitFor } from "./stage.ts";

/** Some 40 s on two idle cores. */
const TIMEOUT_MS = 300_000;

/** The good firmware goes out to both tenants at once; resolves with the rollout of each. */
export async function tellGoodRelease(
  stage: Stage,
  consoleUrl: string,
): Promise<Map<string, string>> {
  const { api, narrator, images } = stage;
  narrator.step(
    `A good firmware: ${VERSIONS.good}, signed offline, to all devices of both tenants`,
  );
  const rollouts = new Map<string, string>();
  for (const tenant of TENANTS) {
    const release = await publish(stage, tenant.id, VERSIONS.good, images.good);
    const id = await startRollout(stage, tenant.id, `hub ${VERSIONS.good}`, release.id);
    rollouts.set(tenant.id, id);
  }
  narrator.say(
    "canary 5 devices, then 5, 25, 50, 100 %; a stage widens only after its soak and without evidence against it",
  );
  narrator.look(`${consoleUrl}/rollouts`);

  const told = new Set<string>();
  await waitFor(
    () =>
      Promise.all(
        [...rollouts].map(([tenant, id]) =>
          api.call("getRollout", { params: { tenant, rollout: id } }),
        ),
      ),
    (views) => views.every((view) => view.state === "succeeded"),
    TIMEOUT_MS,
    "the good rollout",
    (views) => {
      for (const [index, view] of views.entries()) {
        const tenant = TENANTS[index]?.id ?? "";
        const verdict = view.lastVerdict;
        if (!verdict || ["wait", "start"].includes(verdict.decision)) continue;
        const line = `${tenant}: ${verdict.sentence}`;
        if (!told.has(line)) narrator.say(line);
        told.add(line);
        if (["paused", "needs-decision", "failed"].includes(view.state)) {
          throw new Error(`the good rollout stopped at ${tenant}: ${view.stateReason}`);
        }
      }
      const sum = (pick: (view: (typeof views)[0]) => number) =>
        views.reduce((total, view) => total + pick(view), 0);
      narrator.progress(
        sum((view) => view.totals.succeeded),
        sum((view) => view.totals.devices),
        `devices run ${VERSIONS.good}`,
      );
    },
  );
  narrator.good(`all devices run ${VERSIONS.good}, as they reported after their boot`);
  return rollouts;
}
