import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport } from "../../src/protocol/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, until } from "../support/gateway.ts";

const PREFIX = "tenants/acme/devices/d-1/";
let fixture: GatewayFixture;
let credentials: Credentials;

beforeAll(async () => {
  fixture = await createGatewayFixture();
  credentials = await fixture.pki.device("acme", "d-1");
});
afterAll(() => fixture.close());

async function connect() {
  const client = await mqtt.connectAsync(`mqtts://localhost:${fixture.gateway.port}`, {
    ...{ ...credentials, protocolVersion: 5, reconnectPeriod: 0 },
  });
  return client;
}

describe("values that are not stored", () => {
  it("are told on the device's own topic, bounded, and what was left out is counted", async () => {
    const client = await connect();
    const reports: ErrorReport[] = [];
    client.on("message", (topic, payload) => {
      if (topic === `${PREFIX}errors`) reports.push(JSON.parse(payload.toString()));
    });
    await client.subscribeAsync(`${PREFIX}errors`, { qos: 1 });
    const bad = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`m${index}`, null]));
    const publish = (body: object) =>
      client.publishAsync(`${PREFIX}telemetry`, JSON.stringify(body), { qos: 1 });
    await publish({ ts: 5, seq: 1, values: { good: 1, ...bad } });
    await until(() => reports.length === 1);
    expect(reports[0]).toMatchObject({ topic: "telemetry", accepted: 1, rejectedCount: 30 });
    expect(reports[0]?.rejected).toHaveLength(20);
    expect(reports[0]?.rejected[0]).toEqual({
      ...{ metric: "m0", ts: 5, reason: "not-a-value", sample: 0 },
    });
    // At once again: counted, and told with what comes a second later, whatever becomes of that.
    await publish({ ts: 6, seq: 2, values: { good: 1, m: null } });
    await until(async () => {
      await publish({ seq: 3, values: { m: null } }).catch(() => {});
      return reports.length === 2;
    });
    expect(reports[1]?.accepted).toBe(0);
    expect(reports[1]?.rejectedCount).toBeGreaterThanOrEqual(2);
    await client.endAsync();
  });

  it("are told of a message that cannot be read at all, to a device of MQTT 3.1.1 too", async () => {
    const client = await mqtt.connectAsync(`mqtts://localhost:${fixture.gateway.port}`, {
      ...{ ...credentials, protocolVersion: 4, clientId: "old", reconnectPeriod: 0 },
    });
    const reports: ErrorReport[] = [];
    client.on("message", (_topic, payload) => reports.push(JSON.parse(payload.toString())));
    await client.subscribeAsync(`${PREFIX}errors`, { qos: 1 });
    const says = async (topic: string, payload: string) => {
      const before = reports.length;
      await until(async () => {
        await client.publishAsync(`${PREFIX}${topic}`, payload, { qos: 1 });
        return reports.length > before;
      });
      return reports.at(-1);
    };
    const unread = { accepted: 0, rejectedCount: 0, rejected: [] };
    const error = (why: RegExp) => {
      return { code: "message-invalid", message: expect.stringMatching(why) };
    };
    expect(await says("telemetry", '{"ts": 1, ')).toEqual({
      ...{ topic: "telemetry", ...unread, error: error(/not valid JSON/) },
    });
    expect(await says("heartbeat", '{"ts": 1}')).toEqual({
      ...{ topic: "heartbeat", ...unread, error: error(/./) },
    });
    expect(await says("commands/c-1/result", '{"status": "done"}')).toMatchObject({
      topic: "commands/c-1/result",
    });
    await client.endAsync();
  });
});
