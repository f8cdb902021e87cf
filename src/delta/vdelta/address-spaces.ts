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
