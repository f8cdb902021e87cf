import { LocalBus } from "../src/bus/index.ts";
import { Database } from "../src/db/index.ts";
import { createIdentity } from "../src/identity/index.ts";
import { systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { createSealer } from "../src/kernel/sealing.ts";
import { createTenancy } from "../src/tenancy/index.ts";

/** The modules that issue certificates, on a database that is prepared. */
export function openInstallation(appUrl: string) {
  const db = new Database({ url: appUrl, maxConnections: 16 });
  const tenancy = createTenancy({ db, clock: systemClock });
  const identity = createIdentity({
    db,
    clock: systemClock,
    sealer: createSealer(Buffer.alloc(32, 1)),
    bus: new LocalBus(),
    tenancy,
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
    logger: createLogger({ level: "error" }),
  });
  return { db, tenancy, identity };
}
