import fs from "node:fs";
import { createAlertRules } from "../alert-rules/index.ts";
import { createAlerts } from "../alerts/index.ts";
import { openBlobStore } from "../blobs/index.ts";
import type { Bus } from "../bus/index.ts";
import { createCommands } from "../commands/index.ts";
import { Database } from "../db/index.ts";
import { createDevices } from "../devices/index.ts";
import { createFirmware } from "../firmware/index.ts";
import { createMetricRules } from "../health/index.ts";
import { type AcmeOptions, createIdentity, createRotationCampaigns } from "../identity/index.ts";
import { type Config, ownConsoleUrl } from "../kernel/config.ts";
import { systemClock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { parseMailServer } from "../kernel/mail-server.ts";
import { Tokens } from "../kernel/pkcs11.ts";
import { addressesOf } from "../kernel/public-address.ts";
import { systemRandom } from "../kernel/random.ts";
import { createSealer, loadMasterKey, parseReplacedKeys } from "../kernel/sealing.ts";
import { createLogs, createSavedSearches } from "../logs/index.ts";
import { createRollouts } from "../rollouts/index.ts";
import { createSignIn } from "../sign-in/index.ts";
import { createDeclaredMetrics, createTelemetry } from "../telemetry/index.ts";
import { createTelemetryQueries } from "../telemetry-queries/index.ts";
import {
  createAuditCheckpoints,
  createAuditStreams,
  createTenancy,
  quotaAlert,
} from "../tenancy/index.ts";
import { createTenantData } from "../tenant-data/index.ts";
import { createTimeseries, withJournal } from "../timeseries/index.ts";
import { createPlatformHealth } from "./health.ts";
import type { JournalPlace } from "./journal-place.ts";
import type { StoreAddresses } from "./stores.ts";

export interface ModuleOptions {
  config: Config;
  stores: StoreAddresses;
  bus: Bus;
  logger: Logger;
  /** Lets webhooks reach loopback addresses: for tests and the demo's own receiver. */
  allowPrivateWebhooks?: boolean;
  /** The journal that this process writes before the time-series store; see `journalOf`. */
  journal?: JournalPlace | undefined;
}

/** A journal takes small batches as readily as large ones, and two while a third gathers. */
const JOURNALED_BATCHES = { batchDelayMs: 3, maxWrites: 2 };

export type Modules = ReturnType<typeof createModules>;

/** Makes every domain module of a process; nothing is started here but connections on demand. */
export function createModules(options: ModuleOptions) {
  const { config, stores, bus, logger } = options;
  const clock = systemClock;
  const sealer = createSealer(
    loadMasterKey(config.dataDirectory, config.masterKey),
    parseReplacedKeys(config.replacedMasterKeys),
  );
  const db = new Database({
    url: stores.database.appUrl,
    becomeAppRole: stores.database.becomeAppRole,
    maxConnections: 20,
    onError: (error) => logger.warn({ error: error.message }, "a database connection was lost"),
  });
  const store = createTimeseries({ url: stores.clickhouseUrl, logger });
  const timeseries = options.journal ? withJournal(store, { ...options.journal, logger }) : store;
  const blobs = openBlobStore({ directory: stores.blobDirectory, url: config.blobUrl });
  const tenancy = createTenancy({ db, clock });
  const receivers = options.allowPrivateWebhooks || addressesOf(config.privateReceivers);
  const auditCheckpoints = createAuditCheckpoints({ db, clock, sealer, tenancy });
  const auditStreams = createAuditStreams({
    ...{ db, clock, sealer, tenancy, publicHost: config.publicHost },
    allowPrivateAddresses: receivers,
  });
  const signIn = createSignIn({
    ...{ db, clock, sealer, logger, tenancy },
    allowPrivateAddresses: options.allowPrivateWebhooks ?? false,
    privateIssuers: config.privateIssuers,
  });
  const identity = createIdentity({
    db,
    clock,
    sealer,
    bus,
    tenancy,
    trustDomain: config.trustDomain,
    publicHost: config.publicHost,
    ...publicUrlOf(config),
    logger,
    allowPrivateAddresses: receivers,
    ...pkiSources(config),
  });
  const devices = createDevices({ db, clock, bus, tenancy });
  const commands = createCommands({ db, clock, bus, tenancy });
  const rotationCampaigns = createRotationCampaigns({
    ...{ db, clock, tenancy, commands },
    random: systemRandom,
  });
  const batches = options.journal ? JOURNALED_BATCHES : {};
  const declared = createDeclaredMetrics({
    clock,
    productsOf: (tenantId) => devices.metrics.declared(tenantId),
    productByDevice: (tenantId, ids) => devices.metrics.productByDevice(tenantId, ids),
  });
  const telemetry = createTelemetry({
    ...{ timeseries, clock, declared, ...batches },
    retention: (tenantId) => tenancy.retention.policy(tenantId),
    clockOffset: (tenantId, deviceId) => devices.metrics.clockOffset(tenantId, deviceId),
  });
  const telemetryQueries = createTelemetryQueries({
    ...{ db, clock, timeseries, devices, telemetry, tenancy },
  });
  const logs = createLogs({ timeseries, clock });
  const savedSearches = createSavedSearches({ db, clock });
  const alerts = createAlerts({
    db,
    clock,
    bus,
    sealer,
    logger,
    allowPrivateAddresses: receivers,
    ...(config.smtpUrl ? { mailServer: parseMailServer(config.smtpUrl, config.smtpFrom) } : {}),
    consoleUrl: config.publicOrigin ?? ownConsoleUrl(config),
  });
  const metricRules = createMetricRules({ db, clock, alerts, audit: tenancy.audit });
  const firmware = createFirmware({ db, clock, blobs, sealer, tenancy, logger });
  const rollouts = createRollouts({
    db,
    clock,
    bus,
    tenancy,
    devices,
    firmware,
    alerts,
    telemetry,
    queries: telemetryQueries,
    logs,
    logger,
    artifactUrl: (sha256) =>
      `https://${config.publicHost}:${config.deviceHttpPort}/artifacts/${sha256}`,
  });
  const tenantData = createTenantData({
    ...{ db, clock, blobs, timeseries, tenancy, firmware, auditCheckpoints },
  });
  tenancy.usage.onNews((tenantId, news) => alerts.raise(tenantId, quotaAlert(news)));
  tenancy.usage.start((err) => logger.warn({ err }, "what tenants use could not be written"));
  const health = createPlatformHealth({ config, clock, db, timeseries: store, blobs, bus });
  const alertRules = createAlertRules({
    ...{ db, clock, logger, alerts },
    facts: {
      ...{ devices, telemetry, logs, alerts, rollouts, identity, platformChecks: health },
      settings: (tenantId) => tenancy.settings(tenantId),
    },
  });
  timeseries.readBy((tenantId) => tenancy.readPlace(tenantId));
  tenancy.onTenantsKeptApart((tenantIds) => timeseries.keepApart(tenantIds));
  tenancy.onTenantCreated(async (tenantId) => {
    await identity.ensureTenantAuthority(tenantId);
    await firmware.ensureOnlineKeys(tenantId);
  });
  return {
    config,
    clock,
    logger,
    bus,
    sealer,
    db,
    timeseries,
    blobs,
    tenancy,
    auditCheckpoints,
    auditStreams,
    tenantData,
    signIn,
    identity,
    devices,
    commands,
    rotationCampaigns,
    telemetry,
    telemetryQueries,
    logs,
    alerts,
    alertRules,
    health,
    metricRules,
    savedSearches,
    firmware,
    rollouts,
    async close() {
      await Promise.all([telemetry.close(), logs.close()]);
      await tenancy.usage.stop().catch((err) => logger.warn({ err }, "use was not written"));
      await db.close();
      await timeseries.close();
    },
  };
}

/** Where keys and certificates come from that the platform does not make itself. */
function pkiSources(config: Config) {
  const { pkcs11Module, pkcs11PinFile, pkcs11Pin, rootFile, rootKey } = config;
  const { tlsCertificateFile, tlsKeyFile } = config;
  return {
    ...(pkcs11Module
      ? { tokens: new Tokens({ modulePath: pkcs11Module, pinFile: pkcs11PinFile, pin: pkcs11Pin }) }
      : {}),
    ...(rootFile
      ? { givenRoot: { certificatePem: fs.readFileSync(rootFile, "utf8"), keyUri: rootKey } }
      : {}),
    ...(tlsCertificateFile && tlsKeyFile
      ? { tlsFiles: { certificateFile: tlsCertificateFile, keyFile: tlsKeyFile } }
      : {}),
    ...acmeOf(config),
  };
}

function acmeOf(config: Config): { acme?: AcmeOptions } {
  const { acmeDirectory: directoryUrl, acmeNames: names, acmeEabKeyId: kid } = config;
  if (!directoryUrl) return {};
  const acme: AcmeOptions = {
    directoryUrl,
    names: names.length > 0 ? names : [config.publicHost],
    listeners: config.acmeListeners,
    email: config.acmeEmail,
    caFile: config.acmeCaFile,
    ...(kid && config.acmeEabKey ? { externalAccount: { kid, hmacKey: config.acmeEabKey } } : {}),
  };
  return { acme };
}

/** Certificates name the address of revocation lists only where there is one beyond this machine. */
function publicUrlOf({ publicHost, deviceHttpPort }: Config): { publicUrl?: string } {
  if (publicHost === "localhost") return {};
  return { publicUrl: `https://${publicHost}:${deviceHttpPort}` };
}
