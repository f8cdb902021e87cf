import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AppError } from "../../src/kernel/index.ts";
import { Journal, type JournalOptions } from "../../src/timeseries/journal.ts";
import type { JournalBatch } from "../../src/timeseries/journal-batches.ts";
import { encodeRecord, readRecords } from "../../src/timeseries/journal-record.ts";

const TARGET = "telemetry (tenant_id, ts)";
const logger = pino({ level: "silent" });
let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-journal-"));
});
afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

const recordOf = (text: string) => ({ target: TARGET, rows: 1, block: Buffer.from(text) });

/** A store that takes what it is given, unless it is told to fail. */
class Store {
  readonly taken: string[] = [];
  fault: Error | undefined;

  readonly write = async ({ blocks }: JournalBatch) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.fault) throw this.fault;
    this.taken.push(...blocks.map((block) => block.toString()));
  };
}

function open(store: Store, options: Partial<JournalOptions> = {}): Journal {
  return Journal.open({
    ...{ directory, name: "gateway-1", logger, feedEveryMs: 1 },
    ...{ write: store.write },
    ...options,
  });
}

const filesOf = (name: string) => fs.readdirSync(path.join(directory, name));

describe("records of a journal", () => {
  const texts = fc.array(fc.string({ maxLength: 40 }), { minLength: 1, maxLength: 8 });
  const bytesOf = (all: string[]) =>
    Buffer.concat(all.flatMap((text) => encodeRecord(recordOf(text))));

  it("come back whole, as far as they were written", () => {
    fc.assert(
      fc.property(texts, fc.nat(), (all, where) => {
        const bytes = bytesOf(all);
        const cut = where % (bytes.length + 1);
        const whole = all.filter((_, at) => bytesOf(all.slice(0, at + 1)).length <= cut);
        const { records, damagedBytes } = readRecords(bytes.subarray(0, cut));
        expect(records).toEqual(whole.map(recordOf));
        expect(damagedBytes).toBe(cut - (whole.length > 0 ? bytesOf(whole).length : 0));
      }),
    );
  });

  it("are skipped where they are damaged, and no other with them", () => {
    fc.assert(
      fc.property(texts, fc.nat(), fc.integer({ min: 1, max: 255 }), (all, where, flip) => {
        const bytes = bytesOf(all);
        const at = where % bytes.length;
        bytes[at] = (bytes[at] as number) ^ flip;
        let start = 0;
        const intact = all.filter((text) => {
          const end = start + bytesOf([text]).length;
          const isHit = start <= at && at < end;
          start = end;
          return !isHit;
        });
        expect(readRecords(bytes).records).toEqual(intact.map(recordOf));
      }),
    );
  });

  it("name no table but as an insert names it", () => {
    for (const target of ["telemetry", "x (a); DROP TABLE x", "x (a) VALUES (1)", ""]) {
      const bytes = Buffer.concat(encodeRecord({ target, rows: 1, block: Buffer.from("x") }));
      expect(readRecords(bytes).records).toEqual([]);
    }
  });
});

describe("the ingest journal", () => {
  it("brings all that it acknowledged to the store, whatever fails and whoever takes over", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("append"), count: fc.nat(4) }) },
      fc.constantFrom({ kind: "fail" }, { kind: "heal" }, { kind: "take over" }, { kind: "wait" }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const store = new Store();
        const living = [open(store)];
        const acknowledged: string[] = [];
        const appends: Promise<void>[] = [];
        let number = 0;
        for (const one of steps) {
          if (one.kind === "fail") store.fault = new AppError("unavailable", "down");
          if (one.kind === "heal") store.fault = undefined;
          // The one before is still there and writes: a process that was thought to be dead.
          if (one.kind === "take over" && living.length < 4) living.push(open(store));
          if (one.kind === "wait") await new Promise((resolve) => setTimeout(resolve, 3));
          if (!("count" in one)) continue;
          for (const journal of living) {
            for (let index = 0; index < one.count; index += 1) {
              const text = `${number++}`;
              const append = journal.append(recordOf(text)).then(
                () => void acknowledged.push(text),
                (error: AppError) => expect(error.code).toBe("unavailable"),
              );
              appends.push(append);
            }
          }
        }
        await Promise.all(appends);
        store.fault = undefined;
        await Promise.all(living.map((journal) => journal.close()));
        const last = open(store);
        await last.fed();
        await last.close();
        expect(new Set(store.taken)).toEqual(new Set([...store.taken, ...acknowledged]));
        expect(filesOf("gateway-1")).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it("takes no more than it has room for, and goes on when the store does", async () => {
    const store = new Store();
    store.fault = new AppError("unavailable", "down");
    const journal = open(store, { maxBytes: 1_000 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) => journal.append(recordOf(`${index}`.padEnd(90)))),
    );
    const taken = outcomes.filter((one) => one.status === "fulfilled").length;
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(12);
    await expect(journal.append(recordOf("x".repeat(900)))).rejects.toMatchObject({
      code: "unavailable",
    });
    store.fault = undefined;
    await journal.fed();
    expect(store.taken).toHaveLength(taken);
    await journal.append(recordOf("again"));
    await journal.close();
    expect(store.taken.at(-1)).toBe("again");
  });

  it("keeps what the store refuses aside, and feeds what comes after it", async () => {
    const store = new Store();
    const journal = open(store);
    store.fault = new Error("Code: 44. DB::Exception: no such column");
    await journal.append(recordOf("bad"));
    await journal.fed();
    store.fault = undefined;
    await journal.append(recordOf("good"));
    await journal.close();
    expect(store.taken).toEqual(["good"]);
    const [kept] = filesOf("refused");
    const bytes = fs.readFileSync(path.join(directory, "refused", kept as string));
    expect(readRecords(bytes).records).toEqual([recordOf("bad")]);
  });

  it("acknowledges nothing while its folder is gone, and goes on when it is back", async () => {
    const store = new Store();
    const journal = open(store);
    fs.rmSync(path.join(directory, "gateway-1"), { recursive: true });
    await expect(journal.append(recordOf("lost"))).rejects.toMatchObject({ code: "unavailable" });
    fs.mkdirSync(path.join(directory, "gateway-1"));
    await journal.append(recordOf("kept"));
    await journal.close();
    expect(store.taken).toEqual(["kept"]);
  });

  it("takes over the journals of processes that are not started any more, and only theirs", async () => {
    const down = new Store();
    down.fault = new AppError("unavailable", "down");
    for (const name of ["gateway-2", "gateway-7"]) {
      await open(down, { name }).append(recordOf(name));
    }
    const store = new Store();
    const journal = open(store, { isLost: (name) => name === "gateway-7" });
    await journal.close();
    expect(store.taken).toEqual(["gateway-7"]);
    expect(filesOf("gateway-2")).toHaveLength(1);
    expect(fs.existsSync(path.join(directory, "gateway-7"))).toBe(false);
  });
});
