import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CommandComponent } from "../../src/agent/components/command-component.ts";
import { FileComponent } from "../../src/agent/components/file-component.ts";
import {
  type Component,
  type ComponentContent,
  type Conditions,
  NO_CONDITIONS,
} from "../../src/agent/index.ts";
import { openFileStorage } from "../../src/agent/offline/file-storage.ts";
import { SimulatedComponent, sha256Of } from "../../src/simulator/index.ts";
import { type Bench, startBench } from "../support/bench-device.ts";

const SIGNAL = new AbortController().signal;

function content(text: string): ComponentContent {
  const bytes = Buffer.from(text);
  return {
    ...{ sha256: sha256Of(bytes), sizeBytes: bytes.length, version: "1.1.0" },
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "vautn-component-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function fileComponent() {
  const file = path.join(folder, "app.bin");
  await writeFile(file, "old");
  const reloads = path.join(folder, "reloads");
  const reload = ["/bin/sh", "-c", `cat ${file} >> ${reloads}; echo >> ${reloads}`];
  const component = new FileComponent({ path: file, mode: 0o755, reload });
  return { component, inUse: () => readFile(file, "utf8"), reloads };
}

async function commandComponent() {
  const target = path.join(folder, "target");
  await writeFile(target, "old");
  const storage = await openFileStorage(path.join(folder, "data"));
  const component = new CommandComponent({
    name: "boot",
    install: ["/bin/sh", "-c", `cp -n ${target} ${target}.old; cp "$1" ${target}`, "-", "{file}"],
    revert: ["/bin/sh", "-c", `[ ! -e ${target}.old ] || mv ${target}.old ${target}`],
    confirm: ["/bin/rm", "-f", `${target}.old`],
    installed: ["/usr/bin/sha256sum", target],
    timeoutMs: 10_000,
    storage,
    locate: (name) => path.join(folder, "data", name),
  });
  return { component, inUse: () => readFile(target, "utf8") };
}

describe.each([
  ["a file", fileComponent],
  ["programs", commandComponent],
])("a component that is %s", (_, make) => {
  it("is taken into use and kept, however often each step is repeated", async () => {
    const { component, inUse } = await make();
    const next = content("new");
    expect(await component.installed()).toBe(sha256Of(Buffer.from("old")));
    await twice(() => component.stage(next, SIGNAL));
    expect(await inUse()).toBe("old");
    await twice(() => component.activate(next.sha256, SIGNAL));
    expect([await inUse(), await component.installed()]).toEqual(["new", next.sha256]);
    await twice(() => component.confirm());
    await twice(() => component.revert());
    expect(await inUse()).toBe("new");
  });

  it("goes back to what was in use, also from a step that was cut off", async () => {
    const { component, inUse } = await make();
    const next = content("new");
    await component.stage(next, SIGNAL);
    await twice(() => component.revert());
    expect(await inUse()).toBe("old");
    for (let update = 0; update < 2; update += 1) {
      await component.stage(next, SIGNAL);
      await twice(() => component.activate(next.sha256, SIGNAL));
      await twice(() => component.revert());
      expect(await inUse()).toBe("old");
    }
  });

  it("refuses to take into use what was not staged", async () => {
    const { component, inUse } = await make();
    await component.stage(content("another"), SIGNAL);
    await component.revert();
    await expect(component.activate(content("new").sha256, SIGNAL)).rejects.toThrow();
    expect(await inUse()).toBe("old");
  });
});

it("makes who uses a file read it again, after the way back too", async () => {
  const { component, reloads } = await fileComponent();
  const next = content("new");
  await component.stage(next, SIGNAL);
  await component.activate(next.sha256, SIGNAL);
  await component.revert();
  expect(await readFile(reloads, "utf8")).toBe("new\nold\n");
});

it("takes a file away again that was not there before", async () => {
  const file = path.join(folder, "fresh.conf");
  const component = new FileComponent({ path: file });
  const next = content("new");
  await component.stage(next, SIGNAL);
  await component.activate(next.sha256, SIGNAL);
  await component.revert();
  expect((await readdir(folder)).filter((name) => name.startsWith("fresh"))).toEqual([]);
});

async function twice(work: () => Promise<void>): Promise<void> {
  await work();
  await work();
}

/** Remembers what the updater asks of a component, and fails where it is told to. */
class Watched implements Component {
  readonly inner: Component;
  readonly name: string;
  readonly calls: string[];
  readonly failAt: string | undefined;
  readonly onCall: (call: string) => void;

  constructor(
    inner: Component,
    name: string,
    calls: string[],
    failAt?: string,
    onCall: (call: string) => void = () => {},
  ) {
    this.onCall = onCall;
    this.inner = inner;
    this.name = name;
    this.calls = calls;
    this.failAt = failAt;
  }
  #note(call: string): void {
    this.calls.push(`${call} ${this.name}`);
    this.onCall(`${call} ${this.name}`);
    if (this.failAt === call) throw new Error(`${this.name} cannot ${call}`);
  }
  installed = () => this.inner.installed();
  stage = async (given: ComponentContent) => {
    this.#note("stage");
    await this.inner.stage(given, SIGNAL);
  };
  activate = async (sha256: string) => {
    this.#note("activate");
    await this.inner.activate(sha256, SIGNAL);
  };
  confirm = async () => {
    this.#note("confirm");
    await this.inner.confirm();
  };
  revert = async () => {
    this.#note("revert");
    await this.inner.revert();
  };
}

async function benchWith(
  options: {
    failAt?: string;
    names?: string[];
    failingSelfTest?: boolean;
    onCall?: (call: string) => void;
    conditions?: Conditions;
  } = {},
) {
  const calls: string[] = [];
  const { failAt, names = ["bootloader", "radio"], failingSelfTest = false } = options;
  const bench = await startBench({
    behaviours: ({ newSha256 }) =>
      failingSelfTest ? { [newSha256]: { faults: [{ kind: "failing-self-test" }] } } : {},
    machine: {
      components: (storage) =>
        new Map(
          names.map((name, index) => {
            const fails = index === 1 ? failAt : undefined;
            const inner = new SimulatedComponent(storage, name);
            return [name, new Watched(inner, name, calls, fails, options.onCall)];
          }),
        ),
      ...(options.conditions ? { conditions: options.conditions } : {}),
    },
  });
  return { bench, calls };
}

function assign(bench: Bench, image = bench.newImage, changes = {}) {
  const offers = ["radio", "bootloader"].map((component) => {
    const { url, sha256, sizeBytes } = bench.platform.offer(
      "full",
      Buffer.from(`new ${component}`),
    );
    return { component, url, sha256, sizeBytes };
  });
  const components = offers.map(({ component, sha256, sizeBytes }) => ({
    ...{ component, sha256, sizeBytes, name: `${component}.bin` },
  }));
  const release = bench.platform.release("1.1.0", image, { components });
  const artifacts = [bench.platform.offer("full", image)];
  bench.platform.assign(bench.device, release, artifacts, { components: offers, ...changes });
}

const last = (bench: Bench) => bench.platform.updateStates(bench.device).at(-1);
const ended = (bench: Bench) => () =>
  ["succeeded", "failed", "fell-back"].includes(last(bench)?.phase ?? "");

describe("an update with components", () => {
  it("takes them into use in the device's order, before the restart, and keeps them after it", async () => {
    const { bench, calls } = await benchWith();
    assign(bench);
    await bench.until(ended(bench));
    expect(last(bench)?.phase).toBe("succeeded");
    expect(calls.filter((call) => !call.startsWith("stage"))).toEqual([
      "activate bootloader",
      "activate radio",
      "confirm bootloader",
      "confirm radio",
    ]);
  });

  it("takes all of them back, the last first, where the new image falls back", async () => {
    const { bench, calls } = await benchWith({ failingSelfTest: true });
    assign(bench);
    await bench.until(ended(bench));
    expect(last(bench)).toMatchObject({ phase: "fell-back", running: { version: "1.0.0" } });
    expect(calls.slice(-2)).toEqual(["revert radio", "revert bootloader"]);
    const storage = bench.machine.flash.mount();
    expect(await new SimulatedComponent(storage, "radio").installed()).toBeNull();
  });

  it.each(["stage", "activate"])("changes nothing where one of them cannot %s", async (failAt) => {
    const { bench } = await benchWith({ failAt });
    assign(bench);
    await bench.until(ended(bench));
    expect(last(bench)).toMatchObject({ phase: "failed", running: { version: "1.0.0" } });
    expect(last(bench)?.error?.message).toContain(`radio cannot ${failAt}`);
    const storage = bench.machine.flash.mount();
    expect(await new SimulatedComponent(storage, "bootloader").installed()).toBeNull();
    expect(bench.machine.status().boots).toBe(1);
  });

  it("needs no restart where the image runs already", async () => {
    const { bench, calls } = await benchWith();
    assign(bench, bench.oldImage);
    await bench.until(ended(bench));
    expect(last(bench)?.phase).toBe("succeeded");
    expect(bench.machine.status().boots).toBe(1);
    expect(calls.slice(-2)).toEqual(["confirm bootloader", "confirm radio"]);
  });

  it("fetches nothing twice: what is in use already is left alone", async () => {
    const { bench, calls } = await benchWith();
    assign(bench, bench.oldImage);
    await bench.until(ended(bench));
    const { downloadedBytes } = bench.machine.status();
    const told = bench.platform.updateStates(bench.device).length;
    calls.length = 0;
    assign(bench, bench.oldImage);
    await bench.until(() => bench.platform.updateStates(bench.device).length > told);
    await bench.until(ended(bench));
    expect(calls).toEqual([]);
    expect(bench.machine.status().downloadedBytes).toBe(downloadedBytes);
  });

  it("waits for no window where nothing is left to be taken into use", async () => {
    let window = { from: "00:00", to: "00:00" };
    const rules = () => ({ ...NO_CONDITIONS.rules, minFreeBytes: 0, windows: [window] });
    const conditions = {
      get rules() {
        return rules();
      },
      facts: { ...NO_CONDITIONS.facts, localTime: () => ({ day: 1, minute: 12 * 60 }) },
    };
    const { bench, calls } = await benchWith({ conditions });
    assign(bench, bench.oldImage);
    await bench.until(ended(bench));
    const told = bench.platform.updateStates(bench.device).length;
    calls.length = 0;
    window = { from: "02:00", to: "03:00" };
    assign(bench, bench.oldImage);
    await bench.until(() => bench.platform.updateStates(bench.device).length > told);
    await bench.until(ended(bench), 4 * 3_600_000);
    expect(last(bench)?.phase).toBe("succeeded");
    expect(calls).toEqual([]);
  });

  it("never goes back under a blessed image: what was not confirmed is at the next boot", async () => {
    let failures = 1;
    const { bench, calls } = await benchWith({
      onCall(call) {
        if (call !== "confirm bootloader" || failures === 0) return;
        failures -= 1;
        throw new Error("the bootloader is busy");
      },
    });
    assign(bench);
    await bench.until(() => calls.includes("confirm radio"));
    await bench.until(() => failures === 0);
    bench.machine.powerOff();
    bench.machine.powerOn();
    await bench.until(ended(bench));
    expect(last(bench)).toMatchObject({ phase: "succeeded", running: { version: "1.1.0" } });
    expect(calls.filter((call) => call.startsWith("revert"))).toEqual([]);
    const confirmed = calls.filter((call) => call === "confirm bootloader");
    expect(confirmed).toHaveLength(2);
  });

  it("is kept whole where the image stays too: an end that failed is tried again, not taken back", async () => {
    let failures = 2;
    const { bench, calls } = await benchWith({
      onCall(call) {
        if (call !== "confirm radio" || failures === 0) return;
        failures -= 1;
        throw new Error("the radio is busy");
      },
    });
    assign(bench, bench.oldImage);
    await bench.until(ended(bench));
    expect(last(bench)?.phase).toBe("succeeded");
    expect(calls.filter((call) => call.startsWith("revert"))).toEqual([]);
    expect(calls.filter((call) => call === "activate bootloader")).toHaveLength(1);
    expect(calls.filter((call) => call === "confirm radio")).toHaveLength(3);
  });

  it("goes back where the image has decayed in its slot before the restart", async () => {
    let cut = () => {};
    const { bench, calls } = await benchWith({
      onCall: (call) => call === "activate radio" && cut(),
    });
    cut = () => {
      cut = () => {};
      bench.machine.powerOff();
    };
    assign(bench);
    await bench.until(() => !bench.machine.status().powered);
    bench.machine.flash.restorePower();
    const slot = await bench.machine.flash.mount().open("b.img");
    await slot.write(0, Buffer.from("decayed"));
    await slot.sync();
    await slot.close();
    bench.machine.powerOn();
    await bench.until(ended(bench));
    expect(last(bench)).toMatchObject({ phase: "failed", error: { element: "slot-hash" } });
    expect(calls.slice(-2)).toEqual(["revert radio", "revert bootloader"]);
    const storage = bench.machine.flash.mount();
    expect(await new SimulatedComponent(storage, "bootloader").installed()).toBeNull();
  });

  it("is refused by a device that does not know one of them, and by one that is offered another", async () => {
    const { bench } = await benchWith({ names: ["radio"] });
    assign(bench);
    await bench.until(ended(bench));
    expect(last(bench)?.error).toMatchObject({ element: "component-bootloader" });
    expect(bench.running()?.version).toBe("1.0.0");
    const other = await benchWith();
    assign(other.bench, other.bench.newImage, { components: [] });
    await other.bench.until(ended(other.bench));
    expect(last(other.bench)?.error?.message).toContain("not offered as the release names it");
  });
});
