import { expect } from "vitest";
import { until } from "../gateway.ts";
import { type Bench, SAMPLE, type Statement } from "../mqtt-conformance.ts";

const will = (bench: Bench, delay?: number, extra: object = {}) => ({
  topic: bench.topic("telemetry"),
  payload: Buffer.from(SAMPLE),
  qos: 1 as const,
  retain: false,
  ...(delay === undefined ? {} : { properties: { willDelayInterval: delay } }),
  ...extra,
});
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const stored = (bench: Bench) => bench.fixture.recorded.telemetry.length;

async function retainedTopics(bench: Bench): Promise<number> {
  const rows = await bench.fixture.test.db.tenant("acme", (tx) =>
    tx.selectFrom("mqtt_retained").select("suffix").execute(),
  );
  return rows.length;
}

/** MQTT 5.0 §3.1.2.5 and §3.1.3.2. */
export const WILLS: readonly Statement[] = [
  {
    tag: "MQTT-3.1.2-8",
    also: ["MQTT-3.1.2-7"],
    says: "a will without a delay is published when the connection breaks",
    async run(bench) {
      const client = await bench.connectKept({ will: will(bench) });
      client.destroy();
      await until(() => stored(bench) === 1);
    },
  },
  {
    tag: "MQTT-3.1.2-10",
    also: ["MQTT-3.14.4-3"],
    says: "a normal DISCONNECT takes the will along, one with 0x04 does not",
    async run(bench) {
      for (const [reasonCode, wills] of [[0x00, 0] as const, [0x04, 1] as const]) {
        const client = await bench.connectKept({ will: will(bench) });
        client.send({ cmd: "disconnect", reasonCode });
        await client.closed;
        if (wills > 0) await until(() => stored(bench) === wills);
        else await pause(100);
        expect(stored(bench)).toBe(wills);
      }
    },
  },
  {
    tag: "§3.1.3.2.2",
    says: "a will waits for its delay, and is then published",
    async run(bench) {
      const client = await bench.connectKept({ will: will(bench, 2) });
      client.destroy();
      await client.closed;
      await pause(300);
      expect(stored(bench)).toBe(0);
      await until(() => stored(bench) === 1);
    },
  },
  {
    tag: "MQTT-3.1.3-9",
    says: "who is back within the delay has no will published",
    async run(bench) {
      const client = await bench.connectKept({ will: will(bench, 2) });
      client.destroy();
      await client.closed;
      await bench.connectKept({ clean: false });
      await pause(3_500);
      expect(stored(bench)).toBe(0);
    },
  },
  {
    tag: "§3.1.3.2.2",
    says: "the end of the session is the end of the wait: Clean Start, expiry, no session at all",
    async run(bench) {
      const first = await bench.connectKept({ will: will(bench, 60) });
      first.destroy();
      await first.closed;
      await bench.connect();
      await until(() => stored(bench) === 1);
      const short = { sessionExpiryInterval: 1 };
      const second = await bench.connect({ will: will(bench, 60), properties: short });
      second.destroy();
      await until(() => stored(bench) === 2);
      const third = await bench.connect({ will: will(bench, 60) });
      third.destroy();
      await until(() => stored(bench) === 3);
    },
  },
  {
    tag: "MQTT-3.1.4-3",
    says: "at a takeover a will without delay is published; a delayed one goes with its session",
    async run(bench) {
      await bench.connectKept({ will: will(bench) });
      await bench.connectKept({ clean: false, will: will(bench, 1) });
      await until(() => stored(bench) === 1);
      await bench.connectKept({ clean: false });
      await pause(2_500);
      expect(stored(bench)).toBe(1);
    },
  },
  {
    tag: "MQTT-3.1.2-15",
    also: ["MQTT-3.1.2-14"],
    says: "Will Retain makes it a retained message, with its properties",
    async run(bench) {
      const properties = { contentType: "application/json", userProperties: { a: "b" } };
      const first = await bench.connect({ will: will(bench, 0, { retain: true, properties }) });
      first.destroy();
      await until(async () => (await retainedTopics(bench)) === 1);
      const client = await bench.connect();
      const subscriptions = [{ topic: bench.topic("telemetry"), qos: 1 as const }];
      client.send({ cmd: "subscribe", messageId: 1, subscriptions });
      expect(await client.next("publish")).toMatchObject({ retain: true, properties });
    },
  },
  {
    tag: "§4.7, §5.4.2",
    says: "a will that waits is not published for a device that was revoked meanwhile",
    async run(bench) {
      const client = await bench.connectKept({ will: will(bench, 2) });
      client.destroy();
      await client.closed;
      const { db } = bench.fixture.test;
      const setStatus = (status: "active" | "revoked") =>
        db.tenant("acme", (tx) =>
          tx.updateTable("devices").set({ status }).where("id", "=", "d-1").execute(),
        );
      await setStatus("revoked");
      await pause(3_500);
      await setStatus("active");
      expect(stored(bench)).toBe(0);
    },
  },
];
