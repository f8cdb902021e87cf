import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomUUID,
  X509Certificate,
} from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import mqtt from "mqtt";
import {
  type Assignment,
  type AssignmentMessage,
  type CommandMessage,
  createCertificateRequest,
  type DesiredMessage,
  type DeviceTrust,
  mergePatch,
  NO_VERSIONS,
  verifyAssignment,
} from "../../src/protocol/index.ts";

/**
 * A device program that is not ours, in one small file: what somebody writes who has read the protocol's
 * pages. `FAULTS` names the mistakes that it makes, so that the test kit can be seen to find each.
 */
const faults = new Set((process.env.FAULTS ?? "").split(",").filter((name) => name !== ""));
const has = (fault: string) => faults.has(fault);
const folder = process.env.VAUTN_CONFORMANCE ?? ".";
const at = (name: string) => path.join(folder, name);
const about = JSON.parse(fs.readFileSync(at("device.json"), "utf8"));
const root = fs.readFileSync(at("root.pem"), "utf8");
const prefix = `tenants/${about.tenant}/devices/${about.device}/`;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

interface State {
  key: string;
  certificate: string;
  older: { key: string; certificate: string } | null;
  running: { version: string; hash: string };
  image: string;
  previous: (State["running"] & { image: string }) | null;
  trial: { updateId: string } | null;
  sequence: number;
  done: string[];
  commands: Record<string, object>;
  desired: { version: number; properties: Record<string, unknown> };
  reported: number;
  trust: DeviceTrust | null;
}

const stateFile = at("other-agent.json");
const state: State = fs.existsSync(stateFile)
  ? JSON.parse(fs.readFileSync(stateFile, "utf8"))
  : {
      ...{ key: "", certificate: "", older: null, previous: null, trial: null, sequence: 0 },
      running: { version: "1.0.0", hash: sha256(fs.readFileSync(at("factory.img"))) },
      ...{ image: at("factory.img"), done: [], commands: {}, trust: null, reported: 0 },
      desired: { version: 0, properties: {} },
    };
function save(): void {
  fs.writeFileSync(`${stateFile}.new`, JSON.stringify(state));
  fs.renameSync(`${stateFile}.new`, stateFile);
}

interface Answer {
  status: number;
  body: Buffer;
}

function ask(url: string, options: https.RequestOptions, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      url,
      { ca: root, rejectUnauthorized: !has("trusts-anyone"), agent: false, ...options },
      (response) => {
        const chunks: Buffer[] = [];
        const end = () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
        response.on("data", (chunk) => chunks.push(chunk)).on("end", end);
        // What has come of a download that breaks off is of use.
        response.on("error", end);
      },
    );
    request.on("error", reject).end(body);
  });
}

const est = `${about.httpsUrl}/.well-known/est/${about.tenant}`;

function request(privateKey: Parameters<typeof createCertificateRequest>[0]["privateKey"]) {
  const commonName = `${about.tenant}/${about.device}`;
  const csr = createCertificateRequest({ privateKey, commonName, organization: about.tenant });
  return csr.toString("base64");
}

/** The one certificate of a certs-only message that is no authority's, and those that are. */
async function certificatesOf(answer: Answer): Promise<string> {
  const { certificatesOf: read } = await import("../../src/agent/identity/certificates-only.ts");
  const all = read(Buffer.from(answer.body.toString(), "base64"));
  return all.map((der) => new X509Certificate(der).toString()).join("");
}

async function chain(): Promise<string> {
  return certificatesOf(await ask(`${est}/cacerts`, { method: "GET" }));
}

async function enrol(): Promise<void> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const token = fs.readFileSync(at("claim-token.txt"), "utf8").trim();
  const authorization = `Basic ${Buffer.from(`claim:${token}`).toString("base64")}`;
  const answer = await ask(
    `${est}/simpleenroll`,
    { method: "POST", headers: { authorization, "content-type": "application/pkcs10" } },
    request(privateKey),
  );
  if (answer.status !== 200) throw new Error(`enrolment: ${answer.status}`);
  state.certificate = (await certificatesOf(answer)) + (await chain());
  state.key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  save();
}

const bootId = randomUUID();
let seq = 0;
const number = () => (has("seq-stands-still") ? 1 : ++seq);
let client: mqtt.MqttClient;
const publish = (topic: string, payload: unknown) =>
  client.publishAsync(prefix + topic, JSON.stringify(payload), { qos: 1 }).then(
    () => true,
    () => false,
  );

function heartbeat(): void {
  const hash = has("says-another-hash") ? "0".repeat(64) : state.running.hash;
  publish("heartbeat", {
    ...{ ts: Date.now(), seq: number(), bootId, uptimeSeconds: Math.round(process.uptime()) },
    firmware: { version: state.running.version, hash, slot: "a" },
    ...(has("breaks-the-schema") ? { metrics: { mood: "good" } } : {}),
  });
}

async function command({ id, name, expiresAt }: CommandMessage): Promise<void> {
  const known = state.commands[id];
  if (known && !has("does-it-again")) return void publish(`commands/${id}/result`, known);
  const refuse = (error: string) => ({ status: "rejected", error });
  let result: object;
  // Before it is begun: it comes again after the reconnect that a rotation is.
  state.commands[id] = { status: "running" };
  if (expiresAt <= Date.now() && !has("does-what-expired")) result = refuse("it has expired");
  else if (name === "ping" && has("cannot-ping")) result = { status: "failed", error: "no" };
  else if (name === "ping") result = { status: "succeeded", output: { at: performance.now() } };
  else if (name === "rotate-certificate") result = await rotate();
  else if (has("says-yes")) result = { status: "succeeded" };
  else result = refuse("there is no such command");
  state.commands[id] = result;
  save();
  publish(`commands/${id}/result`, result);
}

async function rotate(): Promise<object> {
  const { key, certificate } = state;
  const privateKey = has("keeps-its-key")
    ? createPrivateKey(key)
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const ask1 = () =>
    ask(`${est}/simplereenroll`, { method: "POST", key, cert: certificate }, request(privateKey));
  const answer = await ask1().catch((error) => {
    if (has("gives-up")) return { status: 0, body: Buffer.from(String(error)) };
    return ask1();
  });
  if (answer.status !== 200) return { status: "failed", error: `EST answered ${answer.status}` };
  state.older = { key, certificate };
  state.certificate = (await certificatesOf(answer)) + (await chain());
  state.key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  save();
  isRotating = true;
  await client.endAsync(true).catch(() => {});
  await connect();
  isRotating = false;
  if (!has("never-confirms")) {
    const serial = new X509Certificate(state.certificate).serialNumber.toLowerCase();
    await publish("certificate/confirm", { serial });
  }
  if (has("goes-back-to-the-older")) Object.assign(state, state.older);
  return { status: "succeeded" };
}

function desired({ version, from, patch }: DesiredMessage): void {
  if (has("ignores-its-twin")) return;
  const { desired: held } = state;
  if (version <= held.version && !has("goes-back-in-versions")) return;
  const properties = mergePatch(from === 0 ? {} : held.properties, patch);
  state.desired = { version, properties: properties as Record<string, unknown> };
  state.reported += 1;
  save();
  const about = { desiredVersion: version, appliedVersion: version };
  publish("reported", { version: state.reported, from: 0, patch: properties, ...about });
}

/** Checks that are left out, by the name of the mistake. */
const LEFT_OUT: Record<string, string> = {
  "release-signature": "needs-no-second-signature",
  "director-signature": "needs-no-director",
  device: "takes-what-is-for-others",
  expiry: "takes-what-has-expired",
  sequence: "takes-what-is-old",
  hardware: "takes-other-hardware",
  downgrade: "takes-older-versions",
};

async function update(message: AssignmentMessage): Promise<void> {
  const { signed } = message;
  const { updateId } = signed;
  if (state.done.includes(`${updateId} ${signed.sequence}`) && !has("does-updates-again")) return;
  const trust: DeviceTrust =
    state.trust ??
    ({
      root: JSON.parse(fs.readFileSync(at("trust-root.json"), "utf8")),
      versions: NO_VERSIONS,
    } as never);
  const again = has("does-updates-again");
  const verdict = verifyAssignment(message, trust, {
    ...{ tenant: about.tenant, device: about.device, product: about.product },
    hardwareRevision: about.hardwareRevision,
    ...{ runningVersion: state.running.version, runningSha256: state.running.hash },
    ...{ securityFloor: 0, lastSequence: again ? 0 : state.sequence, slotSizeBytes: 2 ** 30 },
    trustedTimeMs: Date.now(),
  });
  state.trust = verdict.trust;
  if (!verdict.accepted && !has(LEFT_OUT[verdict.check] ?? "")) {
    const error = { phase: "verifying", element: verdict.check, message: verdict.message };
    return void publish("update/state", { updateId, phase: "rejected", error });
  }
  if (has("never-goes-back") && signed.allowDowngrade) {
    const error = { phase: "verifying", element: "downgrade", message: "it never goes back" };
    return void publish("update/state", { updateId, phase: "rejected", error });
  }
  state.sequence = signed.sequence;
  state.done.push(`${updateId} ${signed.sequence}`);
  save();
  await carryOut(signed);
}

async function carryOut({ updateId, artifacts, release }: Assignment): Promise<void> {
  const manifest = release?.signed;
  const [offer] = artifacts;
  if (!manifest || !offer) return;
  await publish("update/state", { updateId, phase: "downloading" });
  let bytes = Buffer.alloc(0);
  for (let attempt = 0; bytes.length < offer.sizeBytes && attempt < 5; attempt += 1) {
    if (has("begins-downloads-anew")) bytes = Buffer.alloc(0);
    const { key, certificate: cert } = state;
    const headers = bytes.length > 0 ? { range: `bytes=${bytes.length}-` } : {};
    const answer = await ask(offer.url, { method: "GET", key, cert, headers });
    bytes = Buffer.concat([bytes, answer.body]);
  }
  if (sha256(bytes) !== manifest.image.sha256 && !has("hashes-nothing")) {
    const error = { phase: "installing", element: "image-hash", message: "another content" };
    return void publish("update/state", { updateId, phase: "failed", error });
  }
  const image = at(`image-${manifest.version}`);
  fs.writeFileSync(image, bytes);
  state.previous = { ...state.running, image: state.image };
  state.running = { version: manifest.version, hash: sha256(bytes) };
  state.image = image;
  state.trial = { updateId };
  save();
  if (has("does-not-restart")) return confirm();
  await publish("update/state", { updateId, phase: "rebooting" });
  process.exit(75);
}

/** After the start into an image that is new. */
async function confirm(): Promise<void> {
  const { trial, previous, running } = state;
  if (!trial) return;
  const { updateId } = trial;
  const head = fs.readFileSync(state.image).subarray(0, 64).toString("latin1");
  if (!head.startsWith("vautn-conformance: fail") || has("keeps-what-fails")) {
    state.trial = null;
    save();
    const firmware = { version: running.version, hash: running.hash, slot: "a" };
    heartbeat();
    await publish("update/state", { updateId, phase: "succeeded", running: firmware, bootId });
    return;
  }
  if (previous) {
    state.running = { version: previous.version, hash: previous.hash };
    state.image = previous.image;
  }
  state.trial = null;
  save();
  const error = { phase: "confirming", element: "self-test", message: "it does not pass" };
  await publish("update/state", { updateId, phase: "fell-back", error });
  process.exit(75);
}

let attempt = 0;
let isRotating = false;

async function connect(): Promise<void> {
  const { hostname: host, port } = new URL(about.mqttUrl);
  const topics = ["commands", "update", ...(has("does-not-listen") ? [] : ["desired"])];
  for (;;) {
    try {
      client = await mqtt.connectAsync({
        ...{ protocol: "mqtts", host, port: Number(port), protocolVersion: 5, clean: true },
        ...{ clientId: about.device, reconnectPeriod: 0, connectTimeout: 10_000 },
        ...{ key: state.key, cert: state.certificate, ca: root },
      });
      listen(client);
      await client.subscribeAsync(
        topics.map((name) => prefix + name),
        { qos: 1 },
      );
      break;
    } catch {
      const longest = Math.min(8_000, 1_000 * 2 ** attempt);
      const delayMs = has("comes-in-a-frenzy") ? 100 : 300 + Math.random() * longest;
      attempt += 1;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }
  attempt = 0;
  heartbeat();
  const mine = client;
  // A rotation connects by itself.
  mine.once("close", () => client === mine && !isRotating && void connect());
  if (!mine.connected && !isRotating) void connect();
}

function listen(to: mqtt.MqttClient): void {
  to.on("error", () => {});
  to.on("message", (topic, payload) => {
    const message = JSON.parse(payload.toString());
    if (topic === `${prefix}commands`) void command(message);
    else if (topic === `${prefix}desired`) desired(message);
    else if (topic === `${prefix}update`) void update(message);
  });
}

async function main(): Promise<void> {
  while (!state.certificate) {
    await enrol().catch(() => new Promise((resolve) => setTimeout(resolve, 200)));
  }
  await connect();
  const firmware = { ...state.running, slot: "a" };
  const told = {
    ts: Date.now(),
    seq: number(),
    type: "boot",
    bootId,
    firmware,
    reason: "power-on",
  };
  if (!has("tells-of-no-boot")) await publish("events", told);
  setInterval(heartbeat, 500);
  await confirm();
}

void main();
