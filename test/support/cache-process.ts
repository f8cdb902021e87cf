// A site's cache in a process of its own, to be killed: test/integration/site-cache.test.ts.
import { startCache } from "../../src/cache/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { systemRandom } from "../../src/kernel/random.ts";
import { silentLogger } from "./timeseries.ts";

const [directory = "", identityDirectory = "", upstreamUrl = ""] = process.argv.slice(2);

const cache = await startCache({
  ...{ directory, identityDirectory, upstreamUrl },
  ...{ maxBytes: 100_000_000, port: 0, statusPort: 0, bindAddress: "127.0.0.1" },
  publicHost: "localhost",
  downloads: { concurrent: 1_000, bytesPerSecond: 0 },
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
});
process.send?.({ port: cache.port, certificateFile: cache.certificateFile });
