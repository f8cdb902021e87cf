import fs from "node:fs";
import path from "node:path";
import { type ApiClient, PlatformUnreachable } from "../../../src/client/index.ts";
import type { OnlineKeys } from "../../../src/firmware/index.ts";
import type { FirmwareVariableWrite } from "../../../src/protocol/index.ts";
import { floorWrite } from "../../../src/secureboot/index.ts";
import { fixedPorts, type PlatformProcess, signInTo, startProcess } from "../platform-process.ts";
import { runInPipe } from "../run-cli.ts";
import { makeRoot } from "../signing.ts";
import { Lab, type System, TENANT } from "./lab.ts";
import type { Machine } from "./machine.ts";

const DEVICE = "hub-1";
/** A machine without KVM downloads, writes and hashes 70 MB in it, beside other work. */
const LONG_MS = 900_000;

/**
 * The whole way: a device with a verified chain and our agent in it updates itself from our platform
 * by mutual TLS, takes a configuration that raises its floors, loses power, and refuses replays.
 */
export async function updateThroughPlatform(folder: string): Promise<string> {
  fs.mkdirSync(folder, { recursive: true });
  const data = path.join(folder, "platform");
  const ports = await fixedPorts();
  const environment = { VAUTN_DATA: data, VAUTN_PUBLIC_HOST: "10.0.2.2", ...ports };
  const platform = startProcess(["up"], environment);
  let machine: Machine | undefined;
  try {
    const scene = await prepare(platform, ports, folder);
    machine = scene.lab.start(scene.disk, scene.variables, true);
    await until(scene, "secure boot on, 1.0.0", ({ bootChain, firmware }) =>
      Boolean(bootChain?.secureBoot && firmware?.version === "1.0.0"),
    );
    await update(scene);
    await configure(scene);
    await machine.cutPower();
    machine = scene.lab.start(scene.disk, scene.variables, true);
    await machine.until(/slot=b version=1\.1\.0 counter=2 SecureBoot=1/, LONG_MS);
    await until(scene, "the floor after a power cut", ({ connected, bootChain }) => {
      const stage = bootChain?.stages.find((one) => one.stage === "configuration");
      return connected && stage?.version === "2" && stage.floor === 2;
    });
    await replay(scene);
    return "1.0.0 -> 1.1.0 by our agent, blessed; floors kept over a power cut; replays refused";
  } finally {
    await machine?.cutPower();
    await platform.stop();
  }
}

interface Scene {
  lab: Lab;
  api: ApiClient;
  cli(...argv: string[]): Promise<string>;
  folder: string;
  disk: string;
  variables: string;
  next: System;
}

const params = { tenant: TENANT };

async function prepare(
  platform: PlatformProcess,
  ports: Record<string, string>,
  folder: string,
): Promise<Scene> {
  await platform.untilSaid(/Ctrl-C stops everything/, LONG_MS);
  const url = `http://localhost:${ports.VAUTN_API_PORT}`;
  const api = await signInTo(url, platform.output());
  await api.call("createTenant", { body: { id: TENANT, name: "Acme" } });
  const online = await api.call("getOnlineKeys", { params });
  const lab = new Lab(folder, (keys) => makeRoot(TENANT, keys, online as OnlineKeys));
  await api.call("setTrustRoot", { params, body: lab.trustRoot as never });
  const personal = await api.call("createPersonalKey", { body: { name: "secure boot" } });
  const environment = { VAUTN_URL: url, VAUTN_API_KEY: personal.key, VAUTN_TENANT: TENANT };
  const cli = async (...argv: string[]) => {
    const { status, out, err } = await runInPipe(argv, environment);
    if (status !== 0) throw new Error(`vautn ${argv.join(" ")}: ${err}`);
    return out;
  };
  const provisioning = path.join(folder, "provisioning");
  await cli(
    ...["device", "enroll", DEVICE, "--product", "hub", "--hardware", "a", "--out", provisioning],
  );
  const first = lab.system("1.0.0", lab.root("first", { factory: true }));
  const next = lab.system("1.1.0", lab.root("second", { factory: true }), { counter: 2 });
  const dataBytes = 192 * 1024 * 1024; // A download is kept whole before it is installed.
  const disk = await lab.disk(first, { provisioning, factory: true, dataBytes });
  return { lab, api, cli, folder, disk: disk.file, variables: lab.variables(disk.image), next };
}

async function update({ lab, api, cli, folder, next }: Scene): Promise<void> {
  const manifest = path.join(folder, "next.manifest.json");
  fs.writeFileSync(manifest, JSON.stringify(lab.manifest(next, 2)));
  const image = lab.slotImage(next);
  await cli("firmware", "publish", manifest, "--image", image);
  const { items } = await api.call("listReleases", { params });
  const rollout = await api.call("createRollout", {
    params,
    body: {
      ...{ name: "to 1.1.0", releaseId: items[0]?.id ?? "", query: "secureBoot" },
      policy: {
        ...{ requireSecureBoot: true, minSoakSeconds: 0, maxSoakSeconds: 1 },
        ...{ holdbackPercent: 0, evaluateEverySeconds: 0.5 },
        stages: [{ name: "all", percent: 100, minSoakSeconds: 0 }],
      } as never,
    },
  });
  const view = () => api.call("getRollout", { params: { ...params, rollout: rollout.id } });
  await poll(
    "the rollout",
    async () => (await view()).totals,
    ({ succeeded }) => succeeded === 1,
  );
  await poll(
    "the version after the update",
    () => api.call("getDevice", { params: { ...params, device: DEVICE } }),
    ({ firmware, bootChain }) =>
      firmware?.version === "1.1.0" &&
      Boolean(
        bootChain?.stages.some(({ stage, version }) => stage === "system" && version === "1.1.0"),
      ),
  );
}

const EARLIER = new Date(Date.UTC(2026, 5, 1));
const LATER = new Date(Date.UTC(2026, 6, 1));
const LATEST = new Date(Date.UTC(2026, 7, 1));

function floorOf({ lab }: Scene, floors: [number, number], at: Date): FirmwareVariableWrite {
  const [security, configuration] = floors;
  const write = floorWrite({ security, configuration }, lab.signers.floor, at);
  return { ...write, payload: write.payload.toString("base64") };
}

async function configure(scene: Scene): Promise<void> {
  const firmwareVariables = [floorOf(scene, [2, 2], LATER)];
  const answer = await apply(scene, scene.lab.configuration(2, { firmwareVariables }));
  expectState(answer, "succeeded");
  await until(scene, "the raised floor", ({ bootChain }) => {
    const stages = bootChain?.stages ?? [];
    return stages.some(({ stage, floor }) => stage === "configuration" && floor === 2);
  });
}

/** An older configuration is refused by the agent, an older floor by the firmware. */
async function replay(scene: Scene): Promise<void> {
  expectState(await apply(scene, scene.lab.configuration(1)), "failed");
  const firmwareVariables = [floorOf(scene, [0, 0], EARLIER)];
  expectState(await apply(scene, scene.lab.configuration(3, { firmwareVariables })), "succeeded");
  await until(scene, "the firmware's refusal of an older floor", ({ bootChain }) => {
    const stage = bootChain?.stages.find((one) => one.stage === "configuration");
    return stage?.version === "3" && stage.floor === 2 && /VautnFloor/.test(stage.fault ?? "");
  });
  // The control: a later write of the same key is taken, so it was its age that was refused.
  const later = [floorOf(scene, [2, 4], LATEST)];
  const raised = scene.lab.configuration(4, { firmwareVariables: later });
  expectState(await apply(scene, raised), "succeeded");
  await until(scene, "the floor raised once more", ({ bootChain }) => {
    const stage = bootChain?.stages.find((one) => one.stage === "configuration");
    return stage?.version === "4" && stage.floor === 4 && stage.fault === undefined;
  });
}

type Answer = { status: string; error?: unknown };

async function apply({ api }: Scene, configuration: unknown): Promise<Answer> {
  const body = {
    ...{ devices: [DEVICE], name: "apply-configuration", args: { configuration } },
  };
  const sent = await api.call("sendCommand", { params, body });
  const id = sent.items[0]?.id ?? "";
  return poll(
    "the command's end",
    () => api.call("getCommand", { params: { ...params, command: id } }),
    ({ status }) => ["succeeded", "failed", "rejected", "expired", "timed-out"].includes(status),
  );
}

function expectState(answer: Answer, status: string): void {
  if (answer.status !== status) throw new Error(`not ${status}: ${JSON.stringify(answer)}`);
}

type Device = Awaited<ReturnType<ApiClient["call"]>> & {
  connected: boolean;
  firmware: { version: string } | null;
  bootChain: {
    secureBoot: boolean;
    stages: { stage: string; version: string; floor?: number; fault?: string }[];
  } | null;
};

async function until(
  { api }: Scene,
  what: string,
  holds: (device: Device) => boolean,
): Promise<void> {
  const view = () => api.call("getDevice", { params: { ...params, device: DEVICE } });
  await poll(what, view as () => Promise<Device>, holds);
}

async function poll<T>(
  what: string,
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
): Promise<T> {
  const end = Date.now() + LONG_MS;
  for (;;) {
    // A server may close a kept connection at the very moment at which it is used again.
    const answer = await ask().catch((error) => {
      if (error instanceof PlatformUnreachable) return undefined;
      throw error;
    });
    if (answer !== undefined && holds(answer)) return answer;
    if (Date.now() > end) throw new Error(`${what} did not come: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
