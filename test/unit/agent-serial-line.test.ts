import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serialLine } from "../../src/agent/components/smp/lines.ts";

const hasSocat = spawnSync("socat", ["-V"]).status === 0;

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !holds(); ) {
    if (Date.now() > end) throw new Error("it did not come");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe.skipIf(!hasSocat)("a serial line (socat)", () => {
  let folder: string;
  let cable: ChildProcess;
  const at = (name: string) => path.join(folder, name);

  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "vautn-serial-"));
    const end = (name: string) => `pty,raw,echo=0,link=${at(name)}`;
    cable = spawn("socat", [end("near"), end("far")], { stdio: "ignore" });
    await until(() => existsSync(at("near")) && existsSync(at("far")));
  });
  afterEach(async () => {
    const ended = new Promise((resolve) => cable.once("exit", resolve));
    cable.kill();
    await ended;
    await rm(folder, { recursive: true });
  });

  it("carries bytes both ways, and leaves nothing behind that reads for who opens it next", async () => {
    const far = await serialLine(at("far"), 115_200);
    const heard: Buffer[] = [];
    far.onData((bytes) => heard.push(Buffer.from(bytes)));
    for (const round of ["first", "second", "third"]) {
      const near = await serialLine(at("near"), 115_200);
      let told = "";
      near.onData((bytes) => {
        told += Buffer.from(bytes).toString();
      });
      await near.write(Buffer.from(`${round};`));
      await until(() => Buffer.concat(heard).toString().endsWith(`${round};`));
      await far.write(Buffer.from(`answer to the ${round}`));
      await until(() => told === `answer to the ${round}`);
      await near.close();
    }
    // More than the line holds at once.
    const near = await serialLine(at("near"), 115_200);
    const whole = Buffer.alloc(40_000, 0xa5);
    heard.length = 0;
    await near.write(whole);
    await until(() => Buffer.concat(heard).length === whole.length);
    expect(Buffer.concat(heard).equals(whole)).toBe(true);
    await near.close();
    await far.close();
  });
});
