export { aborted, interruptions } from "./interruptions.ts";
export type { Modules } from "./modules.ts";
export { type Platform, type PlatformOptions, startPlatform } from "./platform.ts";
export { type Companion, runPlatform, type UpOptions } from "./run.ts";
