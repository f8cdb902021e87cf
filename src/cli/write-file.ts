import { once } from "node:events";
import fs from "node:fs";
import type { Cli } from "./cli.ts";
import { progressBar } from "./progress-bar.ts";

/**
 * Keeps an answer as a file: whole or not at all, for a file that was begun bears another name until it
 * is done. Where the size to come is not known, the bar only counts.
 */
export async function writeFile(
  cli: Cli,
  body: AsyncIterable<Uint8Array>,
  output: string,
  expectedBytes?: number,
): Promise<void> {
  const partial = `${output}.partial`;
  const file = fs.createWriteStream(partial, { mode: 0o600 });
  const bar = await progressBar(cli, "export");
  let written = 0;
  try {
    for await (const chunk of body) {
      if (!file.write(chunk)) await once(file, "drain");
      written += chunk.length;
      const share = expectedBytes === undefined ? 0 : written / Math.max(1, expectedBytes);
      bar.update(`${Math.round(written / 1024)} KiB`, Math.min(0.99, share));
    }
    file.end();
    await once(file, "close");
    fs.renameSync(partial, output);
  } catch (error) {
    file.destroy();
    fs.rmSync(partial, { force: true });
    throw error;
  } finally {
    bar.end();
  }
}

/** The same on standard output. */
export async function printBody(cli: Cli, body: AsyncIterable<Uint8Array>): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of body) cli.io.out(decoder.decode(chunk, { stream: true }));
}
