export type { CliIo } from "./io.ts";
export { runCli } from "./run.ts";
