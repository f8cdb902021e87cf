import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createAlertRules } from "../../src/alert-rules/index.ts";
import { createAlerts } from "../../src/alerts/index.ts";
import { type ApiDeps, buildApi } from "../../src/api/index.ts";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { createCommands } from "../../src/commands/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { createMetricRules } from "../../src/health/index.ts";
import type { IdentityDeps } from "../../src/identity/identity.ts";
import { createIdentity, createRotationCampaigns } from "../../src/identity/index.ts";
import type { CheckResult } from "../../src/kernel/health-checks.ts";
import { createHealthChecks } from "../../src/kernel/health-checks.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { systemRandom } from "../../src/kernel/random.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createLogs, createSavedSearches } from "../../src/logs/index.ts";
import { createRollouts } from "../../src/rollouts/index.ts";
import { createSignIn } from "../../src/sign-in/index.ts";
import { createTelemetry } from "../../src/telemetry/index.ts";
import { createTelemetryQueries } from "../../src/telemetry-queries/index.ts";
import {
  createAuditCheckpoints,
  createAuditStreams,
  createTenancy,
  SYSTEM_ACTOR,
  type TenantRole,
} from "../../src/tenancy/index.ts";
import { createTenantData } from "../../src/tenant-data/index.ts";
import { watchAnswers } from "./answer-contract.ts";
import { createTestDatabase } from "./database.ts";
import { createTestTimeseries, silentLogger } from "./timeseries.ts";

export const PASSWORD = "correct horse battery staple";

// biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
type Body = any;

export interface Answer {
  status: number;
  body: Body;
  headers: Record<string, string | string[] | number | undefined>;
}

export interface CallOptions {
  key?: string | null;
  headers?: Record<string, string>;
  body?: unknown;
}

type SignInOptions = Partial<Parameters<typeof createSignIn>[0]>;

export type TestApi = Awaited<ReturnType<typeof startTestApi>>;

/** The API on real modules: PostgreSQL, the ClickHouse engine, a blob folder, a local bus. */
export async function startTestApi(
  overrides: Partial<ApiDeps> = {},
  identityDeps: Partial<IdentityDeps> = {},
  signInDeps: SignInOptions = {},
) {
  const [database, series] = await Promise.all([createTestDatabase(), createTestTimeseries()]);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-api-"));
  const modules = createModules(
    database.db,
    series.timeseries,
    directory,
    identityDeps,
    signInDeps,
  );
  await modules.identity.ensurePlatform();
  const answers = watchAnswers();
  const api = await buildApi({
    serializerCompiler: answers.serializerCompiler,
    ...modules,
    health: createHealthChecks(modules.clock, {
      postgresql: () => database.db.ping().then(() => undefined),
      clickhouse: () => series.timeseries.ping().then(() => undefined),
    }),
    requestsPerMinute: 100_000,
    deviceConnection: { mqttUrl: "mqtts://localhost:8883", httpsUrl: "https://localhost:8443" },
    ...overrides,
  });
  const { users, tenants, keys } = modules.tenancy;
  const administrator = await users.create(
    {
      email: "admin@example.com",
      name: "Admin",
      password: PASSWORD,
      platformRole: "platform-administrator",
    },
    SYSTEM_ACTOR,
  );
  const adminKey = (await keys.createPersonalKey(administrator.id, { name: "t" }, SYSTEM_ACTOR))
    .key;
  for (const id of ["acme", "globex"]) await tenants.create({ id, name: id }, SYSTEM_ACTOR);
  const keyOf = async (tenantId: string, role: TenantRole) =>
    (await keys.createTenantKey(tenantId, { name: role, role }, SYSTEM_ACTOR)).key;

  return {
    api,
    modules,
    adminKey,
    timeseries: series.timeseries,
    engineUrl: series.engine.url,
    superuserUrl: database.superuserUrl,
    appUrl: database.appUrl,
    blobDirectory: directory,
    acme: await keyOf("acme", "administrator"),
    globex: await keyOf("globex", "administrator"),
    keyOf,
    async call(method: string, url: string, options: CallOptions = {}): Promise<Answer> {
      const key = options.key === undefined ? adminKey : options.key;
      const response = await api.inject({
        method: method as "GET",
        url: url.startsWith("/tenants") || url.startsWith("/auth") ? `/api/v1${url}` : url,
        headers: { ...(key ? { authorization: `Bearer ${key}` } : {}), ...options.headers },
        ...(options.body === undefined ? {} : { payload: options.body as object }),
      });
      const { statusCode, headers, payload } = response;
      const isJson = /[/+]json/.test(String(headers["content-type"]));
      return { status: statusCode, headers, body: isJson ? JSON.parse(payload) : payload };
    },
    /** Listens on a free port; the result is the base URL. */
    listen: () => api.listen({ port: 0, host: "127.0.0.1" }),
    async close() {
      await api.close();
      await modules.firmware.stop();
      await series.close();
      await database.close();
      fs.rmSync(directory, { recursive: true, force: true });
      answers.close();
    },
  };
}

function createModules(
  db: Awaited<ReturnType<typeof createTestDatabase>>["db"],
  timeseries: Awaited<ReturnType<typeof createTestTimeseries>>["timeseries"],
  directory: string,
  identityDeps: Partial<IdentityDeps>,
  signInDeps: SignInOptions,
) {
  const clock = systemClock;
  const logger = silentLogger;
  const bus = new LocalBus();
  const sealer = createSealer(Buffer.alloc(32, 7));
  const tenancy = createTenancy({ db, clock });
  const inner = { db, clock, bus, tenancy, sealer, logger };
  const signIn = createSignIn({ ...inner, ...signInDeps });
  const identity = createIdentity({
    ...inner,
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
    ...identityDeps,
  });
  const devices = createDevices(inner);
  const telemetry = createTelemetry({
    ...{ timeseries, clock },
    retention: (tenantId) => tenancy.retention.policy(tenantId),
  });
  timeseries.readBy((tenantId) => tenancy.readPlace(tenantId));
  tenancy.onTenantsKeptApart((tenantIds) => timeseries.keepApart(tenantIds));
  const telemetryQueries = createTelemetryQueries({
    ...{ db, clock, timeseries, devices, telemetry, tenancy },
  });
  const logs = createLogs({ timeseries, clock });
  const alerts = createAlerts({ ...inner, allowPrivateAddresses: true });
  const blobs = openBlobStore({ directory });
  const firmware = createFirmware({ ...inner, blobs });
  const rollouts = createRollouts({
    ...inner,
    devices,
    firmware,
    alerts,
    telemetry,
    queries: telemetryQueries,
    logs,
    artifactUrl: (sha256) => `https://localhost/artifacts/${sha256}`,
  });
  const platformChecks: CheckResult[] = [];
  const alertRules = createAlertRules({
    ...{ db, clock, logger, alerts },
    facts: {
      ...{ devices, telemetry, logs, alerts, rollouts, identity },
      platformChecks: async () => platformChecks,
      settings: (tenantId) => tenancy.settings(tenantId),
    },
  });
  const commands = createCommands(inner);
  const campaignDeps = { ...inner, commands, random: systemRandom };
  const rotationCampaigns = createRotationCampaigns(campaignDeps);
  const auditCheckpoints = createAuditCheckpoints(inner);
  const stores = { ...inner, blobs, timeseries, firmware, auditCheckpoints };
  return {
    ...stores,
    auditStreams: createAuditStreams({
      ...{ ...inner, allowPrivateAddresses: true, publicHost: "vautn.example" },
    }),
    tenantData: createTenantData(stores),
    signIn,
    rotationCampaigns,
    identity,
    devices,
    telemetry,
    telemetryQueries,
    logs,
    alerts,
    savedSearches: createSavedSearches({ db, clock }),
    metricRules: createMetricRules({ db, clock, alerts, audit: tenancy.audit }),
    alertRules,
    platformChecks,
    firmware,
    rollouts,
    commands,
  };
}
