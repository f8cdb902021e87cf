import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/index.ts";
import {
  createTimeseries,
  type EmbeddedClickHouse,
  startEmbeddedClickHouse,
  withJournal,
} from "../../src/timeseries/index.ts";
import { canMountDisks, makeDisk, mountDisk, run, unmount } from "../support/small-disk.ts";
import { silentLogger } from "../support/timeseries.ts";

const DISK_BYTES = 192 * 1024 ** 2;
const CUTS = 2;
const DEVICES = 8;
const TENANT = "acme";

let directory: string;
let image: string;

interface Installed {
  engine: EmbeddedClickHouse;
  timeseries: ReturnType<typeof withJournal>;
  telemetry: Telemetry;
  stop(): Promise<void>;
}

async function install(place: string, isNew: boolean): Promise<Installed> {
  const engine = await startEmbeddedClickHouse({
    ...{ directory: path.join(place, "ch"), logger: silentLogger },
  });
  const direct = createTimeseries({ url: engine.url, logger: silentLogger });
  if (isNew) await direct.migrate();
  const journal = { directory: path.join(place, "journal"), name: "gateway-1" };
  const room = { logger: silentLogger, feedEveryMs: 50, minFreeBytes: 0 };
  const timeseries = withJournal(direct, { ...journal, ...room });
  const telemetry = createTelemetry({
    ...{ timeseries, clock: systemClock, batchDelayMs: 1, maxWrites: 2 },
  });
  const stop = async () => {
    await telemetry.close();
    await timeseries.close();
    await engine.stop();
  };
  return { engine, timeseries, telemetry, stop };
}

let installed: Installed;
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-power-cut-"));
  image = path.join(directory, "disk");
  const live = path.join(directory, "live");
  expect(makeDisk(image, DISK_BYTES) && mountDisk(image, live)).toBe(true);
  installed = await install(live, true);
});
afterAll(async () => {
  await installed?.stop();
  for (const name of fs.readdirSync(directory)) {
    if (fs.statSync(path.join(directory, name)).isDirectory()) unmount(path.join(directory, name));
  }
  fs.rmSync(directory, { recursive: true, force: true });
});

const acknowledged = new Set<string>();
let isSending = true;

async function send(deviceId: string): Promise<void> {
  const start = Date.now() - 3_600_000;
  for (let seq = 1; isSending; seq += 1) {
    const sample = { ts: start + seq, seq, values: { number: seq } };
    await installed.telemetry.ingestTelemetry({ tenantId: TENANT, deviceId }, sample, Date.now());
    acknowledged.add(`${deviceId} ${seq}`);
  }
}

/** What the disk holds at this moment; what is only in memory is not in it. */
function cutPower(number: number): { place: string; promised: string[] } {
  process.kill(installed.engine.pid, "SIGSTOP");
  try {
    const promised = [...acknowledged];
    const copy = `${image}-${number}`;
    expect(run("cp", "--sparse=always", image, copy)).toBe(true);
    const place = path.join(directory, `after-${number}`);
    expect(mountDisk(copy, place)).toBe(true);
    return { place, promised };
  } finally {
    process.kill(installed.engine.pid, "SIGCONT");
  }
}

describe.skipIf(!canMountDisks())("a power cut (needs root, mkfs.ext4 and loop devices)", () => {
  it("costs nothing that was acknowledged, and doubles nothing", async () => {
    const senders = Array.from({ length: DEVICES }, (_, device) => send(`d-${device}`));
    const cuts: ReturnType<typeof cutPower>[] = [];
    for (let number = 1; number <= CUTS; number += 1) {
      const { size } = acknowledged;
      while (acknowledged.size < size + 300 * number) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      cuts.push(cutPower(number));
    }
    isSending = false;
    await Promise.all(senders);
    for (const { place, promised } of cuts) {
      const after = await install(place, false);
      await after.timeseries.fed();
      const rows = await after.timeseries.tenantQuery<{ device: string; seq: number }>(TENANT, {
        ...{ table: "telemetry", select: "device_id as device, seq" },
        ...{ limit: 1_000_000, final: true },
      });
      const found = rows.map(({ device, seq }) => `${device} ${seq}`);
      const has = new Set(found);
      expect(has.size).toBe(found.length);
      expect(promised.length).toBeGreaterThan(100);
      expect(promised.filter((one) => !has.has(one))).toEqual([]);
      await after.stop();
    }
  });
});
