export { backUp, restoreBackup } from "./backup.ts";
export type { BackupContents } from "./backup-files.ts";
export { aborted, interruptions } from "./interruptions.ts";
export type { Modules } from "./modules.ts";
export { type Platform, type PlatformOptions, startPlatform } from "./platform.ts";
export { type Companion, runPlatform, type UpOptions } from "./run.ts";
