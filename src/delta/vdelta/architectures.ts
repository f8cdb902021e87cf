/** In the order of their numbers in the header; kernels/vdelta/instructions.ts knows them by these. */
export const ARCHITECTURES = ["none", "thumb", "arm", "aarch64", "x86", "riscv", "xtensa"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];
