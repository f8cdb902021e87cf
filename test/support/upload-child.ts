// Appends standard input to an upload and is killed in the middle of it: see uploads.test.ts.
import { openBlobStore } from "../../src/blobs/index.ts";
import { Database } from "../../src/db/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { silentLogger } from "./timeseries.ts";

const [url = "", directory = "", tenantId = "", id = ""] = process.argv.slice(2);
const db = new Database({ url });
const clock = systemClock;
const firmware = createFirmware({
  db,
  clock,
  blobs: openBlobStore({ directory }),
  sealer: createSealer(Buffer.alloc(32, 7)),
  tenancy: createTenancy({ db, clock }),
  logger: silentLogger,
});
await firmware.uploads.append(tenantId, id, { offset: 0, content: process.stdin }, SYSTEM_ACTOR);
