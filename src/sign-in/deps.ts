import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Tenancy } from "../tenancy/index.ts";

export interface SignInDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  logger: Logger;
  tenancy: Pick<Tenancy, "audit" | "passwords" | "forget" | "users">;
  /** Lets issuers lie at any private address; for tests. */
  allowPrivateAddresses?: boolean | undefined;
  /** Origins of issuers that may lie at private addresses and speak plain HTTP. */
  privateIssuers?: readonly string[] | undefined;
}
