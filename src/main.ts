// The program: reads the command line and the environment, and hands both to the command.
import { runCli } from "./cli/index.ts";
import { runPlatform } from "./platform/index.ts";

process.exitCode = await runCli(process.argv.slice(2), {
  up: runPlatform,
  demo: async (options, environment) => {
    const { runDemo } = await import("./demo/index.ts");
    return runDemo(options, environment);
  },
});
