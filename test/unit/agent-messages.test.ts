import { expect, test } from "vitest";
import { Heartbeats } from "../../src/agent/work/heartbeats.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import type { CommandMessage, Heartbeat } from "../../src/protocol/index.ts";
import { type Bench, startBench } from "../support/bench-device.ts";

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function command(bench: Bench, id: string, name: string, args: unknown = {}): CommandMessage {
  const expiresAt = bench.clock.now() + 60_000;
  return { id, name, args, expiresAt, traceparent: TRACE };
}

function results(bench: Bench, id: string) {
  const topic = `commands/${id}/result`;
  return bench.platform.received(bench.device, topic) as { status: string; output?: unknown }[];
}

test("a command is carried out once, however often it comes", async () => {
  const bench = await startBench();
  const ping = command(bench, "c-1", "ping");
  bench.platform.command(bench.device, ping);
  await bench.until(() => results(bench, "c-1").length === 1);
  expect(results(bench, "c-1")).toMatchObject([{ status: "succeeded", output: { pong: true } }]);
  const first = results(bench, "c-1")[0];
  bench.platform.send(bench.device, "commands", ping);
  await bench.until(() => results(bench, "c-1").length === 2);
  expect(results(bench, "c-1")[1]).toEqual(first);
});

test("late, unknown and forbidden commands are rejected with the reason", async () => {
  const bench = await startBench({
    machine: { settings: { allowedCommands: ["ping", "self-destruct"] } },
  });
  const late = { ...command(bench, "late", "ping"), expiresAt: bench.clock.now() - 1 };
  bench.platform.send(bench.device, "commands", late);
  bench.platform.send(bench.device, "commands", command(bench, "unknown", "self-destruct"));
  bench.platform.send(bench.device, "commands", command(bench, "forbidden", "reboot"));
  await bench.until(() => results(bench, "forbidden").length > 0);
  expect(results(bench, "late")).toEqual([{ status: "rejected", error: "expired" }]);
  expect(results(bench, "unknown")).toMatchObject([{ status: "rejected" }]);
  expect(results(bench, "forbidden")).toMatchObject([{ status: "rejected" }]);
});

test("a reboot by command succeeds when the machine is up again", async () => {
  const bench = await startBench();
  const bootId = bench.machine.status().agent?.bootId;
  bench.platform.command(bench.device, command(bench, "c-2", "reboot"));
  await bench.until(() => results(bench, "c-2").at(-1)?.status === "succeeded");
  expect(results(bench, "c-2").map(({ status }) => status)).toEqual(["running", "succeeded"]);
  expect(bench.machine.status().agent?.bootId).not.toBe(bootId);
  const boots = bench.platform.received(bench.device, "events") as { reason?: string }[];
  expect(boots.at(-1)?.reason).toBe("command");
});

test("log lines of a command carry its trace", async () => {
  const bench = await startBench();
  bench.platform.command(bench.device, command(bench, "c-3", "ping"));
  const lines = () =>
    (bench.platform.received(bench.device, "logs") as { traceparent?: string }[][]).flat();
  await bench.until(() => lines().some((line) => line.traceparent === TRACE));
});

test("a malformed message is logged and the agent goes on", async () => {
  const bench = await startBench();
  bench.platform.send(bench.device, "commands", { id: 7 });
  bench.platform.send(bench.device, "update", "nonsense");
  bench.platform.command(bench.device, command(bench, "c-4", "ping"));
  await bench.until(() => results(bench, "c-4").length > 0);
});

test("what was measured offline arrives later, once, in order, even through a power cut", async () => {
  const bench = await startBench();
  bench.platform.setDown(true);
  await bench.clock.advance(120_000);
  expect(bench.machine.status().agent?.backlog.waiting).toBeGreaterThan(5);
  bench.machine.powerOff();
  bench.machine.powerOn();
  await bench.clock.advance(10_000);
  bench.platform.setDown(false);
  await bench.until(() => bench.machine.status().agent?.backlog.waiting === 0);
  const samples = (
    bench.platform.received(bench.device, "telemetry") as { seq: number; ts: number }[][]
  ).flat();
  const numbers = samples.map(({ seq }) => seq);
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(numbers).toEqual([...numbers].sort((left, right) => left - right));
  const boots = bench.platform.received(bench.device, "events") as { type: string }[];
  expect(boots.filter(({ type }) => type === "boot")).toHaveLength(2);
});

test("a backlog is bounded and says what it dropped", async () => {
  const bench = await startBench({
    behaviours: ({ oldSha256 }) => ({ [oldSha256]: { telemetryIntervalMs: 100 } }),
  });
  bench.platform.setDown(true);
  await bench.clock.advance(400_000);
  const backlog = bench.machine.status().agent?.backlog;
  expect(backlog?.waiting).toBeLessThanOrEqual(3_500);
  expect(backlog?.dropped).toBeGreaterThan(1_000);
});

test("a sleep is announced before it, not ended by the next heartbeat, and refused where it cannot be", async () => {
  const clock = new VirtualClock();
  const sent: { sleepSeconds?: number }[] = [];
  let connected = true;
  const heartbeats = new Heartbeats({
    ...{ clock, random: seededRandom(1), intervalMs: 10_000, onProblem: () => {} },
    isConnected: () => connected,
    compose: () => ({}) as Heartbeat,
    publish: async (payload) => void sent.push(JSON.parse(payload)),
  });
  heartbeats.start();
  await heartbeats.announceSleep(3_600);
  await clock.advance(59_000);
  expect(sent).toEqual([{ sleepSeconds: 3_600 }]);
  await clock.advance(1_000);
  expect(sent).toEqual([{ sleepSeconds: 3_600 }, {}]);
  for (const seconds of [0, 1.5, 604_801]) {
    await expect(heartbeats.announceSleep(seconds)).rejects.toThrow("from 1 to 604800");
  }
  connected = false;
  await expect(heartbeats.announceSleep(60)).rejects.toThrow("no connection");
  heartbeats.stop();
});

test("a sleep that could not be announced delays no heartbeat", async () => {
  const clock = new VirtualClock();
  const sent: { sleepSeconds?: number }[] = [];
  const heartbeats = new Heartbeats({
    ...{ clock, random: seededRandom(1), intervalMs: 10_000, onProblem: () => {} },
    isConnected: () => true,
    compose: () => ({}) as Heartbeat,
    publish: async (payload) => {
      const beat = JSON.parse(payload);
      if (beat.sleepSeconds) throw new Error("the connection was lost");
      sent.push(beat);
    },
  });
  heartbeats.start();
  await clock.advance(10_000);
  const before = sent.length;
  await clock.advance(2_000);
  await expect(heartbeats.announceSleep(60)).rejects.toThrow("connection was lost");
  await clock.advance(8_000);
  expect(sent).toHaveLength(before + 1);
  await clock.advance(30_000);
  expect(sent).toHaveLength(before + 4);
  heartbeats.stop();
});
