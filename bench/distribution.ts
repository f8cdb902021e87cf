// How many bytes does a core of the server send to devices? Downloads by Range over mutual TLS, beside
// nginx with the same certificates and the same file, in turns. Usage: npm run bench:distribution -- [--seconds N]
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { freePort } from "../src/db/index.ts";

const { values: flags } = parseArgs({ options: { seconds: { type: "string", default: "4" } } });
const DURATION_MS = Number(flags.seconds) * 1_000;
const ROUNDS = 3;
const CONNECTIONS = 4;
const PART_BYTES = 8 * 1024 ** 2;
const MEGABYTE = 1_000_000;

interface Setting {
  port: number;
  sha256: string;
  sizeBytes: number;
  file: string;
  key: string;
  cert: string;
  root: string;
  serverCredentials: { keyPem: string; certificatePem: string };
}

/** Downloads parts over lasting connections for a while; bytes, and what one core's second carried. */
async function download(setting: Setting, port: number, cpuSeconds: () => Promise<number>) {
  const { key, cert, root: ca, sha256, sizeBytes } = setting;
  const agent = new https.Agent({ keepAlive: true, maxSockets: CONNECTIONS, key, cert, ca });
  const part = (index: number) =>
    new Promise<number>((resolve, reject) => {
      const start = (index * PART_BYTES) % sizeBytes;
      const headers = { range: `bytes=${start}-${start + PART_BYTES - 1}` };
      const options = { host: "localhost", port, path: `/artifacts/${sha256}`, headers, agent };
      https
        .get(options, (response) => {
          if (response.statusCode !== 206) reject(new Error(`HTTP ${response.statusCode}`));
          let sum = 0;
          response.on("data", (chunk: Buffer) => {
            sum += chunk.length;
          });
          response.on("end", () => resolve(sum)).on("error", reject);
        })
        .on("error", reject);
    });
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => part(index)));
  const before = await cpuSeconds();
  const started = performance.now();
  let bytes = 0;
  let next = 0;
  const worker = async () => {
    while (performance.now() - started < DURATION_MS) {
      next += 1;
      bytes += await part(next);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  const seconds = (performance.now() - started) / 1_000;
  const spent = (await cpuSeconds()) - before;
  agent.destroy();
  return { perCoreSecond: bytes / MEGABYTE / spent, perSecond: bytes / MEGABYTE / seconds };
}

async function startNginx(setting: Setting) {
  if (spawnSync("nginx", ["-v"]).error) return undefined;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-nginx-"));
  const write = (name: string, text: string) => {
    fs.writeFileSync(path.join(folder, name), text);
    return path.join(folder, name);
  };
  const port = await freePort();
  const { serverCredentials, root, file, sha256 } = setting;
  const config = write(
    "nginx.conf",
    `${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
  uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate ${write("cert.pem", serverCredentials.certificatePem)};
    ssl_certificate_key ${write("key.pem", serverCredentials.keyPem)};
    ssl_client_certificate ${write("root.pem", root)};
    ssl_verify_client on; ssl_verify_depth 4;
    location = /artifacts/${sha256} { alias ${file}; }
  }
}`,
  );
  const master = spawn("nginx", ["-c", config, "-g", "daemon off;"], { stdio: "inherit" });
  const worker = async () => {
    for (;;) {
      const children = `/proc/${master.pid}/task/${master.pid}/children`;
      const pid = fs.readFileSync(children, "utf8").trim().split(" ")[0];
      if (pid) return pid;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const pid = await worker();
  const ticks = Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout) || 100;
  return {
    port,
    async cpuSeconds() {
      // proc(5): utime and stime are the 14th and 15th fields; the name may hold spaces.
      const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return (Number(fields[11]) + Number(fields[12])) / ticks;
    },
    async stop() {
      master.kill("SIGTERM");
      await once(master, "exit");
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function cpuSecondsOf(child: ChildProcess): Promise<number> {
  child.send("cpu");
  const [{ user, system }] = (await once(child, "message")) as [NodeJS.CpuUsage];
  return (user + system) / 1e6;
}

const child = fork(path.join(import.meta.dirname, "distribution-server.ts"));
child.send("start");
const [setting] = (await once(child, "message")) as [Setting];
const nginx = await startNginx(setting);
const runs: { ours: number; rate: number; theirs: number }[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  const ours = await download(setting, setting.port, () => cpuSecondsOf(child));
  const theirs = nginx && (await download(setting, nginx.port, nginx.cpuSeconds));
  runs.push({
    ours: ours.perCoreSecond,
    rate: ours.perSecond,
    theirs: theirs?.perCoreSecond ?? Number.NaN,
  });
}
const median = (values: number[]) =>
  [...values].sort((left, right) => left - right)[values.length >> 1] as number;
const round = (value: number) => Number(value.toPrecision(4));
const ours = median(runs.map((run) => run.ours));
console.log(
  JSON.stringify({
    name: "downloads over mutual TLS by Range",
    value: round(ours),
    unit: "MB per second of one core",
    ...(nginx
      ? { ratio: round(median(runs.map((run) => run.ours / run.theirs))), against: "nginx" }
      : { skipped: "nginx is not installed: nothing to compare with" }),
  }),
);
const rate = round(median(runs.map((run) => run.rate)));
console.log(JSON.stringify({ name: "the same, by the clock", value: rate, unit: "MB/s" }));
await nginx?.stop();
child.send("stop");
