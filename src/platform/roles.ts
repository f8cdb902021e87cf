import path from "node:path";
import { type ApiDeps, startApi, startChallengeListener } from "../api/index.ts";
import { answerMetrics, type Bus, gatherMetrics } from "../bus/index.ts";
import { startDeviceHttp } from "../device-http/index.ts";
import { createDownloadShareStore } from "../firmware/index.ts";
import { createApplications, readGatewayLimits, startGateway } from "../gateway/index.ts";
import {
  createDetectors,
  createSnapshotStore,
  createWatchLeases,
  WatchShares,
} from "../health/index.ts";
import { startJobs } from "../jobs/index.ts";
import { createBusyMeter } from "../kernel/busy-meter.ts";
import { type Config, type Role, servesApiByTls } from "../kernel/config.ts";
import { randomId } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { startTracing } from "../kernel/tracing.ts";
import { nameAmongMachines } from "./between-machines.ts";
import { journalOf } from "./journal-place.ts";
import { createModules, type Modules } from "./modules.ts";
import { createLogDestination } from "./platform-log.ts";
import { withWayOut } from "./port-taken.ts";
import type { StoreAddresses } from "./stores.ts";

export interface RolesOptions {
  config: Config;
  stores: StoreAddresses;
  roles: readonly Role[];
  /** Name of the process in logs and sessions, e.g. `gateway-1`. */
  processName: string;
  /** How many role processes there are; absent where this one has all roles. */
  processes?: number;
  bus: Bus;
  allowPrivateWebhooks?: boolean;
}

export interface RunningRoles {
  modules: Modules;
  stop(): Promise<void>;
}

const WEB_DIRECTORY = path.resolve(import.meta.dirname, "../../dist/web");

/** Starts the roles of one process on modules of its own. */
export async function startRoles(options: RolesOptions): Promise<RunningRoles> {
  const { config } = options;
  const processName = nameAmongMachines(config, options.processName);
  const destination = createLogDestination();
  const logger = createLogger({ level: config.logLevel, role: processName, destination });
  const journal = journalOf(config, options.processName, options.roles);
  const modules = createModules({ ...options, logger, journal });
  destination.shipTo(modules.logs);
  const stopTracing = startTracing((spans) => modules.logs.recordSpans(spans, processName));
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const stopOne of stops.reverse()) await stopOne();
    await stopTracing();
    await destination.close();
    await modules.close();
  };
  try {
    // Processes that hold connections of devices hear of revocations though the bus loses them.
    if (options.roles.some((role) => role === "gateway" || role === "device-http")) {
      const watch = await modules.identity.watchStanding();
      stops.push(() => watch.stop());
    }
    const stopAnswering = answerMetrics(options.bus);
    stops.push(async () => stopAnswering());
    for (const role of options.roles)
      stops.push(await startRole(role, modules, { ...options, processName }));
  } catch (error) {
    await stop();
    throw withWayOut(error, config);
  }
  return { modules, stop };
}

function apiTlsOf({ config, identity }: Modules): ApiDeps["tls"] {
  if (!servesApiByTls(config)) return undefined;
  return {
    async load() {
      const { keyPem, certificatePem } = await identity.serverCredentials("api");
      return { key: keyPem, cert: certificatePem };
    },
  };
}

/** Starts one role; the result stops it. */
async function startRole(
  role: Role,
  modules: Modules,
  { processName, processes = 1 }: RolesOptions,
): Promise<() => Promise<void>> {
  const { config } = modules;
  const listen = { bindAddress: config.bindAddress };
  switch (role) {
    case "gateway": {
      const gateway = await startGateway({
        ...modules,
        ...listen,
        port: config.mqttPort,
        gatewayId: processName,
        sharesPort: config.gatewayProcesses > 1,
        limits: readGatewayLimits(config.gatewayLimits),
        busy: createBusyMeter(),
      });
      return () => gateway.close();
    }
    case "device-http": {
      const server = await startDeviceHttp({
        ...modules,
        ...listen,
        port: config.deviceHttpPort,
        downloadShares: {
          store: createDownloadShareStore(modules.db),
          process: `${processName}-${randomId()}`,
        },
        mqttUrl: `mqtts://${config.publicHost}:${config.mqttPort}`,
        httpsUrl: `https://${config.publicHost}:${config.deviceHttpPort}`,
        limits: {
          downloads: {
            concurrent: config.downloads,
            bytesPerSecond: config.downloadBytesPerSecond,
          },
        },
      });
      return () => server.close();
    }
    case "api": {
      const applications = createApplications({ ...modules, holder: processName });
      const api = await startApi({
        ...modules,
        ...listen,
        upgrade: applications.upgrade,
        busy: createBusyMeter(),
        port: config.apiPort,
        webDirectory: WEB_DIRECTORY,
        tls: apiTlsOf(modules),
        publicOrigins: config.publicOrigin ? [config.publicOrigin] : [],
        deviceConnection: {
          mqttUrl: `mqtts://${config.publicHost}:${config.mqttPort}`,
          httpsUrl: `https://${config.publicHost}:${config.deviceHttpPort}`,
        },
        metrics: () => gatherMetrics(modules.bus, processes),
      });
      const challenges = config.acmeDirectory
        ? await startChallengeListener({
            ...listen,
            port: config.acmeHttpPort,
            challenge: (token) => modules.identity.acme.challenge(token),
          })
        : undefined;
      return async () => {
        await challenges?.close();
        await applications.close();
        await api.close();
      };
    }
    case "worker": {
      const { tenancy, telemetry, alerts, devices, db, clock, logger } = modules;
      const tenantsToWatch = async () => (await tenancy.tenants.list()).map((tenant) => tenant.id);
      const detectors = createDetectors({
        ...{ clock, logger, telemetry, tenantsToWatch },
        alerts: toldToDevices(alerts, devices),
        cohorts: (tenantId) => devices.cohorts(tenantId),
        rules: (tenantId) => modules.metricRules.rules(tenantId),
        snapshots: createSnapshotStore(db),
        shares: new WatchShares(createWatchLeases(db), `${processName}-${randomId()}`),
      });
      const jobs = await startJobs({ ...modules, detectors });
      return () => jobs.stop();
    }
  }
}

/** What the detectors find about a device is a reason of its health. */
function toldToDevices({ raise, resolve }: Modules["alerts"], devices: Modules["devices"]) {
  const tell = async (tenantId: string, about: { subjectKind: string; subjectId: string }) => {
    if (about.subjectKind === "device") await devices.reconsider(tenantId, [about.subjectId]);
  };
  return {
    async raise(tenantId: string, report: Parameters<typeof raise>[1]) {
      await raise(tenantId, report);
      await tell(tenantId, report);
    },
    async resolve(tenantId: string, key: string) {
      const resolved = await resolve(tenantId, key);
      if (resolved) await tell(tenantId, resolved);
    },
  };
}
