// The program: reads the command line and the environment, and hands both to the command.
import { runCli } from "./cli/index.ts";
import { runDemo } from "./demo/index.ts";
import { runPlatform } from "./platform/index.ts";

process.exitCode = await runCli(process.argv.slice(2), { up: runPlatform, demo: runDemo });
