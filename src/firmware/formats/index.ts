import { recogniseByMagic, recogniseElf, recogniseIntelHex, recogniseUf2 } from "./images.ts";
import { recogniseSquashfs, recogniseSwu, recogniseTar } from "./packages.ts";
import type { ByteSource, Recognised } from "./source.ts";

export { type ByteSource, bufferSource, type Recognised, withFileSource } from "./source.ts";

const RECOGNISERS = [
  recogniseSwu,
  recogniseTar,
  recogniseSquashfs,
  recogniseElf,
  recogniseUf2,
  recogniseIntelHex,
  recogniseByMagic,
];

/** What a file is by its content, whatever it is called; `raw` where nothing is known of it. */
export async function recognise(source: ByteSource): Promise<Recognised> {
  for (const recogniser of RECOGNISERS) {
    const found = await recogniser(source);
    if (found) return found;
  }
  return { kind: "raw", description: "raw image", facts: {} };
}
