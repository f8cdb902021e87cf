import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

/** What the package's FirmwareReader offers and the demo uses. */
interface FirmwareReader {
  readFirmwareBase(): Promise<Uint8Array>;
}

export interface DemoImages {
  /** The firmware that all devices have from the factory. */
  factory: Buffer;
  /** Its successor: the good update. */
  good: Buffer;
  /** The successor with a fault in it: what a build gone wrong would ship. */
  bad: Buffer;
}

/**
 * Real firmware of a Cortex-M hub in two consecutive versions, from the development dependencies.
 * The bad image is the newer one with a stretch of its code overwritten.
 */
export async function loadDemoImages(): Promise<DemoImages> {
  const factory = await readImage("pybricks-a");
  const good = await readImage("pybricks-b");
  const bad = Buffer.from(good);
  const middle = Math.floor(bad.length / 2);
  for (let offset = middle; offset < middle + 4096; offset += 1) {
    bad[offset] = (bad[offset] as number) ^ 0x5a;
  }
  return { factory, good, bad };
}

async function readImage(packageName: string): Promise<Buffer> {
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve(packageName);
  } catch (error) {
    throw new Error(
      `the demo's firmware comes from the development dependency ${packageName}, which is not installed: run it in a clone of the repository`,
      { cause: error },
    );
  }
  const { FirmwareReader: Reader } = require(entry) as {
    FirmwareReader: { load(zip: Uint8Array): Promise<FirmwareReader> };
  };
  const zip = fs.readFileSync(path.join(path.dirname(entry), "primehub.zip"));
  return Buffer.from(await (await Reader.load(zip)).readFirmwareBase());
}
