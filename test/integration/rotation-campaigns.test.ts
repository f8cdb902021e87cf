import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeProvisioning } from "../../src/agent/index.ts";
import { createRotationCampaigns, type RotationCampaigns } from "../../src/identity/index.ts";
import { seededRandom } from "../../src/kernel/random.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { type FileAgent, startFileAgent } from "../support/file-agent.ts";
import { RawClient, until } from "../support/gateway.ts";
import {
  type EnrolledDevice,
  type RotationPlatform,
  startRotationPlatform,
} from "../support/rotation-platform.ts";

const PACE = { query: "", concurrency: 2, deadlineSeconds: 60, jitterSeconds: 0 };

describe("a campaign of rotations", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-campaign-"));
  let platform: RotationPlatform;
  let campaigns: RotationCampaigns;

  beforeAll(async () => {
    platform = await startRotationPlatform();
    const { test, clock, tenancy, commands } = platform;
    const random = seededRandom(1);
    campaigns = createRotationCampaigns({ db: test.db, clock, random, tenancy, commands });
  });
  afterAll(async () => {
    await platform?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const create = (deviceIds: string[], pace: Partial<typeof PACE> = {}) =>
    campaigns.create("acme", { ...PACE, ...pace, deviceIds }, SYSTEM_ACTOR);

  /** The commands of a campaign that the queue holds for these devices. */
  async function sentTo(ids: readonly string[]): Promise<{ id: string; deviceId: string }[]> {
    const { items } = await platform.commands.list("acme", { limit: 500 });
    return items.filter((one) => ids.includes(one.deviceId) && one.name === "rotate-certificate");
  }

  /** As if the device had got and used a new certificate. */
  async function renew(deviceId: string): Promise<void> {
    const next = await platform.enroll(deviceId);
    const client = await RawClient.connect(platform.gateway.port, next);
    client.send({
      cmd: "publish",
      topic: `tenants/acme/devices/${deviceId}/certificate/confirm`,
      payload: JSON.stringify({ serial: next.serial }),
      ...{ qos: 1, dup: false, retain: false, messageId: 1 },
    });
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
    client.destroy();
  }

  it("tells so many devices at a time, takes up others as they are done, and ends", async () => {
    const ids = ["p-1", "p-2", "p-3", "p-4", "p-5"];
    for (const id of ids) await platform.enroll(id);
    const { id } = await create(ids);
    await campaigns.tick("acme");
    expect(await sentTo(ids)).toHaveLength(2);
    await campaigns.tick("acme");
    expect(await sentTo(ids)).toHaveLength(2);
    for (let round = 0; round < 5; round += 1) {
      const { items } = await campaigns.devices("acme", id, { state: "rotating" });
      expect(items.length).toBeLessThanOrEqual(2);
      for (const device of items.slice(0, 1)) await renew(device.deviceId);
      await campaigns.tick("acme");
    }
    expect(await campaigns.get("acme", id)).toMatchObject({
      ...{ status: "finished", total: 5, succeeded: 5, waiting: 0, rotating: 0, failed: 0 },
    });
    expect(await sentTo(ids)).toHaveLength(5);
  });

  it("writes down who failed, at which step and why, and goes on", async () => {
    const ids = ["f-1", "f-2", "f-3"];
    for (const id of ids) await platform.enroll(id);
    const { id } = await create(ids, { concurrency: 3 });
    await campaigns.tick("acme");
    const sent = await sentTo(ids);
    const commandOf = (deviceId: string) =>
      sent.find((one) => one.deviceId === deviceId)?.id as string;
    const peer = (deviceId: string) => ({ tenantId: "acme", deviceId });
    const rejected = { status: "rejected", error: "unknown command" } as const;
    await platform.commands.recordResult(peer("f-1"), commandOf("f-1"), rejected);
    const error = { element: "server", message: "no route to host" };
    await platform.identity.rotation.record(peer("f-2"), { step: "trial", error });
    await campaigns.tick("acme");
    expect(await campaigns.get("acme", id)).toMatchObject({ failed: 1, rotating: 2 });
    platform.shift(61_000);
    await campaigns.tick("acme");
    platform.shift(0);
    const { items } = await campaigns.devices("acme", id, {});
    expect(items).toMatchObject([
      { deviceId: "f-1", state: "failed", step: "command", error: "unknown command" },
      { deviceId: "f-2", state: "failed", step: "trial", error: "no route to host" },
      { deviceId: "f-3", state: "failed", error: "not done by the deadline" },
    ]);
    expect((await campaigns.get("acme", id)).status).toBe("finished");
  });

  it("leaves out who cannot rotate now, or does so in another campaign", async () => {
    const ids = ["s-1", "s-2", "s-3"];
    for (const id of ids) await platform.enroll(id);
    await platform.identity.revoke("acme", { deviceId: "s-1" }, "gone", SYSTEM_ACTOR);
    const first = await create(["s-2"]);
    const second = await create(ids, { concurrency: 5 });
    expect(second).toMatchObject({ total: 3, skipped: 2, waiting: 1 });
    await platform.identity.quarantines.set("acme", "s-3", "odd", SYSTEM_ACTOR);
    await campaigns.tick("acme");
    const { items } = await campaigns.devices("acme", second.id, {});
    expect(items.map((one) => one.error)).toEqual([
      "the device is revoked",
      "the device rotates in another campaign",
      expect.stringContaining("no active device s-3"),
    ]);
    expect((await campaigns.get("acme", second.id)).status).toBe("finished");
    await campaigns.cancel("acme", first.id, SYSTEM_ACTOR);
  });

  it("pauses, goes on and is cancelled, and calls back what waits", async () => {
    const ids = ["c-1", "c-2", "c-3"];
    for (const id of ids) await platform.enroll(id);
    const { id } = await create(ids, { concurrency: 1 });
    await campaigns.pause("acme", id, SYSTEM_ACTOR);
    await campaigns.tick("acme");
    expect(await sentTo(ids)).toEqual([]);
    await expect(campaigns.pause("acme", id, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "conflict",
    });
    await campaigns.resume("acme", id, SYSTEM_ACTOR);
    await campaigns.tick("acme");
    const [command] = await sentTo(ids);
    expect(await campaigns.cancel("acme", id, SYSTEM_ACTOR)).toMatchObject({
      ...{ status: "cancelled", cancelled: 3, waiting: 0 },
    });
    expect(await platform.commands.get("acme", command?.id as string)).toMatchObject({
      status: "cancelled",
    });
    await campaigns.tick("acme");
    expect(await sentTo(ids)).toHaveLength(1);
    const audit = await platform.tenancy.audit.list("acme", { limit: 10 });
    expect(audit.items.map((entry) => entry.action)).toEqual(
      expect.arrayContaining(["rotation-campaign.pause", "rotation-campaign.cancel"]),
    );
  });

  it("does not stand still because devices that nobody reaches hold its slots", async () => {
    const ids = ["o-1", "o-2", "o-3", "o-4"];
    for (const id of ids) await platform.enroll(id);
    const { id } = await create(ids, { concurrency: 1 });
    const rotating = async () => {
      await campaigns.tick("acme");
      const { items } = await campaigns.devices("acme", id, { state: "rotating" });
      return items.map(({ deviceId }) => deviceId);
    };
    expect(await rotating()).toEqual(["o-1"]);
    // Nobody has heard of the first one when another comes.
    await platform.test.db.tenant("acme", (tx) =>
      tx
        .updateTable("device_states")
        .set({ connected: true })
        .where("device_id", "in", ["o-3", "o-4"])
        .execute(),
    );
    expect(await rotating()).toEqual(["o-1", "o-3"]);
    // One of each kind, and no more; nor does one who has come make room for another who may.
    expect(await rotating()).toEqual(["o-1", "o-3"]);
    await platform.test.db.tenant("acme", (tx) =>
      tx
        .updateTable("device_states")
        .set({ connected: true })
        .where("device_id", "=", "o-1")
        .execute(),
    );
    expect(await rotating()).toEqual(["o-1", "o-3"]);
    await campaigns.cancel("acme", id, SYSTEM_ACTOR);
  });

  it("goes on though another campaign cannot", async () => {
    for (const id of ["ill", "well"]) await platform.enroll(id);
    const first = await create(["ill"]);
    const second = await create(["well"]);
    const { test, clock, tenancy, commands } = platform;
    const faulty = createRotationCampaigns({
      ...{ db: test.db, clock, tenancy, random: seededRandom(1) },
      commands: {
        cancel: (...given) => commands.cancel(...given),
        send(tenantId, command, ...rest) {
          if (command.deviceIds.includes("ill"))
            throw new Error("the queue does not like this one");
          return commands.send(tenantId, command, ...rest);
        },
      },
    });
    await expect(faulty.tick("acme")).rejects.toThrow("does not like this one");
    expect(await sentTo(["well"])).toHaveLength(1);
    expect(await campaigns.get("acme", first.id)).toMatchObject({ rotating: 0, waiting: 1 });
    for (const { id } of [first, second]) await campaigns.cancel("acme", id, SYSTEM_ACTOR);
  });

  it("takes a device up once though two campaigns begin with it at one moment", async () => {
    await platform.enroll("wanted");
    const made = await Promise.all([create(["wanted"]), create(["wanted"]), create(["wanted"])]);
    expect(made.map(({ skipped }) => skipped).sort()).toEqual([0, 1, 1]);
    for (const { id, status } of made) {
      if (status === "running") await campaigns.cancel("acme", id, SYSTEM_ACTOR).catch(() => {});
    }
  });

  it("sends no command twice though a step was interrupted after the sending", async () => {
    await platform.enroll("twice");
    const { id } = await create(["twice"]);
    await campaigns.tick("acme");
    await platform.test.db.tenant("acme", (tx) =>
      tx
        .updateTable("rotation_campaign_devices")
        .set({ state: "scheduled", command_id: null, sent_at: null })
        .where("campaign_id", "=", id)
        .execute(),
    );
    await campaigns.tick("acme");
    expect(await sentTo(["twice"])).toHaveLength(1);
    expect(await campaigns.get("acme", id)).toMatchObject({ rotating: 1 });
    await campaigns.cancel("acme", id, SYSTEM_ACTOR);
  });

  it("is no other tenant's affair", async () => {
    await platform.enroll("mine");
    const { id } = await create(["mine"]);
    await platform.tenancy.tenants.create({ id: "globex", name: "g" }, SYSTEM_ACTOR);
    const notFound = { code: "not-found" };
    await expect(campaigns.get("globex", id)).rejects.toMatchObject(notFound);
    await expect(campaigns.devices("globex", id, {})).rejects.toMatchObject(notFound);
    for (const verb of ["pause", "resume", "cancel"] as const) {
      const steered = campaigns[verb]("globex", id, SYSTEM_ACTOR);
      await expect(steered).rejects.toMatchObject(notFound);
    }
    const foreign = campaigns.create("globex", { ...PACE, deviceIds: ["mine"] }, SYSTEM_ACTOR);
    await expect(foreign).rejects.toMatchObject(notFound);
    await campaigns.tick("globex");
    expect((await campaigns.list("globex", {})).items).toEqual([]);
    await campaigns.cancel("acme", id, SYSTEM_ACTOR);
  });

  it("has real agents renew their certificates", async () => {
    const ids = ["agent-1", "agent-2", "agent-3"];
    const before = new Map<string, EnrolledDevice>();
    const agents: FileAgent[] = [];
    for (const device of ids) {
      const identity = await platform.enroll(device);
      before.set(device, identity);
      await writeProvisioning(path.join(folder, device, "identity"), {
        ...{ tenant: "acme", device, product: "sensor", hardwareRevision: "r1" },
        ...{ mqttUrl: platform.mqttUrl, httpsUrl: platform.httpsUrl },
        ...{ key: identity.key, certificate: identity.cert },
        ...{ root: platform.rootPem, trustRoot: platform.trustRoot },
      });
      agents.push(await startFileAgent(path.join(folder, device), { way: "mqtt" }));
    }
    try {
      await until(() => agents.every(({ agent }) => agent.status()?.connected), 20_000);
      const { id } = await create(ids, { concurrency: 2 });
      await until(async () => {
        await campaigns.tick("acme");
        return (await campaigns.get("acme", id)).status === "finished";
      }, 40_000);
      expect(await campaigns.get("acme", id)).toMatchObject({ succeeded: 3, failed: 0 });
      for (const [index, device] of ids.entries()) {
        const serial = agents[index]?.agent.status()?.certificate?.serial;
        expect(serial).not.toBe(before.get(device)?.serial);
      }
    } finally {
      await Promise.all(agents.map(({ agent }) => agent.stop()));
    }
  });
});
