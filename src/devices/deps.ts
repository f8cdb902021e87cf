import type { Bus } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Tenancy } from "../tenancy/index.ts";

export interface DevicesDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  tenancy: Pick<Tenancy, "settings" | "audit">;
}
