import { describe, expect, it } from "vitest";
import type { Slots, StorageFile } from "../../src/agent/index.ts";
import { installOffer } from "../../src/agent/update/install.ts";
import { createPatch, type PatchCheckpoint } from "../../src/delta/index.ts";
import { seededRandom } from "../../src/kernel/index.ts";
import type { ArtifactFormat, ReleaseManifest } from "../../src/protocol/index.ts";
import { PagePool, SimulatedFlash, sha256Of, simulatedSlots } from "../../src/simulator/index.ts";

const IMAGE_BYTES = 300_000;
const OLD = Buffer.from(
  Array.from({ length: IMAGE_BYTES }, (_, at) => (at * 2_654_435_761) >>> 24),
);
const NEW = Buffer.concat([OLD.subarray(0, 200_000), Buffer.from("news"), OLD.subarray(200_500)]);

interface Device {
  flash: SimulatedFlash;
  /** Bytes written to the target slot since the power came. */
  written: { bytes: number; first: number | undefined };
  checkpoint: PatchCheckpoint | null;
  warnings: string[];
}

async function deviceWith(format: ArtifactFormat): Promise<Device & { offer: object }> {
  const flash = new SimulatedFlash(new PagePool(), seededRandom(7));
  const storage = flash.mount();
  const chunks: Uint8Array[] = [];
  const source = format.startsWith("full") ? null : OLD;
  async function* target() {
    yield NEW;
  }
  const input = { format, source, target: target(), targetSizeBytes: NEW.length };
  for await (const chunk of createPatch(input)) chunks.push(chunk);
  const patch = Buffer.concat(chunks);
  for (const [name, content] of [["a.img", OLD] as const, ["staging.part", patch] as const]) {
    const file = await storage.open(name);
    await file.write(0, content);
    await file.sync();
  }
  await storage.open("b.img");
  await storage.syncDirectory();
  const offer = { format, url: "", sha256: sha256Of(patch), sizeBytes: patch.length };
  const sourceSha256 = source && sha256Of(source);
  return {
    ...{ flash, written: { bytes: 0, first: undefined }, checkpoint: null, warnings: [] },
    offer: { ...offer, sourceSha256 },
  };
}

/** One life of the device; resolves true where the image was finished in it. */
async function live(device: Device & { offer: object }, cutAfter?: number): Promise<boolean> {
  const storage = device.flash.mount();
  device.written = { bytes: 0, first: undefined };
  if (cutAfter !== undefined) device.flash.cutPowerAfter(cutAfter, () => {});
  const counted = (file: StorageFile): StorageFile => ({
    ...file,
    write(offset, bytes) {
      device.written.first ??= offset;
      device.written.bytes += bytes.length;
      return file.write(offset, bytes);
    },
  });
  const inner = simulatedSlots(storage, 1024 * 1024);
  const slots: Slots = { ...inner, open: async (slot) => counted(await inner.open(slot)) };
  try {
    await installOffer({
      offer: device.offer as never,
      manifest: { image: { sha256: sha256Of(NEW), sizeBytes: NEW.length } } as ReleaseManifest,
      ...{ storage, slots, sourceSlot: "a", targetSlot: "b" },
      sourceRecord: { sizeBytes: OLD.length } as never,
      maxMemoryBytes: 512 * 1024 ** 2,
      signal: new AbortController().signal,
      resumeFrom: device.checkpoint,
      onApplied: async (checkpoint) => {
        device.checkpoint = checkpoint;
      },
      onBegunAnew: (reason) => device.warnings.push(reason),
    });
    return true;
  } catch (error) {
    if (!String(error).includes("the power is gone")) throw error;
    device.flash.restorePower();
    return false;
  }
}

describe("building an image in the target slot", () => {
  it.each<ArtifactFormat>(["full", "full-zstd", "zstd-patch", "vdelta-fast", "vdelta-small"])(
    "goes on after a power cut where it was: %s",
    async (format) => {
      const device = await deviceWith(format);
      // Cuts until one falls behind a checkpoint, as late as the format's chunks allow.
      let cutAfter = 8;
      while (!device.checkpoint && (await live(device, cutAfter)) === false) cutAfter += 4;
      const checkpoint = device.checkpoint as PatchCheckpoint | null;
      if (checkpoint && device.written.bytes < NEW.length) {
        expect(await live(device)).toBe(true);
        expect(device.written.first).toBe(checkpoint.writtenBytes);
        expect(device.written.bytes).toBe(NEW.length - checkpoint.writtenBytes);
      }
      expect(checkpoint).not.toBeNull();
      expect(device.warnings).toEqual([]);
    },
  );

  it("begins anew where the flash does not hold what was written", async () => {
    const device = await deviceWith("zstd-patch");
    let cutAfter = 8;
    while (!device.checkpoint && (await live(device, cutAfter)) === false) cutAfter += 4;
    const file = await device.flash.mount().open("b.img");
    await file.write(100, Buffer.from([1, 2, 3]));
    await file.sync();
    expect(await live(device)).toBe(true);
    expect(device.written.first).toBe(0);
    expect(device.warnings).toEqual([expect.stringContaining("beginning anew")]);
  });

  it("ends with the right image however often the power goes", async () => {
    const device = await deviceWith("zstd-patch");
    const random = seededRandom(11);
    let lives = 1;
    while (!(await live(device, 1 + Math.floor(random.next() * 14)))) lives += 1;
    expect(lives).toBeGreaterThan(1);
    const slot = await device.flash.mount().open("b.img");
    expect(sha256Of(await slot.read(0, NEW.length))).toBe(sha256Of(NEW));
  });
});
