import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  abandonedSlot,
  type BootBackEnd,
  EfiVariables,
  entries,
  entryName,
  hashSlot,
  openSystemdBoot,
  parseEntry,
  slotOfEntryName,
} from "../../src/agent/index.ts";
import { slotImageHeader, slotImagePlaces } from "../../src/protocol/index.ts";

const LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const OURS = "56415554-4e00-4000-8000-000000000001";
let folder: string;
const inFolder = (...names: string[]) => path.join(folder, ...names);

function setVariable(name: string, namespace: string, content: Buffer): void {
  const file = inFolder("efivars", `${name}-${namespace}`);
  fs.writeFileSync(file, Buffer.concat([Buffer.from([7, 0, 0, 0]), content]));
}

function select(entry: string): void {
  setVariable("LoaderEntrySelected", LOADER, Buffer.from(`${entry}\0`, "utf16le"));
}

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-boot-"));
  for (const name of ["efivars", "esp/EFI/Linux", "esp/vautn", "dev", "watchdog"]) {
    fs.mkdirSync(inFolder(name), { recursive: true });
  }
  for (const [device, partition] of [
    ["vda3", "vautn-root-a"],
    ["vda4", "vautn-root-b"],
  ]) {
    fs.mkdirSync(inFolder("block", device as string), { recursive: true });
    fs.writeFileSync(inFolder("block", device as string, "uevent"), `X=1\nPARTNAME=${partition}\n`);
    fs.writeFileSync(inFolder("dev", device as string), Buffer.alloc(64 * 1024));
  }
  fs.writeFileSync(inFolder("cmdline"), "vautn.version=1.0.0 vautn.counter=3 quiet\n");
  fs.writeFileSync(inFolder("esp/EFI/Linux/vautn-0001-a.efi"), Buffer.alloc(5_000, 1));
  select("vautn-0001-a.efi");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function open(): Promise<BootBackEnd> {
  return openSystemdBoot({
    systemPartition: inFolder("esp"),
    capacityBytes: 1_000_000,
    variables: new EfiVariables(inFolder("efivars")),
    blockDevices: inFolder("block"),
    devices: inFolder("dev"),
    commandLine: inFolder("cmdline"),
    watchdogs: inFolder("watchdog"),
  });
}

const listed = () => fs.readdirSync(inFolder("esp/EFI/Linux")).sort();

function slotImage(kernel: Buffer, root: Buffer): Buffer {
  const layout = { kernelBytes: kernel.length, rootBytes: root.length };
  const { kernelAt, rootAt, sizeBytes } = slotImagePlaces(layout);
  const image = Buffer.alloc(sizeBytes);
  slotImageHeader(layout).copy(image);
  kernel.copy(image, kernelAt);
  root.copy(image, rootAt);
  return image;
}

async function writeImage(back: BootBackEnd, image: Buffer, chunk: number): Promise<void> {
  const slot = await back.slots.open("b");
  try {
    await slot.truncate(0);
    for (let at = 0; at < image.length; at += chunk) {
      await slot.write(at, image.subarray(at, at + chunk));
    }
    await slot.sync();
  } finally {
    await slot.close();
  }
}

describe("entries", () => {
  test("say generation, slot and tries in their name, as the loader counts them", () => {
    expect(parseEntry("vautn-0002-b+2-1.efi")).toMatchObject({
      ...{ generation: 2, slot: "b", triesLeft: 2 },
    });
    expect(parseEntry("vautn-0002-b.efi")?.triesLeft).toBeNull();
    expect(parseEntry(entryName(12, "a", 3))).toMatchObject({ generation: 12, triesLeft: 3 });
    for (const name of ["vautn-2-b.efi", "vautn-0002-c.efi", "linux.efi", "vautn-0002-b+x.efi"]) {
      expect(parseEntry(name), name).toBeUndefined();
    }
    expect(slotOfEntryName("VAUTN-0002-B+3.EFI")).toBe("b");
    expect(slotOfEntryName(undefined)).toBeUndefined();
  });

  test("are ordered by generation, so that what was chosen last is first", () => {
    const files = ["vautn-0009-a.efi", "vautn-0010-b+3.efi", "readme"];
    expect(entries(files).map(({ slot }) => slot)).toEqual(["b", "a"]);
    expect(abandonedSlot(["vautn-0010-b+0-3.efi", "vautn-0009-a.efi"])).toBe("b");
    expect(abandonedSlot(files)).toBeNull();
  });
});

describe("the back end for systemd-boot", () => {
  test.each([7, 999, 4096, 1_000_000])(
    "writes kernel and root image to their places, %i bytes at a time, and reads them as one",
    async (chunk) => {
      const image = slotImage(Buffer.alloc(9_001, 2), Buffer.alloc(20_480, 3));
      const back = await open();
      await writeImage(back, image, chunk);
      expect(listed()).toEqual(["vautn-0001-a.efi"]);
      const expected = createHash("sha256").update(image).digest("hex");
      expect(await hashSlot(back.slots, "b", image.length)).toBe(expected);
      expect(fs.readFileSync(inFolder("esp/vautn/slot-b.img"))).toEqual(Buffer.alloc(9_001, 2));
      const root = fs.readFileSync(inFolder("dev/vda4"));
      expect(root.subarray(0, 20_480)).toEqual(Buffer.alloc(20_480, 3));
    },
  );

  test("tries a slot under a higher generation, blesses it and forgets what came to nothing", async () => {
    const back = await open();
    await writeImage(back, slotImage(Buffer.alloc(100, 2), Buffer.alloc(4096, 3)), 4096);
    await back.bootloader.tryNext("b", 3);
    expect(listed()).toEqual(["vautn-0001-a.efi", "vautn-0002-b+3.efi"]);
    expect(await back.bootloader.status()).toMatchObject({ running: "a", trial: false });

    fs.renameSync(
      inFolder("esp/EFI/Linux/vautn-0002-b+3.efi"),
      inFolder("esp/EFI/Linux/vautn-0002-b+2-1.efi"),
    );
    select("vautn-0002-b+3.efi");
    fs.writeFileSync(inFolder("esp/vautn/boots"), "1");
    const second = await open();
    expect(await second.bootloader.status()).toMatchObject({ running: "b", trial: true });
    await second.bootloader.bless();
    expect(listed()).toEqual(["vautn-0001-a.efi", "vautn-0002-b.efi"]);
    expect(fs.existsSync(inFolder("esp/vautn/boots"))).toBe(false);
    expect(await second.bootloader.status()).toMatchObject({ trial: false, abandoned: null });
    // The way back is a name again, with no byte written.
    await second.bootloader.tryNext("a", 3);
    expect(listed()).toEqual(["vautn-0002-b.efi", "vautn-0003-a+3.efi"]);
  });

  test("gives a trial up, and takes a slot from the entries before it is written", async () => {
    fs.writeFileSync(inFolder("esp/EFI/Linux/vautn-0002-b+2-1.efi"), "b");
    select("vautn-0002-b+3.efi");
    const back = await open();
    await back.bootloader.abandonTrial();
    expect(listed()).toEqual(["vautn-0001-a.efi", "vautn-0002-b+0.efi"]);
    select("vautn-0001-a.efi");
    const again = await open();
    expect(await again.bootloader.status()).toMatchObject({ running: "a", abandoned: "b" });
    const slot = await again.slots.open("b");
    await slot.truncate(0);
    await slot.close();
    expect(listed()).toEqual(["vautn-0001-a.efi"]);
  });

  test("refuses an image that is no slot image, and half of one", async () => {
    const back = await open();
    await expect(writeImage(back, Buffer.alloc(9_000, 1), 4096)).rejects.toThrow(/no slot image/);
    const slot = await back.slots.open("b");
    await expect(slot.write(50, Buffer.alloc(1))).rejects.toThrow(/from its start/);
    await slot.close();
    expect(await hashSlot(back.slots, "b", 100)).toBe(createHash("sha256").digest("hex"));
  });

  test("does not start where the loader says nothing", async () => {
    fs.rmSync(inFolder("efivars", `LoaderEntrySelected-${LOADER}`));
    await expect(open()).rejects.toThrow(/which slot runs/);
  });

  test("measures keys, versions and floors, and tells a watchdog's reset", async () => {
    setVariable("SecureBoot", GLOBAL, Buffer.from([1]));
    setVariable("SetupMode", GLOBAL, Buffer.from([0]));
    setVariable("PK", GLOBAL, Buffer.from("pk"));
    setVariable("LoaderInfo", LOADER, Buffer.from("systemd-boot 252\0", "utf16le"));
    const floors = Buffer.alloc(8);
    floors.writeUInt32LE(2, 0);
    floors.writeUInt32LE(9, 4);
    setVariable("VautnFloor", OURS, floors);
    fs.mkdirSync(inFolder("watchdog/watchdog0"));
    fs.writeFileSync(inFolder("watchdog/watchdog0/bootstatus"), "32\n");
    const back = await open();
    expect(await back.chain?.describe()).toEqual({
      kind: "uefi",
      secureBoot: true,
      setupMode: false,
      keys: { PK: createHash("sha256").update("pk").digest("hex") },
      stages: [
        { stage: "loader", version: "systemd-boot 252" },
        { stage: "system", version: "1.0.0", counter: 3, floor: 2 },
      ],
    });
    expect(await back.chain?.floors()).toEqual({ security: 2, configuration: 9 });
    expect((await back.bootloader.status()).resetCause).toBe("watchdog");
  });

  test("hands the firmware only signed writes of the variables that a configuration may change", async () => {
    const { chain } = await open();
    const write = { name: "VautnFloor", namespace: OURS, attributes: 0x27, payload: "AAECAw==" };
    await chain?.write(write);
    expect(fs.readFileSync(inFolder("efivars", `VautnFloor-${OURS}`))).toEqual(
      Buffer.from([0x27, 0, 0, 0, 0, 1, 2, 3]),
    );
    await expect(chain?.write({ ...write, attributes: 0x07 })).rejects.toThrow(/not signed/);
    await expect(chain?.write({ ...write, name: "Boot0000" })).rejects.toThrow(/not a config/);
    await expect(chain?.write({ ...write, namespace: GLOBAL })).rejects.toThrow(/not a config/);
    await expect(chain?.write({ ...write, name: "../x" })).rejects.toThrow(/not a config/);
  });
});
