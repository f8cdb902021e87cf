import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { freePort } from "../../src/db/index.ts";
import { until } from "./gateway.ts";
import { forge } from "./pki.ts";

/** Let's Encrypt's test server for ACME clients; Debian has it as a package. */
export const hasPebble = spawnSync("pebble", ["-h"]).error === undefined;

export interface Pebble {
  directoryUrl: string;
  /** Vouches for its own HTTPS. */
  caFile: string;
  /** Where it looks for HTTP-01 answers. */
  httpPort: number;
  externalAccount: { kid: string; hmacKey: string };
  /** Root of what it issues. */
  root(): Promise<string>;
  /** Forgets everything it knew, accounts included. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 90_000;
const EXTERNAL_ACCOUNT = {
  kid: "kid-1",
  hmacKey: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
};

/** It wants external accounts, refuses a twentieth of all nonces, and looks at each challenge. */
export async function startPebble(): Promise<Pebble> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-pebble-"));
  const [port, managementPort, httpPort, tlsPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const own = await forge({ subject: "CN=pebble", dns: ["localhost"], authority: true });
  const file = (name: string, text: string) => {
    fs.writeFileSync(path.join(directory, name), text);
    return path.join(directory, name);
  };
  const caFile = file("cert.pem", own.certificatePem);
  const config = file(
    "config.json",
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${managementPort}`,
        certificate: caFile,
        privateKey: file("key.pem", own.keyPem),
        httpPort,
        tlsPort,
        externalAccountBindingRequired: true,
        externalAccountMACKeys: { [EXTERNAL_ACCOUNT.kid]: EXTERNAL_ACCOUNT.hmacKey },
      },
    }),
  );
  let child: ChildProcess;
  const start = async () => {
    child = spawn("pebble", ["-config", config, "-strict"], {
      env: { ...process.env, PEBBLE_VA_NOSLEEP: "1", PEBBLE_AUTHZREUSE: "0" },
      stdio: "ignore",
    });
    const isUp = () =>
      get(`https://localhost:${port}/dir`).then(
        () => true,
        () => false,
      );
    await until(isUp, START_TIMEOUT_MS);
  };
  const stop = async () => {
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
  };
  const get = (url: string) =>
    new Promise<string>((resolve, reject) => {
      https
        .get(url, { ca: own.certificatePem }, (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (chunk: string) => {
            text += chunk;
          });
          response.once("end", () => resolve(text));
        })
        .once("error", reject);
    });
  await start();
  return {
    directoryUrl: `https://localhost:${port}/dir`,
    caFile,
    httpPort,
    externalAccount: EXTERNAL_ACCOUNT,
    root: () => get(`https://localhost:${managementPort}/roots/0`),
    async restart() {
      await stop();
      await start();
    },
    async stop() {
      await stop();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
