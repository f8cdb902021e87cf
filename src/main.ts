// The program: reads the command line and the environment, and hands both to the command. What a
// command needs is loaded when it runs, so that help and the API's callers answer at once.
import { runCli } from "./cli/index.ts";

process.exitCode = await runCli(process.argv.slice(2), {
  up: async (options, environment) => {
    const { runPlatform } = await import("./platform/index.ts");
    return runPlatform(options, environment, async (platform, stopped) => {
      const { runFleetBeside } = await import("./demo/index.ts");
      await runFleetBeside(options, platform, stopped);
    });
  },
  demo: async (options, environment) => {
    const { runDemo } = await import("./demo/index.ts");
    return runDemo(options, environment);
  },
});
