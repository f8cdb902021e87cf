import { createHash } from "node:crypto";
import { ApiClient } from "../client/index.ts";
import { readConfig } from "../kernel/config.ts";
import { messageOf } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { aborted, interruptions, type Platform, startPlatform } from "../platform/index.ts";
import { tellBadRelease } from "./bad-release.ts";
import { SECONDS_PER_HOUR, TENANTS, VERSIONS } from "./cast.ts";
import { tellCommandAndTrace } from "./command-and-trace.ts";
import { prepareDemoFolder } from "./data-folder.ts";
import { enrollFleet, type FleetProcess, startFleet } from "./fleet.ts";
import { tellGoodRelease } from "./good-release.ts";
import { type DemoImages, loadDemoImages } from "./images.ts";
import { Narrator } from "./narrator.ts";
import { publish, type Stage, setStage, waitFor } from "./stage.ts";
import { tellSummary } from "./summary.ts";

export interface DemoOptions {
  once?: boolean;
  devices?: number;
  data?: string;
}

const HEARTBEAT_MS = 2_000;

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
    const story = tellStory(platform, narrator, images, devices, (started) => {
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
  platform: Platform,
  narrator: Narrator,
  images: DemoImages,
  total: number,
  onFleet: (fleet: FleetProcess) => void,
): Promise<string[]> {
  const { api, password } = await signIn(platform);
  narrator.look(`${platform.consoleUrl} as ${platform.administrator?.email}, password ${password}`);
  narrator.step("Two tenants, each with a certificate authority and signing keys of its own");
  const stage = await setStage(api, narrator, images);
  const factory = await publishFactory(stage);

  narrator.step(`${total} devices: the real agent on simulated hardware, mutual TLS for each`);
  const enrolled = await enrollFleet(stage, total);
  const fleet = await startFleet({
    mqttUrl: platform.mqttUrl,
    rootPem: enrolled.rootPem,
    factoryImage: images.factory.toString("base64"),
    behaviours: behavioursOf(images),
    timeScale: 3_600 / SECONDS_PER_HOUR,
    heartbeatIntervalMs: HEARTBEAT_MS,
    tenants: factory,
    devices: enrolled.devices,
  });
  onFleet(fleet);
  await waitFor(
    () =>
      Promise.all(
        TENANTS.map((tenant) => api.call("getFleetSummary", { params: { tenant: tenant.id } })),
      ),
    (views) => sumOf(views, "online") === total,
    60_000,
    "all devices online",
    (views) => narrator.progress(sumOf(views, "online"), total, "devices online"),
  );
  narrator.look(`${platform.consoleUrl}/fleet`);

  const goodRollouts = await tellGoodRelease(stage, platform.consoleUrl);
  await tellCommandAndTrace(stage, enrolled.devices[0]?.device ?? "");
  const { rolloutId } = await tellBadRelease(stage, platform.consoleUrl);
  narrator.step("What happened, asked of the platform's stores");
  const facts = { goodRollouts, badRolloutId: rolloutId, devices: total };
  const { problems } = await tellSummary(stage, facts);
  narrator.say(`from the start to here: ${narrator.elapsedSeconds.toFixed(0)} s`);
  return problems;
}

/** The administrator's key; the password is told so that a reader can sign in to the console. */
async function signIn(platform: Platform): Promise<{ api: ApiClient; password: string }> {
  const { users, keys } = platform.modules.tenancy;
  const [administrator] = await users.list();
  if (!administrator) throw new Error("the first start made no administrator");
  const system = { kind: "system", id: "demo", name: "demo" } as const;
  const { key } = await keys.createPersonalKey(administrator.id, { name: "demo" }, system);
  const password = platform.administrator?.password ?? "(as told at the first start)";
  return { api: new ApiClient(platform.consoleUrl, { apiKey: key }), password };
}

/** The firmware that the devices leave the factory with, published as a release like any other. */
async function publishFactory(stage: Stage) {
  const tenants: Parameters<typeof startFleet>[0]["tenants"] = {};
  for (const tenant of TENANTS) {
    const image = stage.images.factory;
    const release = await publish(stage, tenant.id, VERSIONS.factory, image);
    const trustRoot = await stage.api.call("getTrustRoot", { params: { tenant: tenant.id } });
    tenants[tenant.id] = { trustRoot, factoryRelease: release.envelope };
  }
  return tenants;
}

function behavioursOf(images: DemoImages): Parameters<typeof startFleet>[0]["behaviours"] {
  const hash = (image: Buffer) => createHash("sha256").update(image).digest("hex");
  const healthy = { bootMs: 800, selfTestMs: 400, telemetryIntervalMs: 5_000 };
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

function sumOf(views: Record<string, number>[], field: string): number {
  return views.reduce((sum, view) => sum + (view[field] ?? 0), 0);
}
