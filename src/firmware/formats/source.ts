import fs from "node:fs/promises";

/** A file that is looked into: a few bytes here and there, never the whole at once. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** The bytes from `offset` on, fewer where the file ends. */
  read(offset: number, length: number): Promise<Buffer>;
}

export function bufferSource(content: Buffer): ByteSource {
  return {
    sizeBytes: content.length,
    read: async (offset, length) => content.subarray(offset, offset + length),
  };
}

/** Opens `file` for as long as `work` takes. */
export async function withFileSource<Result>(
  file: string,
  work: (source: ByteSource) => Promise<Result>,
): Promise<Result> {
  const handle = await fs.open(file, "r");
  try {
    const { size } = await handle.stat();
    return await work({
      sizeBytes: size,
      async read(offset, length) {
        const wanted = Math.max(0, Math.min(length, size - offset));
        const buffer = Buffer.alloc(wanted);
        const { bytesRead } = await handle.read(buffer, 0, wanted, offset);
        return buffer.subarray(0, bytesRead);
      },
    });
  } finally {
    await handle.close();
  }
}

/** What a format has to say of a file. Facts are short texts for people and comparisons. */
export interface Recognised {
  kind: string;
  /** One sentence's worth: `ELF 32-bit, ARM`. */
  description: string;
  facts: Record<string, string>;
}

const MAX_FACT_LENGTH = 256;
const MAX_FACTS = 32;

/** Text out of a file that nobody has vouched for: short, in one line, valid Unicode. */
export function cleanFacts(facts: Record<string, string | undefined>): Record<string, string> {
  const clean = Object.entries(facts)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "")
    .slice(0, MAX_FACTS)
    .map(([name, value]): [string, string] => [
      name,
      value
        .toWellFormed()
        .replace(/\p{C}+/gu, " ")
        .trim()
        .slice(0, MAX_FACT_LENGTH)
        .toWellFormed(),
    ]);
  return Object.fromEntries(clean.filter(([, value]) => value !== ""));
}
