import { VERSIONS } from "./cast.ts";
import { publish } from "./foundation.ts";
import { type Stage, startRollout, waitFor } from "./stage.ts";

const TENANT = "acme";
/** A few seconds on two idle cores. */
const TIMEOUT_MS = 180_000;

export interface BadReleaseOutcome {
  rolloutId: string;
  alertTitle: string;
}

/** The bad firmware passes its self-test and then crashes; the canaries give it away. */
export async function tellBadRelease(stage: Stage, consoleUrl: string): Promise<BadReleaseOutcome> {
  const { api, narrator, images } = stage;
  narrator.step(
    `A bad firmware: ${VERSIONS.bad} passes the self-test, then crashes again and again`,
  );
  const release = await publish(stage, TENANT, VERSIONS.bad, images.bad);
  const rolloutId = await startRollout(stage, TENANT, `hub ${VERSIONS.bad}`, release.id);
  const params = { tenant: TENANT, rollout: rolloutId };
  narrator.look(`${consoleUrl}/rollouts/${rolloutId}`);
  const paused = await waitFor(
    () => api.call("getRollout", { params }),
    (view) => view.state === "paused",
    TIMEOUT_MS,
    "the pause of the bad rollout",
    (view) => {
      if (view.state === "succeeded") throw new Error("the bad rollout was not stopped");
      narrator.progress(view.totals.succeeded, view.totals.devices, `devices have ${VERSIONS.bad}`);
    },
  );
  narrator.bad(`paused by itself: ${paused.stateReason}`);
  const alerts = await api.call("listAlerts", {
    params: { tenant: TENANT },
    query: { state: "open" },
  });
  const alert = alerts.items.find((item) => item.subjectId === rolloutId);
  if (!alert) throw new Error("the pause raised no alert");
  narrator.say(`alert raised: ${alert.title}`);

  narrator.step("Roll back: the devices that have it return by their other slot");
  await api.call("rollbackRollout", { params, body: {} });
  await waitFor(
    () => api.call("getRollout", { params }),
    (view) => view.state === "rolled-back",
    TIMEOUT_MS,
    "the rollback",
  );
  narrator.good(`every canary runs ${VERSIONS.good} again, nothing was downloaded for it`);
  return { rolloutId, alertTitle: alert.title };
}
