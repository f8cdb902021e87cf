import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { LocalBus } from "../../src/bus/index.ts";
import { type Config, readConfig } from "../../src/kernel/config.ts";
import { createModules, type Modules } from "../../src/platform/modules.ts";
import type { StoreAddresses } from "../../src/platform/stores.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import type { Credentials } from "./device-pki.ts";
import { createTestTimeseries, silentLogger } from "./timeseries.ts";

export interface EnrolledDevice extends Credentials {
  serial: string;
}

export interface RealModules {
  test: TestDatabase;
  config: Config;
  stores: StoreAddresses;
  /** The process of the time-series engine. */
  enginePid(): number;
  modules: Modules;
  /** Another process's modules on the same stores, with a bus of their own. */
  another(bus?: LocalBus): Modules;
  enroll(deviceId: string, tenantId?: string): Promise<EnrolledDevice>;
  close(): Promise<void>;
}

/** The platform's modules on real stores, with the tenants acme and globex. */
export async function createRealModules(
  bus = new LocalBus(),
  settings: Record<string, string> = {},
): Promise<RealModules> {
  const [test, store] = await Promise.all([createTestDatabase(), createTestTimeseries()]);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-modules-"));
  const config = readConfig({ VAUTN_DATA: directory, VAUTN_LOG_LEVEL: "error", ...settings });
  const stores = {
    database: { ownerUrl: test.ownerUrl, appUrl: test.appUrl, becomeAppRole: false },
    clickhouseUrl: store.engine.url,
    blobDirectory: path.join(directory, "blobs"),
  };
  const all: Modules[] = [];
  const another = (own = new LocalBus()) => {
    const modules = createModules({ config, stores, bus: own, logger: silentLogger });
    all.push(modules);
    return modules;
  };
  const modules = another(bus);
  await modules.identity.ensurePlatform();
  for (const id of ["acme", "globex"]) {
    await modules.tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
  }
  return {
    ...{ test, config, stores, modules, another },
    enginePid: () => store.engine.pid,
    async enroll(deviceId, tenantId = "acme") {
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const commonName = `${tenantId}/${deviceId}`;
      const { chainPem, rootPem, serial } = await modules.identity.enroll({
        tenantId,
        csr: createCertificateRequest({ privateKey, commonName, organization: tenantId }),
        via: "operator",
        authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
        device: { product: "hub", hardwareRevision: "a" },
      });
      const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
      return { key, cert: chainPem, ca: rootPem, serial };
    },
    async close() {
      for (const one of all) await one.close();
      await store.close();
      await test.close();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
