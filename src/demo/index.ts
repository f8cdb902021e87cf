import fs from "node:fs";
import type { Platform } from "../platform/index.ts";
import { fleetDirectory } from "./data-folder.ts";
import type { DemoOptions } from "./run.ts";

export async function runDemo(
  options: DemoOptions,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const { runDemo: run } = await import("./run.ts");
  return run(options, environment);
}

/**
 * The simulated fleet beside `vautn up`: made where `demo` asks for one, and started wherever the
 * data folder has one. Whoever has none does not load a line of it.
 */
export async function runFleetBeside(
  options: { demo?: number; fleet?: boolean },
  platform: Platform,
  stopped: AbortSignal,
): Promise<void> {
  if (options.fleet === false) return;
  const directory = fleetDirectory(platform.config.dataDirectory);
  if (options.demo === undefined && !fs.existsSync(directory)) return;
  const { runFleet } = await import("./up.ts");
  await runFleet({ directory, devices: options.demo }, platform, stopped);
}
