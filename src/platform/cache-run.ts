import path from "node:path";
import { startCache } from "../cache/index.ts";
import { readConfig } from "../kernel/config.ts";
import { systemClock } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { systemRandom } from "../kernel/random.ts";
import { lockDataDirectory } from "./data-lock.ts";
import { aborted, interruptions } from "./interruptions.ts";

const WARN_BEFORE_MS = 14 * 86_400_000;

/** `vautn up --roles=cache`: a site's download cache, until Ctrl-C or SIGTERM. */
export async function runCache(
  options: { data?: string; upstream?: string; identity?: string },
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const { VAUTN_ROLES: _, ...rest } = environment;
  const config = readConfig({
    ...rest,
    ...(options.data ? { VAUTN_DATA: options.data } : {}),
    ...(options.upstream ? { VAUTN_UPSTREAM: options.upstream } : {}),
    ...(options.identity ? { VAUTN_CACHE_IDENTITY: options.identity } : {}),
  });
  if (!config.upstreamUrl) {
    throw new Error(
      "a cache needs --upstream URL (or VAUTN_UPSTREAM): the platform's devices' HTTPS",
    );
  }
  const print = (message: string) => process.stderr.write(`vautn: ${message}\n`);
  const controller = new AbortController();
  const stop = interruptions(controller, print);
  const { tlsCertificateFile, tlsKeyFile, dataDirectory } = config;
  const lock = await lockDataDirectory(dataDirectory);
  try {
    const cache = await startCache({
      directory: path.join(dataDirectory, "cache"),
      upstreamUrl: config.upstreamUrl,
      identityDirectory: config.cacheIdentity ?? path.join(dataDirectory, "identity"),
      maxBytes: config.cacheBytes,
      port: config.deviceHttpPort,
      statusPort: config.apiPort,
      bindAddress: config.bindAddress,
      publicHost: config.publicHost,
      ...(tlsCertificateFile && tlsKeyFile
        ? { tlsFiles: { certificateFile: tlsCertificateFile, keyFile: tlsKeyFile } }
        : {}),
      downloads: { concurrent: config.downloads, bytesPerSecond: config.downloadBytesPerSecond },
      clock: systemClock,
      random: systemRandom,
      logger: createLogger({ level: config.logLevel, role: "cache" }),
    });
    const { identity, certificateFile } = cache;
    print(`a cache for ${identity.tenantId} in front of ${config.upstreamUrl}`);
    print(`devices: https://${config.publicHost}:${cache.port}, known by ${certificateFile}`);
    print(`status:  http://${config.publicHost}:${cache.statusPort}/metrics`);
    if (identity.notAfter.getTime() - Date.now() < WARN_BEFORE_MS) {
      print(`the cache's certificate ends at ${identity.notAfter.toISOString()}: enrol it again`);
    }
    await aborted(controller.signal);
    print("stopping …");
    await cache.stop();
  } finally {
    stop.dispose();
    await lock.release();
  }
  return 0;
}
