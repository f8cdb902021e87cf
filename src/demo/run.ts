import { readConfig } from "../kernel/config.ts";
import { messageOf } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { aborted, interruptions, type Platform, startPlatform } from "../platform/index.ts";
import { FleetFolder, type FleetProcess, startFleetProcess } from "../simulator/index.ts";
import { tellBadRelease } from "./bad-release.ts";
import { DEMO_PACE, TENANTS } from "./cast.ts";
import { tellCommandAndTrace } from "./command-and-trace.ts";
import { fleetDirectory, prepareDemoFolder } from "./data-folder.ts";
import { describeFleet } from "./fleet.ts";
import { makeTenants } from "./foundation.ts";
import { tellGoodRelease } from "./good-release.ts";
import { type DemoImages, loadDemoImages } from "./images.ts";
import { Narrator } from "./narrator.ts";
import { signIn } from "./sign-in.ts";
import { type Stage, waitFor } from "./stage.ts";
import { tellSummary } from "./summary.ts";

export interface DemoOptions {
  once?: boolean;
  devices?: number;
  data?: string;
}

const ONLINE_TIMEOUT_MS = 180_000;

/** `vautn demo`: tells the whole story on real parts; resolves with the exit status. */
export async function runDemo(
  options: DemoOptions,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const narrator = new Narrator();
  const config = readConfig({
    VAUTN_LOG_LEVEL: "error",
    ...environment,
    ...(options.data ? { VAUTN_DATA: options.data } : {}),
  });
  const devices = options.devices ?? 200;
  if (!Number.isInteger(devices) || devices < 20 || devices > 2_000) {
    throw new Error("--devices takes a whole number from 20 to 2000");
  }
  const controller = new AbortController();
  const signals = interruptions(controller, (text) => narrator.say(text));
  const images = await loadDemoImages();
  const folder = prepareDemoFolder(config.dataDirectory);
  narrator.step(`Start the platform on ${config.dataDirectory}`);
  if (folder === "reset") narrator.say("the folder of the last demo was emptied");
  const logger = createLogger({ level: config.logLevel, role: "supervisor" });
  const platform = await startPlatform({
    config,
    logger,
    allowPrivateWebhooks: true,
    onStatus: (status) => narrator.say(`${status} …`),
  });
  let fleet: FleetProcess | undefined;
  let status = 1;
  try {
    const { signal } = controller;
    const story = tellStory({ platform, narrator, images, total: devices, signal }, (started) => {
      fleet = started;
    });
    const outcome = await Promise.race([
      story,
      aborted(controller.signal).then(() => undefined),
      platform.failed.then((reason) => Promise.reject(new Error(reason))),
    ]);
    status = outcome && outcome.length === 0 ? 0 : 1;
    for (const problem of outcome ?? []) narrator.bad(problem);
    if (status === 0) narrator.good("the story came out right");
    if (outcome && !options.once) {
      narrator.say(`the console stays open at ${platform.consoleUrl}; Ctrl-C stops everything`);
      await aborted(controller.signal);
    }
  } catch (error) {
    narrator.bad(messageOf(error));
  } finally {
    narrator.say("stopping …");
    await fleet?.stop();
    await platform.stop();
    signals.dispose();
  }
  return status;
}

/** Resolves with what went otherwise than it should; nothing when all is well. */
async function tellStory(
  parts: {
    platform: Platform;
    narrator: Narrator;
    images: DemoImages;
    total: number;
    signal: AbortSignal;
  },
  onFleet: (fleet: FleetProcess) => void,
): Promise<string[]> {
  const { platform, narrator, images, total, signal } = parts;
  const { api } = await signIn(platform);
  const password = platform.administrator?.password ?? "(as told at the first start)";
  narrator.look(`${platform.consoleUrl} as ${platform.administrator?.email}, password ${password}`);
  narrator.step("Two tenants, each with a certificate authority and signing keys of its own");
  const folder = new FleetFolder(fleetDirectory(platform.config.dataDirectory));
  const keys = await makeTenants(api, folder, DEMO_PACE, narrator);
  const stage: Stage = { api, narrator, images, keys, folder };

  narrator.step(`${total} devices: the real agent on simulated hardware, mutual TLS for each`);
  const { members } = await describeFleet(stage, folder, total, DEMO_PACE);
  narrator.say("each makes its key and enrols by EST with its tenant's claim token");
  const fleet = await startFleetProcess({
    directory: folder.directory,
    mqttUrl: platform.mqttUrl,
    httpsUrl: platform.httpsUrl,
    signal,
    onEnrolled: (count) => narrator.progress(count, total, "devices enrolled"),
    onNotice: (message) => narrator.bad(message),
  });
  onFleet(fleet);
  const [refused] = fleet.refused;
  if (refused) throw new Error(`${refused.device} did not enrol: ${refused.reason}`);
  await waitFor(
    () =>
      Promise.all(
        TENANTS.map((tenant) => api.call("getFleetSummary", { params: { tenant: tenant.id } })),
      ),
    (views) => sumOf(views, "online") === total,
    ONLINE_TIMEOUT_MS,
    "all devices online",
    (views) => narrator.progress(sumOf(views, "online"), total, "devices online"),
  );
  narrator.look(`${platform.consoleUrl}/fleet`);

  const goodRollouts = await tellGoodRelease(stage, platform.consoleUrl);
  await tellCommandAndTrace(stage, members[0]?.device ?? "");
  const { rolloutId } = await tellBadRelease(stage, platform.consoleUrl);
  narrator.step("What happened, asked of the platform's stores");
  const facts = { goodRollouts, badRolloutId: rolloutId, devices: total };
  const { problems } = await tellSummary(stage, facts);
  narrator.say(`from the start to here: ${narrator.elapsedSeconds.toFixed(0)} s`);
  return problems;
}

function sumOf(views: Record<string, number>[], field: string): number {
  return views.reduce((sum, view) => sum + (view[field] ?? 0), 0);
}
