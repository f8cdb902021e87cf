export type { Batches } from "./batches.ts";
export { type Commands, type CommandsDeps, createCommands } from "./commands.ts";
export { EXPIRY_BATCH } from "./due-store.ts";
export { type FreshCommand, readFreshCommand } from "./fresh-command.ts";
export { effectOfResult, isFinalStatus } from "./lifecycle.ts";
export { MAX_TARGETS } from "./new-command.ts";
export * from "./types.ts";
