import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  createMqttTransport,
  openFileStorage,
  type Session,
  Twin,
  type TwinHandler,
} from "../../src/agent/index.ts";
import { decodePayload, type JsonObject } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

/** The twin of the agent on a disk, over real mutual TLS to the real gateway. */
class Unit {
  readonly applied: [number, JsonObject][] = [];
  handler: TwinHandler = {
    apply: async (desired, version) => {
      this.applied.push([version, desired]);
      if (desired.mode === "impossible") throw new Error("no such mode");
      return undefined;
    },
  };
  readonly #life = new AbortController();
  #twin: Twin | undefined;
  #session: Session | undefined;
  readonly sent: JsonObject[] = [];

  async start(folder: string): Promise<void> {
    this.#twin = new Twin({
      storage: await openFileStorage(folder),
      handler: this.handler,
      life: this.#life.signal,
      isConnected: () => this.#session !== undefined,
      publish: async (topic, payload) => {
        if (!this.#session) throw new Error("offline");
        this.sent.push(JSON.parse(payload));
        await this.#session.publish(topic, payload);
      },
      log: () => {},
    });
    await this.#twin.start();
  }

  get twin(): Twin {
    return this.#twin as Twin;
  }

  async connect(fixture: GatewayFixture, tenantId = "acme", deviceId = "d-1"): Promise<void> {
    const { key, cert } = await fixture.pki.device(tenantId, deviceId);
    const transport = createMqttTransport({
      url: `mqtts://localhost:${fixture.gateway.port}`,
      ...{ tenantId, deviceId },
      credentials: async () => ({ key, certificate: cert, root: fixture.pki.root }),
    });
    const handlers = {
      onMessage: async (topic: string, payload: Uint8Array) => {
        if (topic === "desired") await this.twin.receive(decodePayload(payload));
      },
      onClose: () => {
        this.#session = undefined;
      },
    };
    this.#session = await transport.connect(handlers, this.#life.signal);
    this.twin.connected();
  }

  async disconnect(): Promise<void> {
    await this.#session?.close();
    await until(() => this.#session === undefined);
  }

  async end(): Promise<void> {
    await this.disconnect();
    this.#life.abort(new Error("it ends"));
    await this.twin.idle();
  }
}

describe("the twin of a device", () => {
  let fixture: GatewayFixture;
  let folder: string;
  let unit: Unit;
  beforeAll(async () => {
    fixture = await createGatewayFixture();
    folder = await mkdtemp(path.join(os.tmpdir(), "vautn-twin-"));
  });
  afterEach(() => unit.end());
  afterAll(async () => {
    await fixture.close();
    await rm(folder, { recursive: true });
  });

  const twins = () => fixture.devices.twins;
  const change = (patch: JsonObject, device = "d-1") =>
    twins().change("acme", device, { patch }, SYSTEM_ACTOR);
  const view = (device = "d-1") => twins().get("acme", device);
  const isInForce = (version: number) => async () => (await view()).appliedVersion === version;

  it("converges by version: while it is connected by patches, after days without by the whole", async () => {
    unit = new Unit();
    await unit.start(folder);
    await change({ report: { seconds: 60, burst: true }, site: "berlin" });
    await unit.connect(fixture);
    await until(isInForce(1));
    await change({ report: { seconds: 30, burst: null } });
    await until(isInForce(2));
    expect((await view()).reported).toEqual({ report: { seconds: 30 }, site: "berlin" });
    // What has not changed is not told again.
    expect(unit.sent.at(-1)).toMatchObject({ patch: { report: { seconds: 30, burst: null } } });

    await unit.disconnect();
    for (let seconds = 1; seconds <= 5; seconds += 1) await change({ report: { seconds } });
    await unit.connect(fixture);
    await until(isInForce(7));
    expect(unit.applied.map(([version]) => version)).toEqual([1, 2, 7]);
    const { desired, reported, fault } = await view();
    expect(reported).toEqual(desired);
    expect(fault).toBeNull();
  });

  it("says why it cannot, lives by what was before, and takes the next one", async () => {
    unit = new Unit();
    await unit.start(folder);
    await unit.connect(fixture);
    const { desiredVersion: good } = await view();
    const { desiredVersion: bad } = await change({ mode: "impossible" });
    await until(async () => (await view()).fault !== null);
    expect(await view()).toMatchObject({
      ...{ appliedVersion: good, fault: { version: bad, message: "no such mode" } },
    });
    expect((await view()).reported.mode).toBeUndefined();
    expect(unit.applied.map(([version]) => version)).toEqual([bad, good]);
    await change({ mode: "quiet" });
    await until(isInForce(bad + 1));
    expect((await view()).fault).toBeNull();
  });

  it("is told whole again to a device that has lost its disk, and lifted over one that knows more", async () => {
    await rm(folder, { recursive: true });
    unit = new Unit();
    await unit.start(folder);
    await unit.connect(fixture);
    const { desiredVersion, desired } = await view();
    await until(() => unit.applied.length > 0);
    expect(unit.applied).toEqual([[desiredVersion, desired]]);
    await unit.disconnect();
    // As a restored backup would have it: the platform's version is behind the device's.
    await fixture.test.db.tenant("acme", (tx) =>
      sql`update twins set desired_version = 1, desired = '{"site": "restored"}'`.execute(tx),
    );
    await unit.connect(fixture);
    await until(async () => (await view()).reported.site === "restored");
    expect((await view()).appliedVersion).toBe(desiredVersion + 1);
  });

  it("takes a report in once, says so where one is missing, and refuses what is too large or no report", async () => {
    unit = new Unit();
    await unit.start(await mkdtemp(path.join(folder, "other-")));
    const credentials = await fixture.pki.device("acme", "d-2");
    const client = await RawClient.connect(fixture.gateway.port, credentials);
    let messageId = 0;
    const report = async (payload: unknown) => {
      messageId += 1;
      client.send({
        ...{ cmd: "publish", topic: "tenants/acme/devices/d-2/reported", qos: 1, messageId },
        ...{ payload: JSON.stringify(payload), dup: false, retain: false },
      });
      return (await client.next("puback", 20_000)).reasonCode ?? 0;
    };
    const about = { desiredVersion: 0, appliedVersion: 0 };
    expect(await report({ ...about, version: 1, from: 0, patch: { a: 1 } })).toBe(0);
    expect(await report({ ...about, version: 2, from: 1, patch: { b: "\0", c: 1 } })).toBe(0);
    expect(await report({ ...about, version: 2, from: 1, patch: { c: 2 } })).toBe(0);
    expect((await view("d-2")).reported).toEqual({ a: 1, b: "\uFFFD", c: 1 });
    // From what the platform does not hold: nothing is guessed.
    expect(await report({ ...about, version: 9, from: 8, patch: { a: null } })).toBe(0);
    expect((await view("d-2")).reportedVersion).toBe(2);
    const bad = [
      {},
      { ...about, version: 3, from: 2, patch: [] },
      { ...about, version: 3, from: 2, patch: { big: "x".repeat(70_000) } },
      { ...about, version: 3, from: 2, patch: {}, desiredVersion: Number.MAX_SAFE_INTEGER },
      { ...about, version: 3, from: 2, patch: {}, fault: { version: 1, message: 1 } },
    ];
    for (const payload of bad) expect(await report(payload)).toBe(0x99);
    const deep = JSON.parse(`${'{"a":'.repeat(20)}1${"}".repeat(20)}`);
    expect(await report({ ...about, version: 3, from: 2, patch: deep })).toBe(0x99);
    expect((await view("d-2")).reported).toEqual({ a: 1, b: "\uFFFD", c: 1 });
    client.destroy();
  });

  it("is no other device's to hear or to write, and no other tenant's", async () => {
    unit = new Unit();
    await unit.start(await mkdtemp(path.join(folder, "third-")));
    await change({ secret: "of acme" });
    await unit.connect(fixture, "globex", "d-1");
    const credentials = await fixture.pki.device("globex", "d-1");
    const client = await RawClient.connect(fixture.gateway.port, credentials);
    const topic = "tenants/acme/devices/d-1/reported";
    client.send({
      ...{ cmd: "publish", topic, qos: 1, messageId: 1, dup: false, retain: false },
      payload: "{}",
    });
    expect((await client.next("puback", 20_000)).reasonCode).toBe(0x87);
    expect(unit.applied).toEqual([]);
    await expect(twins().get("globex", "d-9")).rejects.toMatchObject({ code: "not-found" });
    expect((await twins().get("globex", "d-1")).desired).toEqual({});
    client.destroy();
  });
});

describe("the twin by the API", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
    for (const tenant of ["acme", "globex"]) {
      for (const id of ["hub-1", "hub-2", "hub-3"]) {
        const body = { id, product: "hub", hardwareRevision: "a" };
        await test.modules.devices.register(null, tenant, body);
      }
    }
  });
  afterAll(() => test.close());

  const URL = "/tenants/acme/devices/hub-1/twin";
  const call = (method: string, url: string, body?: unknown, headers = {}) =>
    test.call(method, url, { key: test.acme, headers, ...(body ? { body } : {}) });

  it("is read, patched, replaced, and not changed on what is not there any more", async () => {
    const first = await call("GET", URL);
    expect(first.body).toMatchObject({ desired: {}, desiredVersion: 0, reported: {} });
    const patched = await call("PATCH", URL, { desired: { a: { b: 1, c: 2 } } });
    expect(patched.body).toMatchObject({ desired: { a: { b: 1, c: 2 } }, desiredVersion: 1 });
    expect(patched.body.desiredBy).toEqual(expect.any(String));
    const same = await call("PATCH", URL, { desired: { a: { c: 2, b: 1 } } });
    expect(same.body.desiredVersion).toBe(1);
    const stale = { "if-match": first.headers.etag as string };
    const late = await call("PATCH", URL, { desired: { a: 1 } }, stale);
    expect([late.status, late.body.code]).toEqual([412, "precondition-failed"]);
    const replaced = await call("PUT", URL, { desired: { d: [1, null] } });
    expect(replaced.body).toMatchObject({ desired: { d: [1, null] }, desiredVersion: 2 });
    const gone = await call("PATCH", URL, { desired: { d: null } });
    expect(gone.body).toMatchObject({ desired: {}, desiredVersion: 3 });
  });

  it("refuses what no twin may be, and loses nothing by it", async () => {
    const before = (await call("GET", URL)).body;
    const deep = JSON.parse(`${'{"a":'.repeat(20)}1${"}".repeat(20)}`);
    for (const desired of [{ big: "x".repeat(70_000) }, deep]) {
      expect((await call("PATCH", URL, { desired })).status).toBe(400);
    }
    for (const body of [{}, { desired: [] }, { desired: null }, { desired: {}, more: 1 }]) {
      expect((await call("PATCH", URL, body)).status).toBe(400);
    }
    const proto = '{"desired":{"__proto__":{"polluted":true}}}';
    expect((await call("PATCH", URL, JSON.parse(proto))).status).toBeLessThan(500);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    await call("PUT", URL, { desired: before.desired });
    expect((await call("GET", URL)).body.desired).toEqual(before.desired);
  });

  it("changes many at once, by name or by query, and none where one is unknown or another tenant's", async () => {
    const globex = () => test.modules.devices.twins.get("globex", "hub-2");
    const before = await globex();
    const all = await call("POST", "/tenants/acme/twins", { query: "", desired: { fleet: 1 } });
    expect(all.body).toEqual({ devices: 3, changed: 3 });
    const again = await call("POST", "/tenants/acme/twins", {
      ...{ devices: ["hub-1", "hub-2", "hub-2"], desired: { fleet: 1 } },
    });
    expect(again.body).toEqual({ devices: 2, changed: 0 });
    const wrong = await call("POST", "/tenants/acme/twins", {
      ...{ devices: ["hub-1", "nobody"], desired: { fleet: 2 } },
    });
    expect([wrong.status, wrong.body.code]).toEqual([404, "not-found"]);
    expect((await call("GET", URL)).body.desired.fleet).toBe(1);
    for (const body of [{ desired: {} }, { devices: ["hub-1"], query: "", desired: {} }]) {
      expect((await call("POST", "/tenants/acme/twins", body)).status).toBe(400);
    }
    const foreign = await test.call("POST", "/tenants/globex/twins", {
      ...{ key: test.acme, body: { query: "", desired: { fleet: 3 } } },
    });
    expect(foreign.status).toBe(404);
    expect(await globex()).toEqual(before);
  });

  it("says in the audit log who changed which properties", async () => {
    const { items } = (await call("GET", "/tenants/acme/audit?limit=100")).body;
    const entries = items.filter(({ action }: { action: string }) => action === "device.twin");
    expect(entries.some((entry: { outcome: string }) => entry.outcome === "done")).toBe(true);
    expect(JSON.stringify(entries)).toContain("fleet");
  });
});
