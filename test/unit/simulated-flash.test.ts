import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { replaceFile, type Storage } from "../../src/agent/index.ts";
import { seededRandom } from "../../src/kernel/index.ts";
import { FlashLog, PagePool, SimulatedFlash } from "../../src/simulator/index.ts";

const PAGE_BYTES = 16 * 1024;
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-flash-"));
  folders.push(folder);
  return folder;
}

/** The flash of the device in `folder`, as a new process finds it. */
function openFlash(folder: string, seed = 1, device = "device"): SimulatedFlash {
  const pool = new PagePool(path.join(folder, "pages"));
  const keeper = new FlashLog(path.join(folder, device, "flash.log"), pool);
  return new SimulatedFlash(pool, seededRandom(seed), keeper);
}

async function contentOf(storage: Storage): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const name of (await storage.list()).sort()) {
    content[name] = Buffer.from((await storage.read(name)) ?? []).toString("base64");
  }
  return content;
}

const NAMES = ["a.img", "b.img", "state.json", "events.log"] as const;
const RENAMED = { "a.img": "b.img", "b.img": "a.img" } as Record<string, string>;

const operation = fc.oneof(
  fc.record({
    do: fc.constant("write" as const),
    name: fc.constantFrom(...NAMES),
    offset: fc.integer({ min: 0, max: 3 * PAGE_BYTES }),
    length: fc.integer({ min: 0, max: 2 * PAGE_BYTES }),
    fill: fc.integer({ min: 1, max: 255 }),
    sync: fc.boolean(),
  }),
  fc.record({
    do: fc.constant("truncate" as const),
    name: fc.constantFrom(...NAMES),
    sizeBytes: fc.integer({ min: 0, max: 4 * PAGE_BYTES }),
    sync: fc.boolean(),
  }),
  fc.record({ do: fc.constant("remove" as const), name: fc.constantFrom(...NAMES) }),
  fc.record({ do: fc.constant("rename" as const), name: fc.constantFrom(...NAMES) }),
  fc.record({ do: fc.constant("sync-directory" as const) }),
  fc.record({ do: fc.constant("cut" as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

async function apply(flash: SimulatedFlash, step: Operation): Promise<void> {
  const storage = flash.mount();
  if (step.do === "cut") {
    flash.cutPower();
    flash.restorePower();
  } else if (step.do === "sync-directory") await storage.syncDirectory();
  else if (step.do === "remove") await storage.remove(step.name);
  else if (step.do === "rename") {
    if (!(await storage.list()).includes(step.name)) return;
    await storage.rename(step.name, RENAMED[step.name] ?? `${step.name}.old`);
  } else {
    const file = await storage.open(step.name);
    if (step.do === "truncate") await file.truncate(step.sizeBytes);
    else await file.write(step.offset, Buffer.alloc(step.length, step.fill));
    if (step.sync) await file.sync();
  }
}

describe("a simulated flash with a folder", () => {
  it("is found by the next process as a power cut left it, whatever was done to it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 30 }),
        fc.integer({ min: 1, max: 1e9 }),
        async (steps, seed) => {
          const folder = newFolder();
          const flash = openFlash(folder, seed);
          for (const step of steps) await apply(flash, step);
          flash.cutPower();
          flash.restorePower();
          const left = await contentOf(flash.mount());
          expect(await contentOf(openFlash(folder).mount())).toEqual(left);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("has after the death of the process all that was synced, and none of the rest", async () => {
    const folder = newFolder();
    const storage = openFlash(folder).mount();
    await replaceFile(storage, "state.json", Buffer.from("first"));
    await replaceFile(storage, "state.json", Buffer.from("second"));
    const slot = await storage.open("a.img");
    await slot.write(0, Buffer.alloc(40_000, 7));
    await slot.sync();
    await storage.syncDirectory();
    await slot.write(0, Buffer.alloc(10, 8));
    await (await storage.open("b.img")).write(0, Buffer.from("not synced"));

    const found = openFlash(folder).mount();
    expect((await found.list()).sort()).toEqual(["a.img", "state.json"]);
    expect(Buffer.from((await found.read("state.json")) ?? []).toString()).toBe("second");
    expect(await found.read("a.img")).toEqual(Buffer.alloc(40_000, 7));
  });

  it("has one of the contents that a file had, wherever the death cut the log off", async () => {
    const folder = newFolder();
    const storage = openFlash(folder).mount();
    const contents = ["one", "two, which is longer", "3"];
    for (const text of contents) await replaceFile(storage, "state.json", Buffer.from(text));
    const log = path.join(folder, "device", "flash.log");
    const whole = fs.readFileSync(log);
    const seen = new Set<string | undefined>();
    for (let length = 0; length <= whole.length; length += 1) {
      fs.writeFileSync(log, whole.subarray(0, length));
      const found = await openFlash(folder).mount().read("state.json");
      seen.add(found && Buffer.from(found).toString());
    }
    expect([...seen]).toEqual([undefined, ...contents]);
  });

  it("shares the pages of equal images, and drops those that nobody has", async () => {
    const folder = newFolder();
    const pages = () => fs.readdirSync(path.join(folder, "pages"), { recursive: true });
    const image = Buffer.from(Array.from({ length: 5 * PAGE_BYTES + 9 }, (_, index) => index >> 9));
    for (const device of ["one", "two", "three"]) {
      const storage = openFlash(folder, 1, device).mount();
      const slot = await storage.open("a.img");
      await slot.write(0, image);
      await slot.sync();
      await storage.syncDirectory();
    }
    const kept = pages().filter((name) => String(name).length > 60);
    expect(kept.length).toBe(6);

    const pool = new PagePool(path.join(folder, "pages"));
    for (const device of ["one", "two"]) {
      const keeper = new FlashLog(path.join(folder, device, "flash.log"), pool);
      expect(await new SimulatedFlash(pool, seededRandom(1), keeper).mount().read("a.img")).toEqual(
        image,
      );
    }
    pool.sweep();
    expect(pages().filter((name) => String(name).length > 60)).toEqual(kept);
    new PagePool(path.join(folder, "pages")).sweep();
    expect(pages().filter((name) => String(name).length > 60)).toEqual([]);
  });

  it("says which page is damaged instead of booting something else", async () => {
    const folder = newFolder();
    const storage = openFlash(folder).mount();
    const slot = await storage.open("a.img");
    await slot.write(0, Buffer.alloc(100, 7));
    await slot.sync();
    await storage.syncDirectory();
    const [page] = fs
      .readdirSync(path.join(folder, "pages"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile());
    if (!page) throw new Error("no page was kept");
    fs.writeFileSync(path.join(page.parentPath, page.name), "something else");
    expect(() => openFlash(folder)).toThrow(/is damaged/);
  });
});
