import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/index.ts";
import {
  createTimeseries,
  type EmbeddedClickHouse,
  type JournaledTimeseries,
  startEmbeddedClickHouse,
  type Timeseries,
  withJournal,
} from "../../src/timeseries/index.ts";
import { canSlowDisks, slowDisk } from "../support/slow-disk.ts";
import { canMountMemory, mountMemory, unmount } from "../support/small-disk.ts";
import { silentLogger } from "../support/timeseries.ts";

const DISK_BYTES = 64 * 1024 ** 2;
const PIECE = Buffer.alloc(64 * 1024);
const TENANT = "acme";
const DEVICES = 8;

let disk: string;
let filler: string;
let engine: EmbeddedClickHouse;
let direct: Timeseries;
beforeAll(async () => {
  disk = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-full-disk-"));
  filler = path.join(disk, "filler");
  expect(mountMemory(disk, DISK_BYTES)).toBe(true);
  engine = await startEmbeddedClickHouse({
    directory: path.join(disk, "ch"),
    logger: silentLogger,
  });
  direct = createTimeseries({ url: engine.url, logger: silentLogger });
  await direct.migrate();
});
afterAll(async () => {
  await direct?.close();
  await engine?.stop();
  unmount(disk);
  fs.rmSync(disk, { recursive: true, force: true });
});

function freeBytes(): number {
  const { bavail, bsize } = fs.statfsSync(disk);
  return bavail * bsize;
}

/** Takes room until so much is left. */
function fill(leave: number): void {
  const file = fs.openSync(filler, "a");
  try {
    while (freeBytes() > leave) fs.writeSync(file, PIECE, 0, Math.min(PIECE.length, freeBytes()));
  } finally {
    fs.closeSync(file);
  }
}

/** Devices that send one value after the other, and bring again what was not acknowledged. */
class Senders {
  readonly acknowledged = new Set<string>();
  refusals = 0;
  #running = true;
  readonly #senders: Promise<void>[];

  constructor(telemetry: Telemetry, first: number) {
    this.#senders = Array.from({ length: DEVICES }, (_, device) =>
      this.#send(telemetry, `d-${first}-${device}`),
    );
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#senders);
  }

  async #send(telemetry: Telemetry, deviceId: string): Promise<void> {
    const start = Date.now() - 60_000;
    for (let seq = 1; this.#running; ) {
      const sample = { ts: start + seq, seq, values: { number: seq } };
      try {
        await telemetry.ingestTelemetry({ tenantId: TENANT, deviceId }, sample, Date.now());
        this.acknowledged.add(`${deviceId} ${seq}`);
        seq += 1;
      } catch (error) {
        expect(error).toMatchObject({ code: "unavailable" });
        this.refusals += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function stored(): Promise<string[]> {
  const rows = await direct.tenantQuery<{ device: string; seq: number }>(TENANT, {
    ...{ table: "telemetry", select: "device_id as device, seq" },
    ...{ limit: 1_000_000, final: true },
  });
  return rows.map(({ device, seq }) => `${device} ${seq}`);
}

function open(name: string, minFreeBytes: number) {
  const directory = path.join(disk, "journal");
  const options = { directory, name, logger: silentLogger, feedEveryMs: 20, minFreeBytes };
  const timeseries = withJournal(
    createTimeseries({ url: engine.url, logger: silentLogger }),
    options,
  );
  const telemetry = createTelemetry({
    ...{ timeseries, clock: systemClock, batchDelayMs: 1, maxWrites: 2 },
  });
  return { timeseries, telemetry };
}

async function expectAllOnce(senders: Senders, timeseries: JournaledTimeseries): Promise<void> {
  await timeseries.fed();
  const rows = await stored();
  expect(new Set(rows).size).toBe(rows.length);
  const has = new Set(rows);
  expect([...senders.acknowledged].filter((row) => !has.has(row))).toEqual([]);
  expect(fs.existsSync(path.join(disk, "journal", "refused"))).toBe(false);
  await timeseries.close();
}

describe.skipIf(!canMountMemory())("a full disk (needs root, for a small disk of its own)", () => {
  it("has devices wait before the stores are short of room, and goes on by itself", async () => {
    const { timeseries, telemetry } = open("gateway-1", 8 * 1024 ** 2);
    const senders = new Senders(telemetry, 1);
    await until("values are taken", () => senders.acknowledged.size > 100);
    fill(6 * 1024 ** 2);
    await until("devices wait", () => senders.refusals > DEVICES * 3);
    const { size } = senders.acknowledged;
    await until("all of them", () => senders.refusals > DEVICES * 6);
    expect(senders.acknowledged.size).toBe(size);
    // What was taken in before still reaches the store: the rest of the room is for that.
    await timeseries.fed();
    fs.rmSync(filler);
    await until("values are taken again", () => senders.acknowledged.size > size + 100);
    await senders.stop();
    await expectAllOnce(senders, timeseries);
  });

  it("filled by others to the last byte loses nothing that was acknowledged", async () => {
    const { timeseries, telemetry } = open("gateway-2", 0);
    const senders = new Senders(telemetry, 2);
    await until("values are taken", () => senders.acknowledged.size > 100);
    fill(0);
    await until("the disk refuses", () => senders.refusals > DEVICES * 6);
    const { size } = senders.acknowledged;
    fs.rmSync(filler);
    await until("values are taken again", () => senders.acknowledged.size > size + 100);
    await senders.stop();
    await expectAllOnce(senders, timeseries);
  });
});

/** How many writes of the journal have taken longer than a tenth of a second. */
async function slowWrites(): Promise<number> {
  const { values = [] } =
    (await metricsRegistry.getSingleMetric("vautn_journal_write_seconds")?.get()) ?? {};
  const upTo = (le: unknown) => values.find(({ labels }) => labels.le === le)?.value ?? 0;
  return upTo("+Inf") - upTo(0.1);
}

describe.skipIf(!canMountMemory() || !canSlowDisks())("a slow disk (needs root and strace)", () => {
  it("has devices wait for each acknowledgement, and loses and doubles nothing", async () => {
    const DELAY_MS = 110;
    const { timeseries, telemetry } = open("gateway-3", 0);
    const senders = new Senders(telemetry, 3);
    await until("values are taken", () => senders.acknowledged.size > 100);
    const slowBefore = await slowWrites();
    const quick = await slowDisk(engine.pid, DELAY_MS);
    const { size } = senders.acknowledged;
    const startedAt = performance.now();
    await until("devices wait", () => performance.now() - startedAt > 12 * DELAY_MS);
    const during = senders.acknowledged.size - size;
    const turns = (performance.now() - startedAt) / DELAY_MS + 1;
    await quick();
    expect(during).toBeGreaterThan(DEVICES);
    // Room for what was on its way; without the delay a device waits for a few milliseconds.
    expect(during).toBeLessThanOrEqual(3 * DEVICES * turns);
    expect((await slowWrites()) - slowBefore).toBeGreaterThan(2);
    const after = senders.acknowledged.size;
    await until("values are taken at once", () => senders.acknowledged.size > after + 100);
    await senders.stop();
    expect(senders.refusals).toBe(0);
    await expectAllOnce(senders, timeseries);
  });
});
