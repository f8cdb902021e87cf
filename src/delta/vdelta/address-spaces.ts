/**
 * Bytes of the old image that run at addresses of their own, and where the same part of the new
 * image lies and runs. Spaces of one module (a firmware, an ELF file) point at each other. Addresses
 * are the low 32 bits.
 */
export interface AddressSpace {
  module: number;
  /** In the old image. */
  source: number;
  length: number;
  sourceAddress: number;
  /** In the new image. */
  target: number;
  targetAddress: number;
}

/** Less than this behind a firmware is padding and sums. */
const MIN_REST_BYTES = 4096;

/**
 * Adds what lies behind the last segment of a firmware, where `guessed` says at which address all of the
 * image runs: flash that is mapped as it is, beside segments that are copied to memory.
 */
export function withRest(
  spaces: readonly AddressSpace[],
  guessed: AddressSpace | undefined,
  sizes: { sourceSize: number; targetSize: number; maxModuleSpaces: number },
): AddressSpace[] {
  const last = spaces.at(-1);
  if (!guessed || !last) return [...spaces];
  const source = last.source + last.length;
  const length = sizes.sourceSize - source;
  const inModule = spaces.filter(({ module }) => module === last.module).length;
  if (length < MIN_REST_BYTES || inModule >= sizes.maxModuleSpaces) return [...spaces];
  const target = Math.min(source, sizes.targetSize);
  const rest = {
    module: last.module,
    source,
    length,
    sourceAddress: guessed.sourceAddress + source,
    target,
    targetAddress: guessed.targetAddress + target,
  };
  return [...spaces, rest];
}
