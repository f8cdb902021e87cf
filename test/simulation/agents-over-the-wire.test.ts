import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ApplicationContext, enrolByClaim, writeProvisioning } from "../../src/agent/index.ts";
import { type ReleaseManifest, signDocument } from "../../src/protocol/index.ts";
import { createFleet, type Fleet, sha256Of } from "../../src/simulator/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startFileAgent } from "../support/file-agent.ts";
import { startTestPlatform, type TestPlatform } from "../support/platform.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";
import { type SupervisedAgent, startSupervisedAgent } from "../support/supervised-agent.ts";

const TENANT = "acme";
const DEVICES = 8;
const keys = { root: makeKey(), release: [makeKey()] };
const oldImage = randomBytes(200_000);
const newImage = Buffer.concat([oldImage.subarray(0, 190_000), randomBytes(20_000)]);

let platform: TestPlatform;
let fleet: Fleet;
let rootPem: string;
let claimToken: string;
let supervised: SupervisedAgent | undefined;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-device-"));

const release = (version: string, image: Buffer, more: Partial<ReleaseManifest> = {}) =>
  signDocument(makeManifest(image, { tenant: TENANT, version, ...more }), keys.release);

beforeAll(async () => {
  platform = await startTestPlatform();
  const { tenancy, identity, firmware } = platform.modules;
  await tenancy.tenants.create({ id: TENANT, name: "Acme" }, SYSTEM_ACTOR);
  await identity.ensureTenantAuthority(TENANT);
  rootPem = await identity.rootCertificatePem();
  const online = await firmware.ensureOnlineKeys(TENANT);
  await firmware.setTrustRoot(TENANT, makeRoot(TENANT, keys, online), SYSTEM_ACTOR);
  const made = await identity.claimTokens.create(
    TENANT,
    {
      name: "factory",
      devicePattern: "hub-*",
      product: "hub",
      hardwareRevision: "a",
      maxUses: 100,
      expiresAt: new Date(Date.now() + 3_600_000),
    },
    SYSTEM_ACTOR,
  );
  claimToken = made.token;
  fleet = createFleet({
    count: DEVICES,
    provisioning: (index) => enrol(`hub-${index}`),
    factory: { image: oldImage, release: release("1.0.0", oldImage) },
    spreadMs: 500,
    settings: { heartbeatIntervalMs: 1_000 },
  });
  await fleet.start();
});
afterAll(async () => {
  await supervised?.stop();
  await fleet?.stop();
  await platform?.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

function enrol(device: string, token = claimToken) {
  const identity = { tenant: TENANT, device, product: "hub", hardwareRevision: "a" };
  return enrolByClaim({
    ...identity,
    httpsUrl: platform.httpsUrl,
    root: rootPem,
    claimToken: token,
  });
}

const at = (name: string) => path.join(folder, name);
const shell = (line: string) => ["sh", "-c", `cd ${folder} && { ${line}; }`];

/** Publishes a release of an image and its components, as `vautn firmware publish` does. */
async function publish(version: string, image: Buffer, parts: Record<string, string> = {}) {
  const { firmware } = platform.modules;
  const files: string[] = [];
  const components = [];
  for (const [component, text] of Object.entries(parts)) {
    const content = Buffer.from(text);
    const sizeBytes = content.length;
    const given = { sizeBytes, metadata: "", name: component, expectedSha256: null };
    const { id } = await firmware.uploads.create(TENANT, given, SYSTEM_ACTOR);
    const piece = { offset: 0, content: Readable.from([content]) };
    await firmware.uploads.append(TENANT, id, piece, SYSTEM_ACTOR);
    files.push(id);
    components.push({ component, name: component, sha256: sha256Of(content), sizeBytes });
  }
  const more = components.length > 0 ? { components } : {};
  const envelope = release(version, image, more);
  const input = { envelope, image: Readable.from([image]), notes: "", files };
  return firmware.publish(TENANT, input, SYSTEM_ACTOR);
}

async function rollOut(name: string, releaseId: string, query: string) {
  const made = await platform.api("POST", `/tenants/${TENANT}/rollouts`, {
    ...{ name, releaseId, query },
    policy: {
      stages: [{ name: "all", percent: 100 }],
      ...{ minSoakSeconds: 0, maxSoakSeconds: 1, holdbackPercent: 0, evaluateEverySeconds: 1 },
    },
  });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  return async () =>
    (await platform.api("GET", `/tenants/${TENANT}/rollouts/${made.body.id}`)).body;
}

async function until(holds: () => Promise<boolean>, timeoutMs = 240_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`did not happen in ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test("agents enrol with a claim token and are online over mutual TLS", async () => {
  await fleet.waitUntil(({ connected }) => connected === DEVICES, 60_000);
  await until(async () => {
    const { body } = await platform.api("GET", `/tenants/${TENANT}/devices?q=online`);
    return body.items?.length === DEVICES;
  });
  const { body } = await platform.api("GET", `/tenants/${TENANT}/devices`);
  const hash = sha256Of(oldImage);
  for (const device of body.items) {
    expect(device.firmware).toMatchObject({ version: "1.0.0", sha256: hash });
  }
});

test("a wrong token and a foreign device id are refused with the platform's reason", async () => {
  await expect(enrol("hub-99", "vct_wrong")).rejects.toThrow(/refused with 40[13]/);
  await expect(enrol("pump-1")).rejects.toThrow(/refused with 403/);
});

test("a command comes back with its result", async () => {
  const sent = await platform.api("POST", `/tenants/${TENANT}/commands`, {
    devices: ["hub-0"],
    name: "ping",
    args: {},
    ttlSeconds: 60,
  });
  const id = sent.body.items[0].id;
  await until(async () => {
    const { body } = await platform.api("GET", `/tenants/${TENANT}/commands/${id}`);
    return body.state === "succeeded" || body.status === "succeeded";
  });
});

test("a command to the fleet brings every device a new certificate, and ends the old ones", async () => {
  const devices = Array.from({ length: DEVICES }, (_, index) => `hub-${index}`);
  const sent = await platform.api("POST", `/tenants/${TENANT}/commands`, {
    devices,
    name: "rotate-certificate",
    args: {},
    ttlSeconds: 60,
  });
  const ids: string[] = sent.body.items.map((item: { id: string }) => item.id);
  await until(async () => {
    const answers = await Promise.all(
      ids.map((id) => platform.api("GET", `/tenants/${TENANT}/commands/${id}`)),
    );
    return answers.every(({ body }) => body.status === "succeeded");
  });
  for (const device of devices) {
    const [current, ...older] = await platform.modules.identity.certificates(TENANT, device);
    expect(current).toMatchObject({ status: "active", confirmedAt: expect.any(Date) });
    expect(older.map(({ status }) => status)).toEqual(["revoked"]);
  }
});

test("the bundled agent enrols itself by its configuration and reports what runs", async () => {
  const write = (name: string, content: string | Buffer) =>
    fs.writeFileSync(path.join(folder, name), content);
  write("root.pem", rootPem);
  write("claim", claimToken);
  write("image.bin", oldImage);
  write("manifest.json", JSON.stringify(release("1.0.0", oldImage)));
  const config = {
    provisioning: "identity",
    data: "data",
    slotSizeBytes: 1_000_000,
    factory: { image: "image.bin", manifest: "manifest.json" },
    enrolment: {
      httpsUrl: platform.httpsUrl,
      root: "root.pem",
      tenant: TENANT,
      device: "hub-bundled",
      product: "hub",
      hardwareRevision: "a",
      claimTokenFile: "claim",
    },
    heartbeatIntervalSeconds: 1,
    // What the image needs beside it: the settings make it fit to run, or not.
    selfTest: ["grep", "-q", "good", at("settings.txt")],
    components: [
      {
        ...{ component: "bootloader", kind: "command" },
        install: shell("[ -e loader.old ] || cp loader loader.old; cp {file} loader"),
        revert: shell("[ ! -e loader.old ] || mv loader.old loader"),
        confirm: shell("rm -f loader.old"),
      },
      { component: "settings", kind: "file", path: at("settings.txt") },
    ],
  };
  write("loader", "loader of the factory");
  write("settings.txt", "good of the factory");
  write("agent.json", JSON.stringify(config));
  supervised = startSupervisedAgent(path.join(folder, "agent.json"));
  await until(async () => {
    const { status, body } = await platform.api("GET", `/tenants/${TENANT}/devices/hub-bundled`);
    return status === 200 && body.firmware?.version === "1.0.0";
  });
});

test("a rollout brings every device onto the release by patch, and each says so after its boot", async () => {
  const { firmware } = platform.modules;
  // A patch is made from what the platform has: the devices' own release as well.
  await publish("1.0.0", oldImage);
  const newest = await publish("1.1.0", newImage);
  // Built ahead: a device that asks before its patch is there gets the full image.
  const [target, source] = [newImage, oldImage].map((image) => sha256Of(image));
  await firmware.requestDeltas(TENANT, target as string, [{ sha256: source as string }]);
  await until(async () => {
    const deltas = await firmware.deltas(TENANT, target as string);
    return (
      deltas.length > 1 && deltas.every(({ status }) => status === "ready" || status === "skipped")
    );
  });
  const rollout = await rollOut("to 1.1.0", newest.id, 'product = "hub"');
  await fleet.waitUntil(({ byVersion }) => byVersion["1.1.0"] === DEVICES, 90_000);
  const { downloadedBytes } = fleet.status();
  expect(downloadedBytes).toBeLessThan(DEVICES * newImage.length * 0.5);
  await until(async () => {
    return (await rollout()).totals?.succeeded === DEVICES + 1;
  });
  expect(supervised?.restarts()).toBe(1);
  // The next one is refused to devices that take part in this one.
  await until(async () => (await rollout()).state === "succeeded");
});

test("a release of several parts arrives whole, and one part that does not work takes all back", async () => {
  const here = () => ["loader", "settings.txt"].map((name) => fs.readFileSync(at(name), "utf8"));
  const running = async () =>
    (await platform.api("GET", `/tenants/${TENANT}/devices/hub-bundled`)).body.firmware?.version;
  const image = Buffer.concat([newImage.subarray(0, 150_000), randomBytes(1_000)]);
  const good = { settings: "good of 1.2.0", bootloader: "loader of 1.2.0" };
  const whole = await publish("1.2.0", image, good);
  const arrived = await rollOut("to 1.2.0", whole.id, 'id = "hub-bundled"');
  await until(async () => (await arrived()).state === "succeeded");
  expect((await arrived()).totals).toMatchObject({ succeeded: 1 });
  expect(await running()).toBe("1.2.0");
  expect(here()).toEqual([good.bootloader, good.settings]);

  // Image and bootloader are good; what the settings do shows on the trial boot alone.
  const bad = { settings: "poor of 1.3.0", bootloader: "loader of 1.3.0" };
  const next = Buffer.concat([image, randomBytes(1_000)]);
  const half = await publish("1.3.0", next, bad);
  const before = supervised?.restarts() ?? 0;
  const refused = await rollOut("to 1.3.0", half.id, 'id = "hub-bundled"');
  await until(async () => (await refused()).totals?.failed === 1);
  await until(async () => (await running()) === "1.2.0");
  expect(here()).toEqual([good.bootloader, good.settings]);
  expect(supervised?.restarts()).toBe(before + 2);
  const leftovers = fs.readdirSync(folder).filter((name) => /old|staged|previous|none/.test(name));
  expect(leftovers).toEqual([]);
});

test("a device that sleeps says so first, and is missed by nobody until it ought to be awake", async () => {
  await writeProvisioning(at("sleeper/identity"), await enrol("hub-sleeper"));
  const shown = async () =>
    (await platform.api("GET", `/tenants/${TENANT}/devices/hub-sleeper`)).body;
  const { promise: context, resolve } = Promise.withResolvers<ApplicationContext>();
  const application = { start: async (given: ApplicationContext) => resolve(given) };
  const awake = await startFileAgent(at("sleeper"), { application });
  await until(async () => (await shown()).presence === "online");
  await (await context).sleep(3_600);
  const sleepsUntil = async () => Date.parse((await shown()).asleepUntil ?? "");
  await until(async () => (await sleepsUntil()) > Date.now() + 3_500_000);
  await until(async () => (await shown()).health === "healthy");
  await awake.agent.stop();
  const again = await startFileAgent(at("sleeper"));
  await until(async () => (await shown()).asleepUntil === null);
  await again.agent.stop();
});
