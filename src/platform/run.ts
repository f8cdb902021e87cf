import { type Config, readConfig } from "../kernel/config.ts";
import { messageOf } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { runCache } from "./cache-run.ts";
import { aborted, interruptions } from "./interruptions.ts";
import { type Platform, startPlatform } from "./platform.ts";

export interface UpOptions {
  data?: string;
  roles?: string;
  /** Of a site cache: the platform's devices' HTTPS, and the folder with the cache's identity. */
  upstream?: string;
  identity?: string;
  /** Simulated devices to run beside the platform; made where the data folder has fewer. */
  demo?: number;
  /** False leaves the simulated devices of the data folder switched off. */
  fleet?: boolean;
}

/** What runs beside the platform until `stopped`; a rejection ends the platform too. */
export type Companion = (platform: Platform, stopped: AbortSignal) => Promise<void>;

/** `vautn up`: runs the platform until Ctrl-C or SIGTERM; resolves with the exit status. */
export async function runPlatform(
  options: UpOptions,
  environment: NodeJS.ProcessEnv,
  companion?: Companion,
): Promise<number> {
  if ((options.roles ?? environment.VAUTN_ROLES)?.trim() === "cache") {
    return runCache(options, environment);
  }
  const config = readConfig({
    ...environment,
    ...(options.data ? { VAUTN_DATA: options.data } : {}),
    ...(options.roles ? { VAUTN_ROLES: options.roles } : {}),
  });
  const print = (message: string) => process.stderr.write(`vautn: ${message}\n`);
  const controller = new AbortController();
  const stop = interruptions(controller, print);
  const logger = createLogger({ level: config.logLevel, role: "supervisor" });
  const platform = await startPlatform({
    config,
    logger,
    onStatus: (status) => print(`${status} …`),
  });
  let status = 0;
  try {
    printWelcome(platform, config);
    const failed = platform.failed.then((reason) => {
      print(`stopping: ${reason}`);
      status = 1;
    });
    const work = companion?.(platform, controller.signal).catch((error) => {
      if (controller.signal.aborted) return;
      print(`stopping: ${messageOf(error)}`);
      status = 1;
      controller.abort();
    });
    await Promise.race([aborted(controller.signal), failed]);
    controller.abort();
    await work;
  } finally {
    stop.dispose();
    print("stopping …");
    await platform.stop();
    print(`stopped; all data is in ${config.dataDirectory}`);
  }
  return status;
}

function printWelcome(platform: Platform, config: Config): void {
  const served = [
    ["api", `  console and API   ${platform.consoleUrl}`],
    ["gateway", `  devices, MQTT     ${platform.mqttUrl}`],
    ["device-http", `  devices, HTTPS    ${platform.httpsUrl}`],
  ] as const;
  const here = served.flatMap(([role, line]) => (config.roles.includes(role) ? [line] : []));
  const lines = ["", `  Vautn is running on ${config.dataDirectory}`, "", ...here, ""];
  if (platform.administrator) {
    lines.push(
      "  First start: an administrator was made. The password is shown this once.",
      `  e-mail    ${platform.administrator.email}`,
      `  password  ${platform.administrator.password}`,
      "",
      `  Next: sign in at ${platform.consoleUrl}, or: npx vautn login ${platform.consoleUrl}`,
    );
  } else if (config.roles.includes("api")) {
    lines.push(`  Next: sign in at ${platform.consoleUrl}`);
  }
  lines.push("  Ctrl-C stops everything.", "");
  process.stderr.write(`${lines.join("\n")}\n`);
}
