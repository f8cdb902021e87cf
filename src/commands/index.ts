export { type Commands, type CommandsDeps, createCommands } from "./commands.ts";
export { EXPIRY_BATCH } from "./commands-store.ts";
export { effectOfResult, isFinalStatus, MAX_TARGETS } from "./lifecycle.ts";
export * from "./types.ts";
