import path from "node:path";
import {
  type DatabaseUrls,
  prepareEmbeddedDatabase,
  prepareExternalDatabase,
  startPostgres,
} from "../db/index.ts";
import type { Config } from "../kernel/config.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/logger.ts";
import { createTimeseries, startEmbeddedClickHouse } from "../timeseries/index.ts";

/** Where the role processes find the stores. */
export interface StoreAddresses {
  database: DatabaseUrls;
  clickhouseUrl: string;
  blobDirectory: string;
}

export interface Stores {
  addresses: StoreAddresses;
  /** Resolves with the reason when a store that we run ends without being asked to. */
  failed: Promise<string>;
  stop(): Promise<void>;
}

/** What is being done with the stores: those of others are not started here. */
export function storesStatus(
  config: Partial<Pick<Config, "databaseUrl" | "clickhouseUrl">>,
): string {
  const named = [
    [config.databaseUrl, "PostgreSQL", "PostgreSQL"],
    [config.clickhouseUrl, "the ClickHouse engine", "ClickHouse"],
  ] as const;
  const own = named.filter(([url]) => !url).map(([, name]) => name);
  const others = named.filter(([url]) => url).map(([, , name]) => name);
  return [
    ...(own.length > 0 ? [`starting ${own.join(" and ")}`] : []),
    ...(others.length > 0 ? [`reaching ${others.join(" and ")} by the given address`] : []),
  ].join(", ");
}

/** Starts the embedded engines, or takes the external ones, and brings their schemas up to date. */
export async function startStores(
  config: Config,
  logger: Logger,
  options: { fast?: boolean; onStatus?: (message: string) => void } = {},
): Promise<Stores> {
  const stops: (() => Promise<void>)[] = [];
  const failures: Promise<string>[] = [];
  let stopping = false;
  const stop = async () => {
    stopping = true;
    for (const stopOne of stops.reverse()) await stopOne();
  };
  const onEnd = (name: string, exited: Promise<void>) =>
    exited.then(() => (stopping ? new Promise<never>(() => {}) : `${name} ended unexpectedly`));
  try {
    options.onStatus?.(storesStatus(config));
    const starts = [startDatabase(), startTimeseriesEngine()] as const;
    // One that fails is told of when the other has come to its end: what starts later is stopped too.
    await Promise.allSettled(starts);
    const [database, clickhouseUrl] = await Promise.all(starts);
    return {
      addresses: {
        database,
        clickhouseUrl,
        blobDirectory: path.join(config.dataDirectory, "blobs"),
      },
      failed: failures.length > 0 ? Promise.race(failures) : new Promise(() => {}),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }

  async function startDatabase(): Promise<DatabaseUrls> {
    if (config.databaseUrl) {
      return prepareExternalDatabase(config.databaseUrl).catch((error) => {
        throw named(error, "DATABASE_URL");
      });
    }
    const server = await startPostgres({
      directory: path.join(config.dataDirectory, "postgres"),
      ...(options.fast ? { skipSync: true, settings: { fsync: "off" } } : {}),
    });
    stops.push(() => server.stop());
    failures.push(onEnd("PostgreSQL", server.exited));
    return prepareEmbeddedDatabase(server);
  }

  async function startTimeseriesEngine(): Promise<string> {
    let url = config.clickhouseUrl;
    if (!url) {
      const engine = await startEmbeddedClickHouse({
        directory: path.join(config.dataDirectory, "clickhouse"),
        logger,
      });
      stops.push(() => engine.stop());
      url = engine.url;
    }
    const timeseries = createTimeseries({ url, logger });
    try {
      await timeseries.migrate();
    } finally {
      await timeseries.close();
    }
    return url;
  }
}

/** A store of somebody else's that is not there: says by which setting it was looked for. */
export function named(error: unknown, setting: string): unknown {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code !== "string" || !NOT_REACHED.has(code)) return error;
  return new Error(`${setting} leads nowhere: ${messageOf(error)}`, { cause: error });
}

const NOT_REACHED: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT"],
  "EAI_AGAIN",
]);
