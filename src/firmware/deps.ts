import type { BlobStore } from "../blobs/index.ts";
import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Tenancy } from "../tenancy/index.ts";

export interface FirmwareDeps {
  db: Database;
  clock: Clock;
  blobs: BlobStore;
  sealer: Sealer;
  tenancy: Pick<Tenancy, "settings"> & {
    /** Without it all tenants share the place of their blobs. */
    storageClass?: Tenancy["storageClass"];
    /** Without it nothing is counted. */
    usage?: Pick<Tenancy["usage"], "count" | "assertWithin" | "roomOf">;
  } & { audit: Pick<Tenancy["audit"], "record" | "recordAll"> };
  logger: Logger;
  /** Deltas that are built at once in this process; 1 unless said otherwise. */
  deltaWorkers?: number;
}
