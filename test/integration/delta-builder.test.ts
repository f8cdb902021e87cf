import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import { createDeltaBuilder, type DeltaBuilder } from "../../src/firmware/delta-builder.ts";
import { seededRandom } from "../../src/kernel/index.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-delta-builder-"));
const random = seededRandom(1);
let builder: DeltaBuilder;
const blobs = openBlobStore({ directory: path.join(folder, "blobs") });

beforeAll(() => {
  builder = createDeltaBuilder({ maxProcesses: 2 });
});
afterAll(async () => {
  await builder.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

let files = 0;
function imageOf(bytes: Buffer) {
  const file = path.join(folder, `image-${files++}`);
  fs.writeFileSync(file, bytes);
  return {
    file,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    sizeBytes: bytes.length,
  };
}

function pair(sizeBytes: number) {
  const bytes = Buffer.from(
    Array.from({ length: sizeBytes }, () => Math.floor(random.next() * 256)),
  );
  const source = imageOf(bytes);
  for (let at = 0; at < bytes.length; at += 1_000) bytes[at] = (bytes[at] as number) + 1;
  return { source, target: imageOf(bytes) };
}

/** proc(5): the processes that build for this one. */
function builders(): number[] {
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [, parent] =
          /^PPid:\s+(\d+)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
        const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return Number(parent) === process.pid && command.includes("delta-process");
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe.skipIf(process.platform !== "linux")("a process that builds deltas", () => {
  it("builds the next small one, too", async () => {
    const first = await builder.build(blobs, { format: "vdelta-small", ...pair(20_000) });
    expect(first).toMatchObject({ status: "made" });
    expect(first.cpuSeconds).toBeGreaterThan(0);
    const pids = builders();
    expect(pids).toHaveLength(1);
    await builder.build(blobs, { format: "zstd-patch", ...pair(20_000) });
    expect(builders()).toEqual(pids);
  });

  it("stands back with every thread where its tenant has built much, and ends after it", async () => {
    const own = os.getPriority();
    const idle = builders();
    const seen = new Set<number>();
    const timer = setInterval(() => {
      for (const pid of builders()) {
        try {
          const threads = fs
            .readdirSync(`/proc/${pid}/task`)
            .map((id) => os.getPriority(Number(id)));
          if (threads.length > 4)
            seen.add(Math.max(...threads) === Math.min(...threads) ? Math.max(...threads) : -1);
        } catch {
          // It ended meanwhile.
        }
      }
    }, 5);
    const built = builder.build(blobs, {
      format: "zstd-patch",
      recentSeconds: 20,
      ...pair(1_000_000),
    });
    await built.finally(() => clearInterval(timer));
    expect([...seen]).toContain(Math.min(19, own + 19));
    await expect.poll(builders).toEqual(idle);
  });

  it("says why it could not, and takes nobody with it", async () => {
    const { source, target } = pair(20_000);
    const damaged = { ...source, sha256: "0".repeat(64) };
    await expect(
      builder.build(blobs, { format: "zstd-patch", source: damaged, target }),
    ).rejects.toThrow("the source image on disk is damaged");
    const long = builder.build(blobs, { format: "vdelta-small", ...pair(1_000_000) });
    await expect.poll(() => builders().length).toBe(1);
    process.kill(builders()[0] as number, "SIGKILL");
    await expect(long).rejects.toThrow("the builder ended with SIGKILL");
    const after = await builder.build(blobs, { format: "zstd-patch", source, target });
    expect(after.status).toBe("made");
  });
});
