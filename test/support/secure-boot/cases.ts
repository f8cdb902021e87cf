import fs from "node:fs";
import path from "node:path";
import { authenticodeHash, type RootImage, readPe } from "../../../src/secureboot/index.ts";
import { esp, fillSlot, type Lab, type System, withOneBitTurned } from "./lab.ts";
import type { Machine } from "./machine.ts";
import { updateThroughPlatform } from "./platform-case.ts";

/** Long enough for a machine without KVM beside other work. */
const BOOT_MS = 600_000;
const TRIAL = "vautn-0002-b+3.efi";

export interface ChainCase {
  /** What is broken, and what has to come of it. */
  name: string;
  expected: string;
  /** Quick enough for every run of the tests. */
  short?: boolean;
  /** Needs minutes and our whole platform. */
  long?: boolean;
  run(bench: Bench): Promise<string>;
}

/** A lab with the systems that most cases begin with; machines that it starts are ended with it. */
export class Bench {
  readonly lab: Lab;
  readonly #machines = new Set<Machine>();
  #root: RootImage | undefined;
  #system: System | undefined;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  get root(): RootImage {
    this.#root ??= this.lab.root("system");
    return this.#root;
  }

  /** Version 1.0.0, which works. */
  get good(): System {
    this.#system ??= this.lab.system("1.0.0", this.root);
    return this.#system;
  }

  start(disk: string, variables: string): Machine {
    const machine = this.lab.start(disk, variables);
    this.#machines.add(machine);
    return machine;
  }

  async end(): Promise<void> {
    for (const machine of this.#machines) await machine.cutPower();
    this.#machines.clear();
  }
}

/** What the machine says when the agent of a slot runs, after all that was verified. */
async function untilRuns(machine: Machine, slot: "a" | "b", secureBoot = 1): Promise<void> {
  await machine.until(new RegExp(`slot=${slot} .*SecureBoot=${secureBoot}`), BOOT_MS);
  await machine.until(/in force/, BOOT_MS);
}

/** A machine whose trial slot B is what `change` makes of it: it must come back to A by itself. */
async function badTrial(bench: Bench, change: (kernel: Buffer) => Buffer): Promise<string> {
  const { lab, good } = bench;
  const disk = await lab.disk(good);
  fillSlot(disk, TRIAL, { kernel: change(lab.system("2.0.0", bench.root).kernel) });
  const machine = bench.start(disk.file, lab.variables(disk.image));
  await machine.until(/slot b struck out: refused by the firmware/, BOOT_MS);
  await untilRuns(machine, "a");
  await machine.cutPower();
  refuse(machine, /slot=b/);
  expectEntry(disk.file, "vautn-0002-b+0-1.efi");
  return "refused by the firmware, struck out, back in slot A";
}

/**
 * The three short cases on one machine, for every run of the tests: its trial slot has a kernel with one
 * bit turned, its newest configuration was altered, and all the rest is good.
 */
export async function startThreefold(bench: Bench): Promise<Threefold> {
  const { lab, good } = bench;
  const altered = lab.configuration(2);
  altered.signed.settings = { interval: 666 };
  const disk = await lab.disk(good, {
    documents: {
      "configuration.json": altered,
      "configuration.previous.json": lab.configuration(1),
    },
  });
  const { kernel } = lab.system("2.0.0", bench.root);
  fillSlot(disk, TRIAL, { kernel: withOneBitTurned(kernel, middleOf(kernel, ".linux")) });
  const machine = bench.start(disk.file, lab.variables(disk.image));
  return {
    until: (pattern) => machine.until(pattern, BOOT_MS),
    async end() {
      await machine.cutPower();
      refuse(machine, /slot=b|SCRIPT 2/);
      expectEntry(disk.file, "vautn-0002-b+0-1.efi");
    },
  };
}

export interface Threefold {
  until(pattern: RegExp): Promise<string>;
  /** Rejects where anything ran that must not. */
  end(): Promise<void>;
}

/** The place of a section, in bytes from the start of the file. */
function middleOf(kernel: Buffer, name: string): number {
  const section = readPe(kernel).sections.find((one) => one.name === name);
  if (!section) throw new Error(`there is no section ${name}`);
  return section.rawOffset + Math.floor(section.virtualSize / 2);
}

function refuse(machine: Machine, pattern: RegExp): void {
  const found = machine.lines.find((line) => pattern.test(line));
  if (found) throw new Error(`this must not have happened: ${found}`);
}

function expectEntry(disk: string, name: string): void {
  const names = esp.list(disk);
  if (!names.includes(name)) throw new Error(`${name} is not among ${names.join(", ")}`);
}

export const CHAIN_CASES: readonly ChainCase[] = [
  {
    name: "good chain",
    expected: "runs, every stage verified",
    short: true,
    async run(bench) {
      const { lab, good } = bench;
      const documents = { "configuration.json": lab.configuration(1) };
      const disk = await lab.disk(good, { documents });
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/slot=a version=1.0.0 counter=1 SecureBoot=1/, BOOT_MS);
      await machine.until(/SCRIPT 1/, BOOT_MS);
      await machine.until(/configuration 1 \(current\) is in force/, BOOT_MS);
      await machine.cutPower();
      return "firmware, loader, kernel, root image, configuration, script";
    },
  },
  {
    name: "one bit of the kernel altered",
    expected: "refused, back to A without a person",
    short: true,
    run: (bench) =>
      badTrial(bench, (kernel) => withOneBitTurned(kernel, middleOf(kernel, ".linux"))),
  },
  {
    name: "configuration altered",
    expected: "reverts to the previous signed one",
    short: true,
    async run(bench) {
      const { lab, good } = bench;
      const altered = lab.configuration(2);
      altered.signed.settings = { interval: 666 };
      const disk = await lab.disk(good, {
        documents: {
          "configuration.json": altered,
          "configuration.previous.json": lab.configuration(1),
        },
      });
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/configuration\.json: signature/, BOOT_MS);
      await machine.until(/configuration 1 \(previous\) is in force/, BOOT_MS);
      await machine.cutPower();
      refuse(machine, /SCRIPT 2/);
      return "no script of it ran; version 1 is in force";
    },
  },
  {
    name: "one bit of the command line altered",
    expected: "refused, back to A without a person",
    run: (bench) =>
      badTrial(bench, (kernel) => withOneBitTurned(kernel, middleOf(kernel, ".cmdline"))),
  },
  {
    name: "slot B signed with a foreign key",
    expected: "refused, back to A without a person",
    run: (bench) =>
      badTrial(bench, () => {
        const { lab } = bench;
        return lab.system("2.0.0", bench.root, { signer: lab.signers.floor }).kernel;
      }),
  },
  {
    name: "slot B not signed",
    expected: "refused, back to A without a person",
    run: (bench) =>
      badTrial(bench, () => bench.lab.system("2.0.0", bench.root, { signer: null }).kernel),
  },
  {
    name: "one bit of the second stage altered",
    expected: "refused, restored by the recovery image",
    async run(bench) {
      const { lab, good } = bench;
      const disk = await lab.disk(good);
      esp.write(disk.file, "EFI/BOOT/BOOTX64.EFI", withOneBitTurned(lab.loader, 0x4000));
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/loader restored/, BOOT_MS);
      await untilRuns(machine, "a");
      await machine.cutPower();
      return "the recovery image put the signed loader back";
    },
  },
  {
    name: "kernel revoked by dbx",
    expected: "refused, the other slot runs",
    async run(bench) {
      const { lab, good } = bench;
      const other = lab.system("1.1.0", bench.root);
      const disk = await lab.disk(good);
      fillSlot(disk, "vautn-0000-b.efi", other);
      const forbidden = [authenticodeHash(good.kernel)];
      const machine = bench.start(disk.file, lab.variables(disk.image, { forbidden }));
      await machine.until(/slot a struck out: refused by the firmware/, BOOT_MS);
      await untilRuns(machine, "b");
      await machine.cutPower();
      refuse(machine, /slot=a/);
      return "a valid signature did not help it";
    },
  },
  {
    name: "old system replayed",
    expected: "below the floor: struck out by itself, the other slot runs",
    async run(bench) {
      const { lab } = bench;
      const old = lab.system("1.0.0", bench.root, { counter: 1 });
      const disk = await lab.disk(old);
      fillSlot(disk, "vautn-0000-b.efi", lab.system("1.1.0", bench.root, { counter: 2 }));
      const variables = lab.variables(disk.image, { floors: [2, 0] });
      const machine = bench.start(disk.file, variables);
      await machine.until(/slot a struck out: security counter 1 is below the floor 2/, BOOT_MS);
      await untilRuns(machine, "b");
      await machine.cutPower();
      return "the floor of the firmware's authenticated variable held";
    },
  },
  {
    name: "old configuration replayed",
    expected: "below the floor: refused, the newer one is in force",
    async run(bench) {
      const { lab, good } = bench;
      const disk = await lab.disk(good, {
        documents: {
          "configuration.json": lab.configuration(1),
          "configuration.previous.json": lab.configuration(3),
        },
      });
      const variables = lab.variables(disk.image, { floors: [0, 2] });
      const machine = bench.start(disk.file, variables);
      await machine.until(/floor, version 1 is below the floor 2/, BOOT_MS);
      await machine.until(/configuration 3 \(previous\) is in force/, BOOT_MS);
      await machine.cutPower();
      refuse(machine, /SCRIPT 1/);
      return "version 1 was signed, and refused";
    },
  },
  {
    name: "both configurations bad",
    expected: "built-in defaults, no restart",
    async run(bench) {
      const { lab, good } = bench;
      const altered = [lab.configuration(2), lab.configuration(1)];
      for (const { signed } of altered) signed.settings = { interval: 666 };
      const disk = await lab.disk(good, {
        documents: {
          "configuration.json": altered[0],
          "configuration.previous.json": altered[1],
        },
      });
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/no configuration of the tenant's is in force/, BOOT_MS);
      await machine.cutPower();
      refuse(machine, /SCRIPT/);
      return "the agent runs with its defaults";
    },
  },
  {
    name: "self-test of slot B fails",
    expected: "falls back to A",
    async run(bench) {
      const { lab, good } = bench;
      const root = lab.root("self-test-fails", { selfTestStatus: 1 });
      const disk = await lab.disk(good);
      fillSlot(disk, TRIAL, lab.system("2.0.0", root));
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/slot=b version=2.0.0/, BOOT_MS);
      await machine.until(/AGENT ended with 75/, BOOT_MS);
      await untilRuns(machine, "a");
      await machine.cutPower();
      return "the agent gave the trial up";
    },
  },
  {
    name: "slot B dies at every start",
    expected: "three tries, then A",
    async run(bench) {
      const { lab, good } = bench;
      const root = lab.root("dies", { dies: true });
      const disk = await lab.disk(good);
      fillSlot(disk, TRIAL, lab.system("2.0.0", root));
      const machine = bench.start(disk.file, lab.variables(disk.image));
      for (let tries = 0; tries < 3; tries += 1) {
        await machine.until(/slot=b version=2.0.0/, BOOT_MS);
      }
      await untilRuns(machine, "a");
      await machine.cutPower();
      expectEntry(disk.file, "vautn-0002-b+0-3.efi");
      return "the loader's counter ran out";
    },
  },
  {
    name: "root image of slot B altered",
    expected: "struck out, back to A",
    async run(bench) {
      const { lab, good } = bench;
      const root = lab.root("altered", { selfTestStatus: 2 });
      const disk = await lab.disk(good);
      fillSlot(disk, TRIAL, lab.system("2.0.0", root));
      const partition = disk.image.partitions.find(({ name }) => name === "vautn-root-b");
      turnBit(disk.file, (partition?.firstByte ?? 0) + 8);
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/slot b struck out: the root image is not the signed one/, BOOT_MS);
      await untilRuns(machine, "a");
      await machine.cutPower();
      return "its hash tree did not fit the signed root hash";
    },
  },
  {
    name: "both slots altered",
    expected: "recovery stays, no endless restart",
    async run(bench) {
      const { lab, good } = bench;
      const bad = withOneBitTurned(good.kernel, middleOf(good.kernel, ".linux"));
      const disk = await lab.disk({ ...good, kernel: bad });
      fillSlot(disk, TRIAL, { kernel: bad });
      const machine = bench.start(disk.file, lab.variables(disk.image));
      await machine.until(/RECOVERY stays/, 2 * BOOT_MS);
      await machine.cutPower();
      refuse(machine, /slot=/);
      const tries = machine.lines.filter((line) => /recovery 1\.0\.0, try/.test(line)).length;
      return `after ${tries} starts of the recovery image`;
    },
  },
  {
    name: "one slot below the floor, the other empty",
    expected: "recovery stays, no endless restart",
    async run(bench) {
      const { lab, good } = bench;
      const disk = await lab.disk(good);
      // What a file system leaves of a rename that the power went in.
      fillSlot(disk, "vautn-0002-b.efi", { kernel: Buffer.alloc(0) });
      const machine = bench.start(disk.file, lab.variables(disk.image, { floors: [2, 0] }));
      await machine.until(/RECOVERY stays/, 2 * BOOT_MS);
      await machine.cutPower();
      const tries = machine.lines.filter((line) => /slot=a/.test(line)).length;
      if (tries > 2) throw new Error(`slot a was started ${tries} times`);
      return `after ${tries} starts of slot a`;
    },
  },
  {
    name: "update through our platform",
    expected: "by our agent in the guest; floors hold over a power cut; replays refused",
    long: true,
    run: ({ lab }) => updateThroughPlatform(path.join(lab.folder, "update")),
  },
  {
    name: "control: no keys enrolled",
    expected: "the altered image runs, so it is Secure Boot that refuses",
    async run(bench) {
      const { lab, good } = bench;
      const kernel = withOneBitTurned(good.kernel, middleOf(good.kernel, ".osrel"));
      const disk = await lab.disk({ ...good, kernel });
      const variables = lab.variables(disk.image, { keys: false });
      const machine = bench.start(disk.file, variables);
      await untilRuns(machine, "a", 0);
      await machine.cutPower();
      return "one bit altered, started all the same";
    },
  },
];

function turnBit(file: string, at: number): void {
  const handle = fs.openSync(file, "r+");
  try {
    const byte = Buffer.alloc(1);
    fs.readSync(handle, byte, 0, 1, at);
    byte[0] = (byte[0] as number) ^ 1;
    fs.writeSync(handle, byte, 0, 1, at);
  } finally {
    fs.closeSync(handle);
  }
}
