import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openBackEnd } from "../../src/agent/boot/open-back-end.ts";
import { bootFromRauc } from "../../src/agent/boot/rauc.ts";
import type { Bootloader } from "../../src/agent/index.ts";
import { openFileStorage } from "../../src/agent/offline/file-storage.ts";
import {
  bootByGrub,
  bootByUBoot,
  has,
  makeSigner,
  makeSwu,
  RaucStage,
  run,
} from "../support/bootloader-tools.ts";

const hasUBoot = await has("fw_printenv", "--help");
const hasGrub = (await has("grub-editenv", "--help")) && (await has("grub-script-check", "--help"));
const hasRauc = (await has("rauc", "--version")) && (await has("dbus-daemon", "--version"));
const hasSwupdate = (await has("swupdate", "--version")) && (await has("cpio", "--version"));

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-boot-"));
  return () => fs.rmSync(folder, { recursive: true });
});

const at = (name: string) => path.join(folder, name);

/** A machine whose bootloader is played by our own scripts and the real tools. */
interface Machine {
  boot(): Promise<{ slot: string; bootloader: Bootloader }>;
}

async function opened(config: object, slot: string): Promise<Bootloader> {
  fs.writeFileSync(at("cmdline"), `quiet vautn.slot=${slot} ro\n`);
  for (const name of ["slot-a", "slot-b"]) fs.appendFileSync(at(name), "");
  const storage = await openFileStorage(at("data"));
  const slots = { a: at("slot-a"), b: at("slot-b") };
  const { bootloader } = await openBackEnd(
    { ...config, slots, commandLineFile: at("cmdline") } as never,
    { storage, locate: (name) => path.join(at("data"), name), capacityBytes: 1024 * 1024 },
  );
  return bootloader;
}

function uBootMachine(): Machine {
  const places = ["env-1", "env-2"].map((name) => `${at(name)} 0x0 0x4000\n`);
  for (const name of ["env-1", "env-2"]) fs.writeFileSync(at(name), Buffer.alloc(0x4000));
  fs.writeFileSync(at("fw_env.config"), places.join(""));
  const shipped = path.resolve(import.meta.dirname, "../../deploy/bootloaders/u-boot.env");
  const config = { configFile: at("fw_env.config"), defaultsFile: shipped };
  return {
    async boot() {
      const slot = await bootByUBoot(["-c", config.configFile, "-f", shipped]);
      return { slot, bootloader: await opened({ kind: "u-boot", ...config }, slot) };
    },
  };
}

function grubMachine(): Machine {
  const environmentFile = at("grubenv");
  return {
    async boot() {
      if (!fs.existsSync(environmentFile)) await run("grub-editenv", [environmentFile, "create"]);
      const slot = await bootByGrub(environmentFile);
      return { slot, bootloader: await opened({ kind: "grub", environmentFile }, slot) };
    },
  };
}

describe.each([
  ["U-Boot's environment (skipped without fw_setenv)", hasUBoot, uBootMachine],
  ["GRUB's environment (skipped without grub-editenv)", hasGrub, grubMachine],
] as const)("%s", (_, available, make) => {
  it.skipIf(!available)("starts from slot a, and stays there", async () => {
    const machine = make();
    const { slot, bootloader } = await machine.boot();
    expect(slot).toBe("a");
    expect(await bootloader.status()).toMatchObject({
      running: "a",
      trial: false,
      abandoned: null,
    });
    expect((await machine.boot()).slot).toBe("a");
  });

  it.skipIf(!available)("tries a slot, and keeps it once it is blessed", async () => {
    const machine = make();
    const { bootloader } = await machine.boot();
    await bootloader.tryNext("b", 3);
    expect(await bootloader.status()).toMatchObject({
      running: "a",
      trial: false,
      abandoned: null,
    });
    const tried = await machine.boot();
    expect(tried.slot).toBe("b");
    expect(await tried.bootloader.status()).toMatchObject({ running: "b", trial: true });
    await tried.bootloader.bless();
    expect(await tried.bootloader.status()).toMatchObject({ trial: false, abandoned: null });
    for (let boot = 0; boot < 2; boot += 1) expect((await machine.boot()).slot).toBe("b");
    // And the way back, with the roles changed.
    await tried.bootloader.tryNext("a", 1);
    const back = await machine.boot();
    expect(await back.bootloader.status()).toMatchObject({ running: "a", trial: true });
    await back.bootloader.bless();
    expect((await machine.boot()).slot).toBe("a");
  });

  it.skipIf(!available)("goes back by itself when the tries are used up", async () => {
    const machine = make();
    const { bootloader } = await machine.boot();
    await bootloader.tryNext("b", 2);
    const slots: string[] = [];
    for (let boot = 0; boot < 3; boot += 1) slots.push((await machine.boot()).slot);
    expect(slots).toEqual(["b", "b", "a"]);
    const after = await machine.boot();
    expect(await after.bootloader.status()).toMatchObject({
      ...{ running: "a", trial: false, abandoned: "b" },
    });
    await after.bootloader.tryNext("b", 3);
    expect(await after.bootloader.status()).toMatchObject({ abandoned: null });
  });

  it.skipIf(!available)("leaves a slot that is given up, at the next boot", async () => {
    const machine = make();
    await (await machine.boot()).bootloader.tryNext("b", 3);
    const tried = await machine.boot();
    await tried.bootloader.abandonTrial();
    const after = await machine.boot();
    expect(await after.bootloader.status()).toMatchObject({ running: "a", abandoned: "b" });
  });
});

describe("the scripts that are shipped for bootloaders", () => {
  it.skipIf(!hasGrub)("are valid for GRUB", async () => {
    await run("grub-script-check", [
      path.resolve(import.meta.dirname, "../../deploy/bootloaders/grub.cfg"),
    ]);
  });
});

describe.skipIf(!hasRauc)("RAUC (skipped where it, or dbus-daemon, is not installed)", () => {
  const stage = new RaucStage(fs.mkdtempSync(path.join(os.tmpdir(), "vautn-rauc-")));
  const outside = process.env.DBUS_SYSTEM_BUS_ADDRESS;
  beforeAll(async () => {
    process.env.DBUS_SYSTEM_BUS_ADDRESS = `unix:path=${path.join(stage.folder, "bus")}`;
    await stage.prepare();
  }, 60_000);
  afterAll(async () => {
    await stage.stop();
    if (outside === undefined) delete process.env.DBUS_SYSTEM_BUS_ADDRESS;
    else process.env.DBUS_SYSTEM_BUS_ADDRESS = outside;
    fs.rmSync(stage.folder, { recursive: true });
  });

  const boot = async (slot: string, bundle = "") => {
    await stage.boot(slot);
    return bootFromRauc({
      bootNames: { a: "a", b: "b" },
      bundleOf: () => bundle,
      storage: await openFileStorage(path.join(stage.folder, "data")),
      resetCause: "power-on",
      bootIdFile: path.join(stage.folder, "boot_id"),
    });
  };

  it("writes a bundle to the other slot, tries it, and keeps it or goes back", async () => {
    const { file, image } = await stage.bundle("signer");
    const before = await boot("a", file);
    expect(await before.status()).toMatchObject({ running: "a", trial: false, abandoned: null });
    await before.tryNext("b", 3);
    expect(stage.read("slot-b").subarray(0, image.length).equals(image)).toBe(true);
    expect(stage.read("primary").toString().trim()).toBe("b");
    expect(await before.status()).toMatchObject({ running: "a", trial: false, abandoned: null });

    // The bootloader turned back after its attempts.
    const turnedBack = await boot("a", file);
    expect(await turnedBack.status()).toMatchObject({ running: "a", abandoned: "b" });

    await turnedBack.tryNext("b", 3);
    const tried = await boot("b", file);
    expect(await tried.status()).toMatchObject({ running: "b", trial: true, abandoned: null });
    await tried.bless();
    expect(await tried.status()).toMatchObject({ running: "b", trial: false, abandoned: null });
    expect(stage.read("state-b").toString().trim()).toBe("good");

    // And a trial that is given up.
    await tried.tryNext("a", 3);
    const again = await boot("a", file);
    await again.abandonTrial();
    expect(stage.read("primary").toString().trim()).toBe("b");
    expect(stage.read("state-a").toString().trim()).toBe("bad");
    expect(await (await boot("b")).status()).toMatchObject({ running: "b", abandoned: "a" });
  }, 60_000);

  it("refuses a bundle that strangers signed, with RAUC's reason, and changes nothing", async () => {
    const { file } = await stage.bundle("stranger");
    const bootloader = await boot("b", file);
    const before = stage.read("slot-a");
    await expect(bootloader.tryNext("a", 3)).rejects.toThrow(/signature|verif/i);
    expect(stage.read("slot-a").equals(before)).toBe(true);
    expect(stage.read("primary").toString().trim()).toBe("b");
  }, 60_000);
});

describe.skipIf(!hasSwupdate || !hasGrub)("SWUpdate (skipped where it is not installed)", () => {
  async function swupdate(key: string) {
    fs.mkdirSync(at("data"), { recursive: true });
    for (const name of ["slot-a", "slot-b"]) fs.writeFileSync(at(name), Buffer.alloc(64 * 1024));
    const environment = { kind: "grub", environmentFile: at("grubenv") };
    const words = ["-k", at(key), "-H", "vautn:1.0"];
    const modes = { a: "stable,a", b: "stable,b" };
    return opened({ kind: "swupdate", environment, modes, arguments: words }, "a");
  }

  it("writes the slot that is named, and the bootloader tries it", async () => {
    await makeSigner(folder);
    const bootloader = await swupdate("signer.pem");
    fs.copyFileSync(await makeSwu(folder, "signer"), at("data/b.img"));
    await bootloader.tryNext("b", 2);
    const image = fs.readFileSync(at("rootfs.img"));
    expect(fs.readFileSync(at("slot-b")).subarray(0, image.length).equals(image)).toBe(true);
    expect(fs.readFileSync(at("slot-a")).every((byte) => byte === 0)).toBe(true);
    expect(await bootByGrub(at("grubenv"))).toBe("b");
  });

  it("refuses an image that strangers signed, and the bootloader stays where it was", async () => {
    await makeSigner(folder);
    await makeSigner(folder, "stranger");
    const bootloader = await swupdate("signer.pem");
    fs.copyFileSync(await makeSwu(folder, "stranger"), at("data/b.img"));
    await expect(bootloader.tryNext("b", 2)).rejects.toThrow("swupdate ended with status");
    expect(fs.readFileSync(at("slot-b")).every((byte) => byte === 0)).toBe(true);
    expect(await bootloader.status()).toMatchObject({ running: "a", trial: false });
  });
});
