// Devices' HTTPS in a process of its own: test/integration/download-shares.test.ts.
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { Database } from "../../src/db/index.ts";
import { startDeviceHttp } from "../../src/device-http/index.ts";
import { createDownloadShareStore, createFirmware } from "../../src/firmware/index.ts";
import { createIdentity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTenancy } from "../../src/tenancy/index.ts";
import { silentLogger } from "./timeseries.ts";

const [url = "", directory = "", name = ""] = process.argv.slice(2);

const db = new Database({ url, maxConnections: 4 });
const shared = {
  ...{ db, clock: systemClock, logger: silentLogger, bus: new LocalBus() },
  sealer: createSealer(Buffer.alloc(32, 1)),
  tenancy: createTenancy({ db, clock: systemClock }),
  trustDomain: "devices.vautn.internal",
  publicHost: "localhost",
  blobs: openBlobStore({ directory }),
};
const firmware = createFirmware(shared);
const server = await startDeviceHttp({
  ...{ identity: createIdentity(shared), firmware, tenancy: shared.tenancy },
  ...{ clock: systemClock, logger: silentLogger, port: 0, bindAddress: "127.0.0.1" },
  downloadShares: { store: createDownloadShareStore(db), process: name },
  mqttUrl: "mqtts://localhost:8883",
  httpsUrl: "https://localhost:8443",
});
process.on("message", async () => {
  await server.close();
  await firmware.stop();
  await db.close();
  process.disconnect?.();
});
process.send?.({ port: server.port });
