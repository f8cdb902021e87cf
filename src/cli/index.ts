export { type CliActions, runCli } from "./cli.ts";
