import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { runInPipe } from "../support/run-cli.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-delta-resume-"));
const image = randomBytes(9 * 1024 ** 2);
const sha256 = createHash("sha256").update(image).digest("hex");
const [old, patch, cut, target] = ["old", "patch", "cut", "new"].map((name) =>
  path.join(folder, name),
) as [string, string, string, string];
fs.writeFileSync(old, "");
fs.writeFileSync(patch, image);
fs.writeFileSync(cut, image.subarray(0, 6 * 1024 ** 2));

function apply(from: string, ...more: string[]) {
  const argv = ["delta", "apply", old, from, target, "--format", "full", "--json"];
  return runInPipe([...argv, "--size", String(image.length), ...more], { HOME: folder });
}

describe("vautn delta apply --resume", () => {
  beforeEach(() => {
    for (const name of fs.readdirSync(folder)) {
      if (name.startsWith("new")) fs.rmSync(path.join(folder, name));
    }
  });
  afterAll(() => fs.rmSync(folder, { recursive: true }));

  it("goes on from what was safely written when it was cut off", async () => {
    expect((await apply(cut, "--resume")).status).toBe(1);
    expect(fs.existsSync(target)).toBe(false);
    // A torn tail behind the checkpoint, as a power cut may leave it.
    fs.appendFileSync(`${target}.part`, randomBytes(1000));
    const whole = await apply(patch, "--resume", "--sha256", sha256);
    expect(whole.err).toBe("");
    expect(JSON.parse(whole.out)).toMatchObject({ resumedAtBytes: 4 * 1024 ** 2, sha256 });
    expect(fs.readFileSync(target).equals(image)).toBe(true);
    expect(fs.readdirSync(folder).sort()).toEqual(["cut", "new", "old", "patch"]);
  });

  it("is refused where the patch is another one, and leaves what was written", async () => {
    await apply(cut, "--resume");
    const other = Buffer.from(image);
    other[5] = (other[5] as number) ^ 1;
    fs.writeFileSync(`${patch}-2`, other);
    const refused = await apply(`${patch}-2`, "--resume");
    expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("delta-invalid")]);
    expect(fs.existsSync(`${target}.part`)).toBe(true);
    fs.rmSync(`${patch}-2`);
  });

  it("begins anew where the written part is gone, and names a record that is none", async () => {
    await apply(cut, "--resume");
    fs.truncateSync(`${target}.part`, 10);
    expect(JSON.parse((await apply(patch, "--resume")).out)).toMatchObject({ resumedAtBytes: 0 });
    await apply(cut, "--resume");
    fs.writeFileSync(`${target}.part.json`, '{"writtenBytes":-1}');
    const refused = await apply(patch, "--resume");
    expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("no checkpoint")]);
  });

  it("leaves nothing behind without --resume", async () => {
    expect((await apply(cut)).status).toBe(1);
    expect(fs.readdirSync(folder).sort()).toEqual(["cut", "old", "patch"]);
  });
});
