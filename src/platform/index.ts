export type { Modules } from "./modules.ts";
export { type Platform, type PlatformOptions, startPlatform } from "./platform.ts";
export {
  aborted,
  type Companion,
  interruptions,
  runPlatform,
  type UpOptions,
} from "./run.ts";
