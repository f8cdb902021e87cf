import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LocalBus, subjects } from "../../src/bus/index.ts";
import { type Commands, createCommands } from "../../src/commands/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { LIMITS, VirtualClock } from "../../src/kernel/index.ts";
import type { CommandResult } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let test: TestDatabase;
let clock: VirtualClock;
let bus: LocalBus;
let tenancy: Tenancy;
let commands: Commands;
let tenants = 0;
let tenant: string;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.close());
beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  bus = new LocalBus();
  tenancy = createTenancy({ db: test.db, clock });
  commands = createCommands({ db: test.db, clock, bus, tenancy });
  tenant = `tenant-${tenants++}`;
  await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
  const devices = createDevices({ db: test.db, clock, bus, tenancy });
  for (const [id, region] of [
    ["d-1", "eu"],
    ["d-2", "eu"],
    ["d-3", "us"],
  ] as const) {
    await devices.register(null, tenant, { id, product: "hub", hardwareRevision: "a", region });
  }
});

function send(overrides: Partial<Parameters<Commands["send"]>[1]> = {}) {
  const target = overrides.query === undefined ? { deviceIds: ["d-1"] } : {};
  return commands.send(
    tenant,
    { ...target, name: "reboot", args: {}, ttlSeconds: 60, ...overrides },
    SYSTEM_ACTOR,
    TRACEPARENT,
  );
}
const peer = (deviceId = "d-1") => ({ tenantId: tenant, deviceId });
const statusOf = async (id: string) => (await commands.get(tenant, id)).status;

describe("sending commands", () => {
  it("queues them in order, with their trace, and wakes the gateway that holds the device", async () => {
    const woken: string[] = [];
    bus.subscribe("device.>", (message, subject) => woken.push(`${subject} ${message.kind}`));
    for (const name of ["first", "second", "third"]) await send({ name, args: { name } });
    const waiting = await commands.undelivered(tenant, "d-1", 10);
    expect(waiting.map((message) => message.name)).toEqual(["first", "second", "third"]);
    expect(waiting[0]).toMatchObject({
      args: { name: "first" },
      traceparent: TRACEPARENT,
      expiresAt: clock.now() + 60_000,
    });
    await new Promise(setImmediate);
    expect(woken).toEqual(Array(3).fill(`${subjects.device(tenant, "d-1")} command`));
    expect(await commands.undelivered(tenant, "d-2", 10)).toEqual([]);
  });

  it("reaches every device that a fleet query finds", async () => {
    const sent = await send({ query: "region = eu" });
    expect(sent.map((command) => command.deviceId).sort()).toEqual(["d-1", "d-2"]);
    const { items } = await tenancy.audit.list(tenant);
    expect(items[0]).toMatchObject({
      action: "command.send",
      targetId: "region = eu",
      details: { name: "reboot", devices: 2 },
    });
  });

  it("queues nothing when one of the devices is unknown", async () => {
    await expect(send({ deviceIds: ["d-1", "nobody"] })).rejects.toMatchObject({
      code: "not-found",
      details: { deviceIds: ["nobody"] },
    });
    expect(await commands.undelivered(tenant, "d-1", 10)).toEqual([]);
  });

  it("refuses more than a device's queue holds", async () => {
    await test.db.tenant(tenant, (tx) =>
      tx
        .insertInto("commands")
        .values(
          Array.from({ length: LIMITS.commandsQueuedPerDevice }, (_, index) => ({
            tenant_id: tenant,
            id: `00000000-0000-7000-8000-${String(index).padStart(12, "0")}`,
            device_id: "d-1",
            name: "x",
            args: {},
            status: "queued" as const,
            created_at: new Date(clock.now()),
            created_by: "test",
            expires_at: new Date(clock.now() + 1_000),
          })),
        )
        .execute(),
    );
    await expect(send({ query: "region = eu" })).rejects.toMatchObject({
      code: "quota-exceeded",
      message: expect.stringMatching(/^the command queue of d-1 is full \(1000 open\): cancel/),
      details: { deviceIds: ["d-1"] },
    });
    expect(await send({ deviceIds: ["d-2"] })).toHaveLength(1);
  });

  it.each([
    [{ name: "" }, "invalid-request"],
    [{ name: "re boot" }, "invalid-request"],
    [{ ttlSeconds: 0 }, "invalid-request"],
    [{ ttlSeconds: 1e9 }, "invalid-request"],
    [{ deviceIds: [] }, "invalid-request"],
    [{ deviceIds: ["d-1"], query: "online" }, "invalid-request"],
    [{ query: "online and" }, "invalid-query"],
    [{ args: "x".repeat(LIMITS.commandArgsBytes) }, "payload-too-large"],
  ])("refuses %j", async (overrides, code) => {
    await expect(send(overrides)).rejects.toMatchObject({ code });
  });

  it("does not reach another tenant's devices", async () => {
    const other = `${tenant}-other`;
    await tenancy.tenants.create({ id: other, name: other }, SYSTEM_ACTOR);
    const [command] = await send();
    const id = command?.id as string;
    await expect(
      commands.send(
        other,
        { deviceIds: ["d-1"], name: "x", args: {}, ttlSeconds: 1 },
        SYSTEM_ACTOR,
        null,
      ),
    ).rejects.toMatchObject({ code: "not-found" });
    await expect(commands.get(other, id)).rejects.toMatchObject({ code: "not-found" });
    await expect(commands.cancel(other, id, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "not-found",
    });
    await expect(
      commands.recordResult({ tenantId: other, deviceId: "d-1" }, id, { status: "succeeded" }),
    ).rejects.toMatchObject({ code: "not-found" });
    expect(await statusOf(id)).toBe("queued");
  });

  it("numbers commands in the order in which they are committed", async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => send({ name: `c-${index}`, query: "region = eu" })),
    );
    const rows = await test.db.tenant(tenant, (tx) =>
      tx.selectFrom("audit_entries").select(["seq", "details"]).orderBy("seq").execute(),
    );
    const committed = rows.map((row) => row.details.name).filter((name) => name !== undefined);
    for (const device of ["d-1", "d-2"]) {
      const waiting = await commands.undelivered(tenant, device, 50);
      expect(waiting.map((message) => message.name)).toEqual(
        committed.filter((name) => String(name).startsWith("c-")),
      );
    }
  });
});

describe("the way of a command", () => {
  it("goes by delivery and the device's reports to its end", async () => {
    const [command] = await send();
    const id = command?.id as string;
    await commands.markDelivered(tenant, "d-2", [id]);
    expect(await statusOf(id)).toBe("queued");
    await commands.markDelivered(tenant, "d-1", [id]);
    expect(await statusOf(id)).toBe("delivered");
    expect(await commands.undelivered(tenant, "d-1", 10)).toEqual([]);
    await commands.recordResult(peer(), id, { status: "running" });
    await commands.recordResult(peer(), id, { status: "accepted" });
    expect(await statusOf(id)).toBe("running");
    await commands.recordResult(peer(), id, {
      status: "succeeded",
      output: { text: "a\0b\ud800" },
    });
    await commands.recordResult(peer(), id, { status: "failed", error: "an echo" });
    await commands.markDelivered(tenant, "d-1", [id]);
    expect(await commands.get(tenant, id)).toMatchObject({
      status: "succeeded",
      output: { text: "a\uFFFDb\uFFFD" },
      error: null,
      finishedAt: new Date(clock.now()).toISOString(),
    });
  });

  it("goes by reports that come together as by those that come one by one", async () => {
    const [first] = await send({ retry: { attempts: 2, delaySeconds: 0, on: ["failed"] } });
    const [second] = await send({ deviceIds: ["d-2"], deadlines: { runningSeconds: 9 } });
    const [third] = await send({ deviceIds: ["d-3"] });
    const [one, two, three] = [first?.id, second?.id, third?.id] as [string, string, string];
    await commands.cancel(tenant, three, SYSTEM_ACTOR);
    const say = (device: string, id: string, result: CommandResult) =>
      commands.recordResult(peer(device), id, result).then(
        () => "taken",
        (error) => error.code,
      );
    const answers = await Promise.all([
      say("d-1", one, { status: "running", progress: 0.5, stream: { seq: 0, text: "a" } }),
      say("d-2", one, { status: "succeeded" }),
      say("d-1", one, { status: "running", stream: { seq: 1, text: "b" } }),
      say("d-2", two, { status: "running", progress: 0.1 }),
      say("d-1", one, { status: "failed", error: "no power" }),
      say("d-1", one, { status: "succeeded", output: "an echo" }),
      say("d-1", "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", { status: "succeeded" }),
      say("d-3", three, { status: "succeeded", output: "too late" }),
    ]);
    const unknown = "not-found";
    expect(answers).toEqual([..."t.tttt.t"].map((sign) => (sign === "t" ? "taken" : unknown)));
    const ended = await commands.get(tenant, one);
    expect(ended).toMatchObject({
      ...{ status: "failed", error: "no power", output: null, progress: 0.5, stream: "ab" },
    });
    expect(ended.retriedBy).not.toBeNull();
    expect(await commands.get(tenant, two)).toMatchObject({
      ...{ status: "running", progress: 0.1, finishedAt: null },
      deadlines: { deliveredSeconds: null, acceptedSeconds: null, runningSeconds: 9 },
    });
    expect(await commands.get(tenant, three)).toMatchObject({
      ...{ status: "cancelled", lateResult: { status: "succeeded", output: "too late" } },
    });
  });

  it("expires what is late, and keeps a result that comes after without believing it", async () => {
    const [command] = await send({ ttlSeconds: 60 });
    const id = command?.id as string;
    expect(await commands.expireDue(tenant, clock.now() + 59_000)).toEqual([]);
    await clock.advance(60_000);
    expect(await commands.undelivered(tenant, "d-1", 10)).toEqual([]);
    expect(await commands.expireDue(tenant, clock.now())).toEqual([
      { id, deviceId: "d-1", name: "reboot" },
    ]);
    expect(await commands.expireDue(tenant, clock.now())).toEqual([]);
    await commands.recordResult(peer(), id, { status: "succeeded", output: 7 });
    expect(await commands.get(tenant, id)).toMatchObject({
      status: "expired",
      output: null,
      lateResult: { status: "succeeded", output: 7 },
    });
  });

  it("can be cancelled while it waits and not once the device holds it", async () => {
    const [first] = await send();
    const [second] = await send();
    expect(await commands.cancel(tenant, first?.id as string, SYSTEM_ACTOR)).toMatchObject({
      status: "cancelled",
    });
    await commands.markDelivered(tenant, "d-1", [first?.id as string, second?.id as string]);
    expect(await statusOf(first?.id as string)).toBe("cancelled");
    await expect(commands.cancel(tenant, second?.id as string, SYSTEM_ACTOR)).rejects.toMatchObject(
      {
        code: "conflict",
      },
    );
  });

  it("takes no result from another device, for no command and of no reasonable size", async () => {
    const [command] = await send();
    const id = command?.id as string;
    const done = { status: "succeeded" } as const;
    await expect(commands.recordResult(peer("d-2"), id, done)).rejects.toMatchObject({
      code: "not-found",
    });
    await expect(commands.recordResult(peer(), "' or 1=1", done)).rejects.toMatchObject({
      code: "not-found",
    });
    const output = "x".repeat(LIMITS.commandResultBytes);
    await expect(commands.recordResult(peer(), id, { ...done, output })).rejects.toMatchObject({
      code: "message-invalid",
    });
    expect(await statusOf(id)).toBe("queued");
  });

  it("is listed newest first, page by page, by device and by status", async () => {
    for (let index = 0; index < 5; index += 1) {
      await clock.advance(1);
      await send({ name: `c-${index}`, query: "id in (d-1, d-3)" });
    }
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await commands.list(tenant, {
        deviceId: "d-1",
        limit: 2,
        ...(cursor && { cursor }),
      });
      names.push(...page.items.map((item) => item.name));
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    expect(names).toEqual(["c-4", "c-3", "c-2", "c-1", "c-0"]);
    expect((await commands.list(tenant, { status: "expired" })).items).toEqual([]);
    await expect(commands.list(tenant, { cursor: "x" })).rejects.toMatchObject({
      code: "invalid-cursor",
    });
  });
});
