import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ApiClient } from "../../src/client/index.ts";
import {
  fixedPorts,
  type PlatformProcess,
  signInTo,
  startProcess,
} from "../support/platform-process.ts";

const DEVICES = 20;
const TENANT = "acme";
/** The cast gives the first tenant six of ten. */
const TENANT_DEVICES = 12;
const params = { tenant: TENANT };

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-test-"));
let environment: Record<string, string>;
let platform: PlatformProcess | undefined;
let api: ApiClient;

beforeAll(async () => {
  environment = { VAUTN_DATA: folder, ...(await fixedPorts()) };
});
afterAll(async () => {
  await platform?.killAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function until<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > end) {
      throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify(answer).slice(0, 2_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const fleet = () => api.call("getFleetSummary", { params });

async function versions(): Promise<Map<string, string | undefined>> {
  const { items } = await api.call("listDevices", { params, query: { limit: 200 } });
  return new Map(items.map((device) => [device.id, device.firmware?.version]));
}

test("up --demo makes a fleet that enrols itself and is online", async () => {
  platform = startProcess(["up", "--demo", String(DEVICES)], environment);
  await platform.untilSaid(/simulated fleet of 20 devices runs/);
  const url = `http://localhost:${environment.VAUTN_API_PORT}`;
  api = await signInTo(url, platform.output());
  await until(fleet, ({ online }) => online === TENANT_DEVICES);
  // Who is connected says what it runs with its first heartbeat.
  await until(versions, (all) => [...all.values()].every((version) => version === "1.0.0"));
  const { items: tokens } = await api.call("listClaimTokens", { params });
  const measured = async () => (await api.call("listFleetMetrics", { params })).items;
  const units = await until(measured, (all) => all.some(({ metric }) => metric === "temperature"));
  expect(units.find(({ metric }) => metric === "temperature")).toMatchObject({ unit: "°C" });
  expect(tokens).toMatchObject([{ maxUses: TENANT_DEVICES, usedCount: TENANT_DEVICES }]);
});

test("after kill -9 of everything amid a rollout, the fleet is back as it was and the rollout ends well", async () => {
  const { items } = await api.call("listReleases", { params });
  const release = items.find(({ version }) => version === "1.1.0");
  const rollout = await api.call("createRollout", {
    params,
    body: {
      name: "to 1.1.0",
      releaseId: release?.id ?? "",
      query: 'product = "hub"',
      policy: {
        stages: [
          { name: "canary", devices: 2, minSoakSeconds: 0 },
          { name: "half", percent: 50 },
          { name: "all", percent: 100 },
        ],
        minSoakSeconds: 1,
        maxSoakSeconds: 2,
        holdbackPercent: 0,
        evaluateEverySeconds: 0.5,
      },
    },
  });
  const view = () => api.call("getRollout", { params: { ...params, rollout: rollout.id } });
  await until(view, ({ totals }) => totals.succeeded >= 3);
  const before = await versions();
  await platform?.killAll();

  platform = startProcess(["up"], environment);
  await platform.untilSaid(/simulated fleet of 20 devices runs/);
  await until(fleet, ({ online }) => online === TENANT_DEVICES);
  const updated = [...before].filter(([, version]) => version === "1.1.0");
  const back = await versions();
  for (const [device, version] of updated) expect(back.get(device), device).toBe(version);

  const ended = await until(view, ({ state }) => state !== "running", 120_000);
  expect(ended).toMatchObject({
    state: "succeeded",
    totals: { succeeded: TENANT_DEVICES, devices: TENANT_DEVICES },
  });
  await until(versions, (all) => [...all.values()].every((version) => version === "1.1.0"));
});

test("a second up --demo adds nothing to the fleet, and --no-fleet leaves it switched off", async () => {
  await platform?.stop();
  platform = startProcess(["up", "--demo", String(DEVICES)], environment);
  await platform.untilSaid(/simulated fleet of 20 devices runs/);
  await until(fleet, ({ online }) => online === TENANT_DEVICES);
  expect((await api.call("listClaimTokens", { params })).items).toHaveLength(1);
  expect(await platform.stop()).toBe(0);

  platform = startProcess(["up", "--no-fleet"], environment);
  await platform.untilSaid(/Ctrl-C stops everything/);
  expect(await platform.stop()).toBe(0);
  expect(platform.output()).not.toMatch(/simulated fleet/);
});
