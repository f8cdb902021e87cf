import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { enrolByClaim } from "../../src/agent/index.ts";
import { type Random, randomInteger, seededRandom } from "../../src/kernel/index.ts";
import { signDocument } from "../../src/protocol/index.ts";
import { createFleet, type DeviceFault, type Fleet } from "../../src/simulator/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestPlatform, type TestPlatform } from "../support/platform.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";

const SEED = Number(process.env.VAUTN_TEST_SEED ?? 20_261_123);
const DEVICES = 200;
const CANARIES = 5;
const TENANT = "acme";
/** Half a minute on two idle cores; a machine with other work takes its time. */
const PATIENCE_MS = 360_000;
const QUERY = 'product = "hub"';

const keys = { root: makeKey(), release: [makeKey()] };
const random = seededRandom(SEED);
const oldImage = randomBytes(60_000);
const newImage = Buffer.concat([oldImage.subarray(0, 55_000), randomBytes(6_000)]);
const badImage = Buffer.concat([newImage.subarray(0, 50_000), randomBytes(6_000)]);
const sha256 = (image: Buffer) => createHash("sha256").update(image).digest("hex");

const deviceId = (index: number) => `hub-${String(index).padStart(3, "0")}`;
const all = Array.from({ length: DEVICES }, (_, index) => deviceId(index));

type Kind = "healthy" | "disturbed" | "bad";

/** What the seed does to a device: a fault of its image ends the update, any other delays it. */
function drawFault(from: Random): { kind: Kind; fault?: DeviceFault } {
  const onImage = sha256(newImage);
  switch (randomInteger(from, 16)) {
    case 0:
      return { kind: "bad", fault: { kind: "crash-loop", everyMs: 60, onImage } };
    case 1:
      return { kind: "bad", fault: { kind: "hang-at-boot", onImage } };
    case 2:
      return { kind: "bad", fault: { kind: "failing-self-test", onImage } };
    case 3:
      return { kind: "bad", fault: { kind: "silence", afterMs: 0, onImage } };
    case 4:
    case 5: {
      const afterOperations = 1 + randomInteger(from, 90);
      return { kind: "disturbed", fault: { kind: "power-cut", afterOperations, outageMs: 300 } };
    }
    case 6: {
      const link = { meanSessionMs: 4_000, brokenDownloads: 0.5 };
      return { kind: "disturbed", fault: { kind: "bad-link", ...link } };
    }
    default:
      return { kind: "healthy" };
  }
}

const fates = new Map(all.map((device) => [device, drawFault(random)]));
const bad = all.filter((device) => fates.get(device)?.kind === "bad");

let platform: TestPlatform;
let fleet: Fleet;

beforeAll(async () => {
  platform = await startTestPlatform({ inProcess: false });
  const { tenancy, identity, firmware } = platform.modules;
  const settings = { heartbeatIntervalSeconds: 5, offlineAfterMissed: 6 };
  await tenancy.tenants.create({ id: TENANT, name: "Acme", settings }, SYSTEM_ACTOR);
  const online = await firmware.ensureOnlineKeys(TENANT);
  await firmware.setTrustRoot(TENANT, makeRoot(TENANT, keys, online), SYSTEM_ACTOR);
  const root = await identity.rootCertificatePem();
  const claim = {
    name: "factory",
    devicePattern: "hub-*",
    product: "hub",
    hardwareRevision: "a",
    maxUses: DEVICES,
    expiresAt: new Date(Date.now() + 3_600_000),
  };
  const { token: claimToken } = await identity.claimTokens.create(TENANT, claim, SYSTEM_ACTOR);
  const enrol = (device: string) =>
    enrolByClaim({
      tenant: TENANT,
      device,
      product: "hub",
      hardwareRevision: "a",
      httpsUrl: platform.httpsUrl,
      root,
      claimToken,
    });
  const release = signDocument(
    makeManifest(oldImage, { tenant: TENANT, version: "1.0.0" }),
    keys.release,
  );
  const healthy = { bootMs: 100, selfTestMs: 300, telemetryIntervalMs: 10_000 };
  const crashing = [{ kind: "crash-loop", everyMs: 1_000 }] as const;
  fleet = createFleet({
    count: DEVICES,
    seed: SEED,
    spreadMs: 1_000,
    provisioning: (index) => enrol(deviceId(index)),
    factory: { image: oldImage, release },
    behaviours: {
      [sha256(oldImage)]: healthy,
      [sha256(newImage)]: healthy,
      [sha256(badImage)]: { ...healthy, faults: crashing },
    },
    settings: {
      heartbeatIntervalMs: 5_000,
      trialTries: 2,
      connection: {
        backOff: { baseMs: 200, capMs: 2_000 },
        connectTimeoutMs: 30_000,
        publishTimeoutMs: 30_000,
      },
    },
    watchdogMs: 1_500,
  });
  await fleet.start();
});
afterAll(async () => {
  await fleet?.stop();
  await platform?.stop();
});

interface DeviceView {
  id: string;
  deviceId: string;
  state: string;
  failure: { element: string } | null;
  firmware: { version: string } | null;
  connection: { state: string };
}

/** Every item of a list, a page after the other. */
async function list(path: string): Promise<DeviceView[]> {
  const items: DeviceView[] = [];
  for (let cursor = ""; ; ) {
    const { body } = await platform.api("GET", `/tenants/${TENANT}${path}?limit=200${cursor}`);
    items.push(...body.items);
    if (!body.nextCursor) return items;
    cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`;
  }
}

async function until<T>(
  what: string,
  ask: () => Promise<T>,
  wrong: (answer: T) => unknown[],
): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    const left = wrong(answer);
    if (left.length === 0) return answer;
    if (Date.now() > end) {
      const told = JSON.stringify(left.slice(0, 5));
      throw new Error(`seed ${SEED}: ${what} did not come true; ${left.length} wrong: ${told}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function startRollout(version: string, image: Buffer, policy: object): Promise<string> {
  const envelope = signDocument(makeManifest(image, { tenant: TENANT, version }), keys.release);
  const input = { envelope, image: Readable.from([image]), notes: "" };
  const { id: releaseId } = await platform.modules.firmware.publish(TENANT, input, SYSTEM_ACTOR);
  const body = { name: `to ${version}`, releaseId, query: QUERY, policy };
  const made = await platform.api("POST", `/tenants/${TENANT}/rollouts`, body);
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  return made.body.id;
}

async function goOnIfAsked(id: string): Promise<void> {
  const rollout = `/tenants/${TENANT}/rollouts/${id}`;
  const { body } = await platform.api("GET", rollout);
  if (body.state !== "needs-decision") return;
  const approved = await platform.api("POST", `${rollout}/approve`, {});
  if (approved.status === 200) return;
  // In the last stage there is none to approve.
  const resumed = await platform.api("POST", `${rollout}/resume`, {});
  expect(resumed.status, JSON.stringify([approved.body, resumed.body])).toBe(200);
}

const pace = { minSoakSeconds: 0, maxSoakSeconds: 1, evaluateEverySeconds: 0.5 };
const patient = 300_000;
const deadlines = {
  offered: patient,
  downloading: patient,
  installing: patient,
  rebooting: patient,
  // What a silent image has to say for itself.
  confirming: 15_000,
};

test("200 agents with seeded faults converge: the good on the target, the bad reported and on the old version", async () => {
  await fleet.waitUntil(({ connected }) => connected === DEVICES, PATIENCE_MS);
  for (const [device, { fault }] of fates) if (fault) fleet.inject(device, fault);
  const id = await startRollout("1.1.0", newImage, {
    ...pace,
    stages: [{ name: "all", percent: 100, rampSeconds: 6 }],
    holdbackPercent: 0,
    deadlines,
    // A policy for those who want it through whatever it costs: nothing here stops it.
    alpha: 1e-200,
    toleratedFailureShare: 0.9,
    canaryCrashLimit: 1_000_000,
    // Bad devices speak against it, the more the earlier they do: then a person is asked, soon.
    askAfterSeconds: 30,
  });

  await until(
    "the end of every update",
    async () => {
      await goOnIfAsked(id);
      return list(`/rollouts/${id}/devices`);
    },
    (devices) =>
      devices.filter(({ deviceId: device, state, failure }) =>
        bad.includes(device) ? state !== "fell-back" || !failure?.element : state !== "succeeded",
      ),
  );
  await until(
    "the version of every device",
    () => list("/devices"),
    (devices) =>
      devices.filter(
        ({ id: device, firmware }) =>
          firmware?.version !== (bad.includes(device) ? "1.0.0" : "1.1.0"),
      ),
  );
  const { devices } = fleet.status();
  for (const { device, agent } of devices) {
    const expected = bad.includes(device) ? "1.0.0" : "1.1.0";
    expect(agent?.firmware.version, `seed ${SEED}, ${device}`).toBe(expected);
  }
  // The gate looks once more when the last device has ended.
  const [body] = await until(
    "the end of the rollout",
    async () => {
      const { body } = await platform.api("GET", `/tenants/${TENANT}/rollouts/${id}`);
      await goOnIfAsked(id);
      return [body];
    },
    (rollouts) => rollouts.filter(({ state }) => state !== "succeeded"),
  );
  expect(body, `seed ${SEED}`).toMatchObject({
    totals: { succeeded: DEVICES - bad.length, failed: bad.length },
  });
});

test("a firmware that crashes on all of them is stopped at the canaries, as the policy says", async () => {
  for (const device of all) fleet.heal(device);
  const id = await startRollout("1.2.0", badImage, {
    ...pace,
    stages: [
      { name: "canary", devices: CANARIES, minSoakSeconds: 20 },
      { name: "all", percent: 100 },
    ],
    maxSoakSeconds: 20,
  });
  await until(
    "the pause",
    () => platform.api("GET", `/tenants/${TENANT}/rollouts/${id}`),
    ({ body }) => (body.state === "paused" ? [] : [body.state, body.lastVerdict]),
  );
  const touched = (await list(`/rollouts/${id}/devices`)).filter(
    ({ state }) => !["pending", "withdrawn"].includes(state),
  );
  expect(touched.length, `seed ${SEED}`).toBeLessThanOrEqual(CANARIES);
  const canaries = touched.map(({ deviceId: device }) => device);
  for (const { id: device, firmware } of await list("/devices")) {
    if (canaries.includes(device)) continue;
    const left = bad.includes(device) ? "1.0.0" : "1.1.0";
    expect(firmware?.version, `seed ${SEED}, ${device}`).toBe(left);
  }
});
