import fs from "node:fs";
import { LocalBus } from "../bus/index.ts";
import { freePort } from "../db/index.ts";
import { type Config, ownConsoleUrl } from "../kernel/config.ts";
import type { Logger } from "../kernel/logger.ts";
import { connectedBus, uplinkOf } from "./between-machines.ts";
import { lockDataDirectory } from "./data-lock.ts";
import { createModules, type Modules } from "./modules.ts";
import { startRoles } from "./roles.ts";
import { startStores } from "./stores.ts";
import { superviseRoles } from "./supervisor.ts";

export interface PlatformOptions {
  config: Config;
  logger: Logger;
  /** All roles in this process instead of processes of their own: for tests. */
  inProcess?: boolean;
  /** Stores that may lose their data in a power cut: for tests. */
  fastStores?: boolean;
  allowPrivateWebhooks?: boolean;
  onStatus?: (message: string) => void;
}

export interface Platform {
  /** The configuration with every port decided. */
  config: Config;
  /** The administrator made at the very first start; null at every later one. */
  administrator: { email: string; password: string } | null;
  consoleUrl: string;
  mqttUrl: string;
  httpsUrl: string;
  /** Modules of this process, for the composition root and tests. */
  modules: Modules;
  /** Resolves with the reason when something that must run does not. */
  failed: Promise<string>;
  stop(): Promise<void>;
}

/** Starts stores and roles on the data folder; what was started is stopped again on a failure. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const { logger } = options;
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const stopOne of stops.splice(0).reverse()) await stopOne();
  };
  try {
    fs.mkdirSync(options.config.dataDirectory, { recursive: true, mode: 0o700 });
    const lock = await lockDataDirectory(options.config.dataDirectory);
    stops.push(() => lock.release());
    const config = await decidePorts(options.config);
    const stores = await startStores(config, logger, {
      ...(options.fastStores ? { fast: true } : {}),
      ...(options.onStatus ? { onStatus: options.onStatus } : {}),
    });
    stops.push(() => stores.stop());

    options.onStatus?.("preparing the certificate authority");
    const allowPrivateWebhooks = options.allowPrivateWebhooks ?? false;
    const connect = uplinkOf(config, logger);
    const common = { config, stores: stores.addresses, allowPrivateWebhooks };
    let modules: Modules;
    let failed: Promise<string> = stores.failed;
    if (options.inProcess) {
      const bus = connectedBus(connect);
      stops.push(() => bus.close());
      const preparing = createModules({ ...common, bus, logger });
      await preparing.identity.ensurePlatform();
      await preparing.close();
      const roles = await startRoles({ ...common, bus, roles: config.roles, processName: "vautn" });
      stops.push(() => roles.stop());
      modules = roles.modules;
    } else {
      modules = createModules({ ...common, bus: new LocalBus(), logger });
      stops.push(() => modules.close());
      await modules.identity.ensurePlatform();
      options.onStatus?.("starting gateway, device HTTPS, API and worker");
      const supervisor = await superviseRoles({ ...common, connect, logger });
      stops.push(() => supervisor.stop());
      failed = Promise.race([stores.failed, supervisor.failed]);
    }
    const administrator = await modules.tenancy.ensureAdministrator();
    return {
      config,
      administrator,
      consoleUrl: ownConsoleUrl(config),
      mqttUrl: `mqtts://${config.publicHost}:${config.mqttPort}`,
      httpsUrl: `https://${config.publicHost}:${config.deviceHttpPort}`,
      modules,
      failed,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Port 0 means any free one: it is chosen here, since several processes have to know it. */
async function decidePorts(config: Config): Promise<Config> {
  return Object.freeze({
    ...config,
    apiPort: config.apiPort || (await freePort()),
    deviceHttpPort: config.deviceHttpPort || (await freePort()),
    mqttPort: config.mqttPort || (await freePort()),
    acmeHttpPort: config.acmeHttpPort || (await freePort()),
  });
}
