import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MessageRouter } from "../../src/gateway/message-router.ts";
import { signDocument } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";

let test: TestApi;
const peer = { tenantId: "acme", deviceId: "hub-1", serial: "1", notAfter: new Date(4e12) };

const limit = async (settings: Record<string, number>) => {
  const answer = await test.call("PATCH", "/tenants/acme", { body: { settings } });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  await test.modules.tenancy.usage.flush();
};
const used = async (quota: string) => {
  const { body } = await test.call("GET", "/tenants/acme/usage", { key: test.acme });
  return body.items.find((item: { quota: string }) => item.quota === quota);
};
const send = (kind: "telemetry" | "heartbeat", body: object) => {
  const router = new MessageRouter(test.modules as never);
  return router.route({
    ...{ peer, publish: { kind } as never, payload: Buffer.from(JSON.stringify(body)) },
    ...{ contentType: undefined, traceparent: undefined, receivedAt: Date.now() },
    reply: () => undefined,
  });
};
const measure = (seq: number) => send("telemetry", { ts: Date.now(), seq, values: { a: 1, b: 2 } });

beforeAll(async () => {
  test = await startTestApi();
  const { alerts, tenancy, devices } = test.modules;
  tenancy.usage.onNews(async (tenantId, { quota, percent }) =>
    alerts.raise(tenantId, {
      ...{ key: `quota:${quota}`, kind: `quota-${percent}`, severity: "warning", title: quota },
      ...{ subjectKind: "quota", subjectId: quota },
    }),
  );
  const device = { id: "hub-1", product: "hub", hardwareRevision: "a" };
  await devices.register(null, "acme", device, SYSTEM_ACTOR);
});
afterAll(() => test.close());

describe("the quotas of a tenant", () => {
  it("warn at four fifths, refuse at the limit, and hurt nobody else", async () => {
    await limit({ maxMessagesPerDay: 5 });
    for (let seq = 1; seq <= 4; seq += 1) await measure(seq);
    await test.modules.tenancy.usage.flush();
    expect(await used("messages")).toMatchObject({ used: 4, limit: 5, state: "warning" });
    await measure(5);
    const refused = await measure(6).catch((error) => error);
    expect(refused).toMatchObject({ code: "quota-exceeded", details: { quota: "messages" } });
    expect(await used("messages")).toMatchObject({ used: 5, state: "reached" });
    expect(await used("points")).toMatchObject({ used: 10, limit: 0, state: "ok" });
    // Told once each, however often it is looked at.
    await used("messages");
    const { body } = await test.call("GET", "/tenants/acme/audit?limit=50");
    const told = body.items.filter(({ targetId }: { targetId: string }) => targetId === "messages");
    expect(told.map(({ action }: { action: string }) => action)).toEqual([
      "quota.reach",
      "quota.warn",
    ]);
    const { items } = (await test.call("GET", "/tenants/acme/alerts")).body;
    expect(items).toMatchObject([{ subjectId: "messages", occurrences: 2 }]);
    const usage = (await test.call("GET", "/tenants/globex/usage")).body.items;
    expect(usage.every(({ used: amount }: { used: number }) => amount <= 1)).toBe(true);
  });

  it("never refuse what keeps a device and its update safe", async () => {
    const firmware = { version: "1.0.0", hash: "a".repeat(64), slot: "a" };
    await send("heartbeat", { ts: Date.now(), seq: 1, bootId: "b", uptimeSeconds: 1, firmware });
    expect(await used("messages")).toMatchObject({ used: 6 });
  });

  it("end with a higher limit, and a new process knows what the old one has counted", async () => {
    await limit({ maxMessagesPerDay: 100, maxPointsPerDay: 12 });
    await measure(7);
    await test.modules.tenancy.usage.flush();
    await expect(measure(8)).rejects.toMatchObject({ details: { quota: "points" } });
    await limit({ maxPointsPerDay: 0 });
    await measure(8);
  });

  it("answer 429 to the API's requests beyond their minute, with when to come again", async () => {
    await limit({ maxApiRequestsPerMinute: 3 });
    await test.call("GET", "/tenants/acme/groups", { key: test.acme });
    await test.modules.tenancy.usage.flush();
    let answer = await test.call("GET", "/tenants/acme/groups", { key: test.acme });
    for (let tries = 0; answer.status === 200 && tries < 10; tries += 1) {
      answer = await test.call("GET", "/tenants/acme/groups", { key: test.acme });
    }
    expect([answer.status, answer.body.code]).toEqual([429, "quota-exceeded"]);
    expect(answer.body.details.retryAfterSeconds).toBeGreaterThan(0);
    const other = await test.call("GET", "/tenants/globex/groups", { key: test.globex });
    expect(other.status).toBe(200);
    await test.modules.tenancy.tenants.updateSettings(
      "acme",
      { maxApiRequestsPerMinute: 0 },
      SYSTEM_ACTOR,
    );
    await test.modules.tenancy.usage.flush();
  });

  it("refuse an upload for which there is no room, and deltas once their time is spent", async () => {
    await limit({ maxStorageBytes: 1_000, maxDeltaSecondsPerDay: 1 });
    const { firmware, tenancy } = test.modules;
    const upload = { metadata: "", name: "x", expectedSha256: null };
    const begin = (sizeBytes: number) =>
      firmware.uploads.create("acme", { ...upload, sizeBytes }, SYSTEM_ACTOR);
    await begin(900);
    await expect(begin(200)).rejects.toMatchObject({ details: { quota: "storage", used: 900 } });
    tenancy.usage.count("acme", "deltaSeconds", 1);
    const asked = await firmware.requestDeltas("acme", "b".repeat(64), [
      { sha256: "a".repeat(64), formats: ["zstd-patch"], devices: 1 } as never,
    ]);
    expect(asked).toEqual({ queued: 0, unknownSources: [], leftOut: 1 });
    expect(await used("storage")).toMatchObject({ used: 900, state: "warning" });
  });

  it("hold for every way of storing, and for those who ask at the same moment", async () => {
    const { firmware, tenancy } = test.modules;
    const [keys, online] = [
      { root: makeKey(), release: [makeKey()] },
      await firmware.ensureOnlineKeys("acme"),
    ];
    await firmware.setTrustRoot("acme", makeRoot("acme", keys, online as never), SYSTEM_ACTOR);
    const image = Buffer.alloc(5_000, 7);
    const publish = (version: string) =>
      firmware.publish(
        "acme",
        {
          envelope: signDocument(makeManifest(image, { tenant: "acme", version }), keys.release),
          image: Readable.from([image]),
        },
        SYSTEM_ACTOR,
      );
    await limit({ maxStorageBytes: 5_500, maxDeltaSecondsPerDay: 0 });
    // 900 are taken by the upload above.
    await expect(publish("1.0.0")).rejects.toMatchObject({
      code: "quota-exceeded",
      details: { quota: "storage", used: 900, moreBytes: 5_000 },
    });
    await limit({ maxStorageBytes: 6_000 });
    await publish("1.0.0");
    // The same image again takes no room.
    await publish("1.0.1");
    expect(await used("storage")).toMatchObject({ used: 5_900, state: "warning" });
    const upload = { metadata: "", name: "y", expectedSha256: null, sizeBytes: 60 };
    const begun = await Promise.allSettled(
      [1, 2, 3, 4].map(() => firmware.uploads.create("acme", upload, SYSTEM_ACTOR)),
    );
    expect(begun.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await limit({ maxStorageBytes: 5_960 });
    const asked = await firmware.requestDeltas(
      "acme",
      createHash("sha256").update(image).digest("hex"),
      [{ sha256: "a".repeat(64), formats: ["zstd-patch"], devices: 1 }],
    );
    expect(asked).toEqual({ queued: 0, unknownSources: [], leftOut: 1 });
    await limit({ maxStorageBytes: 0 });
    await tenancy.usage.flush();
  });

  it("are the platform's to set", async () => {
    const body = { settings: { maxMessagesPerDay: 0 } };
    expect((await test.call("PATCH", "/tenants/acme", { key: test.acme, body })).status).toBe(403);
  });
});
