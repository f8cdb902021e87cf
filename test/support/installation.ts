import type { KeyObject } from "node:crypto";
import { LocalBus } from "../../src/bus/index.ts";
import type { IdentityDeps } from "../../src/identity/identity.ts";
import { createIdentity, type Enrolment, type Identity } from "../../src/identity/index.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import type { TestDatabase } from "./database.ts";
import { newKey } from "./pki.ts";

export interface Installation {
  identity: Identity;
  tenancy: Tenancy;
  bus: LocalBus;
  enroll(deviceId: string, options?: { tenantId?: string; key?: KeyObject }): Promise<EnrolledKey>;
}

export interface EnrolledKey extends Enrolment {
  key: KeyObject;
}

export const TRUST_DOMAIN = "devices.vautn.internal";

/** The identity module on a database of its own, as one process of an installation has it. */
export function createInstallation(
  test: TestDatabase,
  options: Partial<Omit<IdentityDeps, "db" | "tenancy">> & { clock?: Clock } = {},
): Installation {
  const clock = options.clock ?? systemClock;
  const bus = (options.bus as LocalBus | undefined) ?? new LocalBus();
  const tenancy = createTenancy({ db: test.db, clock });
  const identity = createIdentity({
    sealer: createSealer(Buffer.alloc(32, 1)),
    trustDomain: TRUST_DOMAIN,
    publicHost: "localhost",
    logger: createLogger({ level: "silent" }),
    ...options,
    clock,
    bus,
    db: test.db,
    tenancy,
  });
  tenancy.onTenantCreated((id) => identity.ensureTenantAuthority(id));
  return {
    identity,
    tenancy,
    bus,
    async enroll(deviceId, { tenantId = "acme", key = newKey() } = {}) {
      const enrolment = await identity.enroll({
        tenantId,
        csr: createCertificateRequest({
          privateKey: key,
          commonName: `${tenantId}/${deviceId}`,
          organization: tenantId,
        }),
        via: "test",
        authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
        device: { product: "hub", hardwareRevision: "a" },
      });
      return { ...enrolment, key };
    },
  };
}
