// Re-enrolment over EST against the TLS handshakes that it needs anyway, and who spends what on each.
import { type ChildProcess, fork } from "node:child_process";
import type { KeyObject } from "node:crypto";
import { once } from "node:events";
import path from "node:path";
import tls from "node:tls";
import { newPrivateKey } from "../src/identity/authority-key.ts";
import type { openInstallation } from "./pki-installation.ts";
import { type Measured, mean, measure, report, requestOf } from "./pki-measure.ts";

const ROUNDS = 3;
const WARM_UP_MS = 8_000;
/** Connections at a time, in both: after an outage many come at once. */
const WIDTH = 64;
/** Requests that are made beforehand: what devices do is not measured. */
const MAX_RENEWALS = 16_000;
const RENEWAL_PATH = "/.well-known/est/acme/simplereenroll";

export interface Enrolled {
  deviceId: string;
  key: KeyObject;
  keyPem: string;
  chainPem: string;
}

export interface EstBench {
  installation: ReturnType<typeof openInstallation>;
  appUrl: string;
  databasePid: number;
  devices: readonly Enrolled[];
  durationMs: number;
  /** Where profiles of the server's process go (`--cpu-prof`). */
  profiles: string | undefined;
}

export async function benchEst(options: EstBench): Promise<void> {
  const { installation, appUrl, databasePid, devices, durationMs, profiles } = options;
  const child = fork(path.resolve(import.meta.dirname, "pki-server.ts"), {
    execArgv: profiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profiles}`],
  });
  child.send(appUrl);
  const [ports] = (await once(child, "message")) as [{ estPort: number; handshakePort: number }];
  const ca = await installation.identity.rootCertificatePem();
  const pick = (index: number) => devices[index % devices.length] as Enrolled;
  try {
    const bodies = Array.from({ length: MAX_RENEWALS }, (_, index) =>
      requestOf(newPrivateKey(), pick(index).deviceId).toString("base64"),
    );
    let next = 0;
    const renewOne = () => {
      const index = next;
      next += 1;
      return renewOverEst(ports.estPort, ca, pick(index), bodies[index] ?? "");
    };
    const bounds = { durationMs, width: WIDTH, others: [child.pid as number, databasePid] };
    const handshakes: Measured[] = [];
    const renewals: Measured[] = [];
    const shake = (index: number) => shakeHands(ports.handshakePort, ca, pick(index));
    // A server runs for months: what its first requests cost (compiling, mostly) is not counted, and
    // every device has used its certificate by then.
    const warm = { ...bounds, durationMs: WARM_UP_MS };
    await measure(shake, warm);
    await measure(renewOne, warm);
    // By turns: what else the machine does meets both alike.
    for (let round = 0; round < ROUNDS; round += 1) {
      handshakes.push(await measure(shake, bounds));
      renewals.push(await measure(renewOne, bounds));
    }
    tell(handshakes, renewals);
  } finally {
    await stop(child);
  }
}

function tell(handshakes: readonly Measured[], renewals: readonly Measured[]): void {
  const perSecond = (of: readonly Measured[]) => mean(of.map((one) => one.perSecond));
  report("pki/handshakes-alone", perSecond(handshakes), "1/s");
  report("pki/est-reenrol", perSecond(renewals), "1/s", [
    "TLS handshakes alone",
    perSecond(renewals) / perSecond(handshakes),
  ]);
  // What the clock says depends on who else wants the cores; what a process spent does not.
  const spent: [string, (one: Measured) => number][] = [
    ["client", (one) => one.ownMs],
    ["server", (one) => one.othersMs[0] ?? 0],
    ["database", (one) => one.othersMs[1] ?? 0],
    ["all", (one) => one.ownMs + one.othersMs.reduce((sum, ms) => sum + ms, 0)],
  ];
  for (const [who, of] of spent) {
    const handshake = mean(handshakes.map(of));
    const renewal = mean(renewals.map(of));
    report(`pki/handshake-${who}-cpu`, handshake, "ms");
    report(`pki/est-reenrol-${who}-cpu`, renewal, "ms", ["handshake", handshake / renewal]);
  }
}
function connectionOf(port: number, ca: string, device: Enrolled): tls.ConnectionOptions {
  const { keyPem, chainPem } = device;
  return { host: "127.0.0.1", servername: "localhost", port, ca, key: keyPem, cert: chainPem };
}

async function shakeHands(port: number, ca: string, device: Enrolled): Promise<void> {
  const socket = tls.connect(connectionOf(port, ca, device));
  socket.resume();
  await once(socket, "close");
}

/**
 * A connection of its own for each, as devices have it, and a new key each time. The request is
 * written as it stands, so that the client's own HTTP is not measured: a device has a core of its own.
 */
async function renewOverEst(
  port: number,
  ca: string,
  device: Enrolled,
  body: string,
): Promise<void> {
  const socket = tls.connect(connectionOf(port, ca, device));
  socket.write(
    `POST ${RENEWAL_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
      `Content-Type: application/pkcs10\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  await once(socket, "close");
  const answer = Buffer.concat(parts).toString("latin1");
  if (!answer.startsWith("HTTP/1.1 200 ") || !answer.includes("smime-type=certs-only")) {
    throw new Error(`re-enrolment answered ${answer.slice(0, 200)}`);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.send("stop");
  await exited;
}
