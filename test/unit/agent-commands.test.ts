import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RememberedCommand, StateStore } from "../../src/agent/agent-state.ts";
import { openFileStorage } from "../../src/agent/offline/file-storage.ts";
import { type CommandHandler, Commands } from "../../src/agent/work/commands.ts";
import { isOpenCommand, rememberedCommands } from "../../src/agent/work/remembered-commands.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import type { CommandMessage, CommandResult, LogSpan } from "../../src/protocol/index.ts";

let directory: string;
let clock: VirtualClock;
let state: StateStore | undefined;
let power: AbortController;
let said: { id: string; result: CommandResult }[];
let isOnline: boolean;
let begun: string[];
let spans: LogSpan[];

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-agent-commands-"));
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  power = new AbortController();
  state = undefined;
  said = [];
  begun = [];
  spans = [];
  isOnline = true;
});
afterEach(async () => {
  power.abort();
  await settled();
  fs.rmSync(directory, { recursive: true });
});

/** What was being written is written, and nothing follows it. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await state?.update((current) => current);
}

async function boot(handlers: Record<string, CommandHandler> = {}): Promise<Commands> {
  power.abort();
  power = new AbortController();
  await settled();
  state = await StateStore.load(await openFileStorage(directory), clock);
  const known: Record<string, CommandHandler> = {
    count: async (_args, { id }) => {
      begun.push(id);
      return { id };
    },
    ...handlers,
  };
  const commands = new Commands({
    clock,
    state,
    handlers: known,
    allowed: Object.keys(known),
    bootId: "boot",
    life: power.signal,
    async publish(topic, payload) {
      if (!isOnline) throw new Error("there is no connection");
      said.push({ id: topic.split("/")[1] as string, result: JSON.parse(payload) });
    },
    log: (_level, _message, _traceparent, span) => {
      if (span) spans.push(span);
    },
  });
  await commands.start(null);
  return commands;
}

function message(id: string, name = "count", more: Partial<CommandMessage> = {}): CommandMessage {
  return { id, name, args: {}, expiresAt: clock.now() + 60_000, traceparent: null, ...more };
}

const resultsOf = (id: string) => said.filter((one) => one.id === id).map(({ result }) => result);
async function heard(id: string, count = 1): Promise<CommandResult[]> {
  await expect.poll(() => resultsOf(id).length, { timeout: 5_000 }).toBeGreaterThanOrEqual(count);
  return resultsOf(id);
}

test("an id is carried out once, across restarts and other commands", async () => {
  let commands = await boot();
  const first = message("first");
  await commands.receive(first);
  await heard("first");
  for (let number = 0; number < 5; number += 1) {
    await commands.receive(message(`other-${number}`));
    await heard(`other-${number}`);
  }
  commands = await boot();
  await commands.receive(first);
  await heard("first", 2);
  expect(begun.filter((id) => id === "first")).toHaveLength(1);
});

test("what expires while it is in flight is not begun, whatever the clock says later", async () => {
  const commands = await boot();
  await commands.receive(message("late", "count", { expiresAt: clock.now() }));
  expect(await heard("late")).toEqual([{ status: "rejected", error: "expired" }]);
  expect(begun).toEqual([]);
});

test("a device with too much to do says so, and begins none of the rest", async () => {
  isOnline = false;
  const commands = await boot();
  for (let number = 0; number < 100; number += 1) await commands.receive(message(`c-${number}`));
  isOnline = true;
  await commands.receive(message("more"));
  expect(await heard("more")).toMatchObject([{ status: "rejected" }]);
  expect(begun).not.toContain("more");
  commands.connected();
  await heard("c-99");
  expect(said.filter(({ result }) => result.status === "succeeded")).toHaveLength(100);
});

test("a command with a deadline is announced, and ends in time", async () => {
  let aborted = false;
  const commands = await boot({
    hang: (_args, { signal }) => {
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      return new Promise(() => {});
    },
  });
  await commands.receive(message("slow", "hang", { runningSeconds: 5 }));
  await heard("slow");
  await clock.advance(5_000);
  expect(await heard("slow", 2)).toEqual([
    { status: "running" },
    { status: "failed", error: "it was not done within 5 s" },
  ]);
  expect(aborted).toBe(true);
  const error = "it was not done within 5 s";
  expect(spans).toEqual([{ name: "command hang", durationMs: 5_000, error }]);
});

test("a command's span ends with the restart that cut it off", async () => {
  let commands = await boot({ hang: () => new Promise(() => {}) });
  await commands.receive(message("cut", "hang"));
  await clock.advance(3_000);
  commands = await boot();
  commands.connected();
  await heard("cut");
  const error = "the device restarted while it was carried out";
  expect(spans).toEqual([{ name: "command hang", durationMs: 3_000, error }]);
});

test("a running command is heard of once a second; its last words come with the result", async () => {
  const step = Promise.withResolvers<void>();
  const commands = await boot({
    talk: async (_args, { progress, write }) => {
      write("one ");
      write("two ");
      progress(0.5);
      await step.promise;
      write("x".repeat(20_000));
      write("end");
      return "done";
    },
  });
  await commands.receive(message("talk", "talk"));
  await clock.advance(1_000);
  expect(await heard("talk")).toEqual([
    { status: "running", progress: 0.5, stream: { seq: 0, text: "one two " } },
  ]);
  step.resolve();
  const last = (await heard("talk", 2)).at(-1);
  expect(last).toMatchObject({ status: "succeeded", output: "done" });
  expect(last?.stream?.text).toHaveLength(16_384);
  expect(last?.stream?.text.endsWith("end")).toBe(true);
  // A number is left out: something is missing.
  expect(last?.stream?.seq).toBeGreaterThan(1);
});

test("memory keeps what is open and the newest of what could come again", () => {
  const entry = fc.record<RememberedCommand>({
    id: fc.uuid(),
    name: fc.constant("count"),
    expiresAt: fc.integer({ min: 0, max: 2_000 }),
    traceparent: fc.constant(null),
    result: fc.option(fc.constant({ status: "succeeded" as const, output: "x".repeat(2_000) })),
    delivered: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 400 }), (commands) => {
      const kept = rememberedCommands(commands, 1_000);
      const ids = new Set(kept.map(({ id }) => id));
      const open = commands.filter(isOpenCommand);
      const ended = commands.filter((one) => !isOpenCommand(one) && one.expiresAt > 1_000);
      for (const { id } of [...open, ...ended.slice(-256)]) expect(ids.has(id)).toBe(true);
      expect(kept).toHaveLength(open.length + Math.min(ended.length, 256));
      for (const one of kept.filter((each) => !isOpenCommand(each))) {
        expect(JSON.stringify(one).length).toBeLessThan(1_500);
      }
    }),
  );
});
