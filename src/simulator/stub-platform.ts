import { createHash } from "node:crypto";
import type {
  ArtifactSource,
  ConnectOptions,
  Session,
  SessionHandlers,
  TlsCredentials,
  Transport,
} from "../agent/index.ts";
import { type Clock, sleep } from "../kernel/index.ts";
import {
  type ArtifactOffer,
  type Assignment,
  type AssignmentMessage,
  type CommandMessage,
  type Envelope,
  type JsonObject,
  type ReleaseManifest,
  type ReportedMessage,
  type RootMetadata,
  signDocument,
  type UpdateState,
} from "../protocol/index.ts";
import type { StubAuthority } from "./stub-authority.ts";
import { StubTrust } from "./stub-trust.ts";
import { StubTwins } from "./stub-twins.ts";

const YEAR_MS = 365 * 86_400_000;
const CHUNK_BYTES = 16 * 1024;
const LATENCY_MS = 20;
const PRODUCT = "sensor";
const MAX_MESSAGES = 100_000;

export interface ReceivedMessage {
  device: string;
  topic: string;
  payload: unknown;
  at: number;
}

/**
 * The platform's side of the wire, in memory and on any clock: signs, answers, serves artifacts by
 * Range and remembers what it was sent. A peer for simulations, at the level of the protocol.
 */
export class StubPlatform {
  readonly tenant: string;
  readonly messages: ReceivedMessage[] = [];
  readonly twins = new StubTwins();
  /** Where artifacts are said to lie. */
  origin = "https://platform.invalid";
  readonly trustRoot: Envelope<RootMetadata>;
  readonly #clock: Clock;
  readonly #trust: StubTrust;
  readonly #artifacts = new Map<string, Buffer>();
  readonly #assignments = new Map<string, Envelope<Assignment>>();
  readonly #commands = new Map<string, CommandMessage[]>();
  readonly #sessions = new Map<string, { handlers: SessionHandlers; end(reason: string): void }>();
  readonly #sequences = new Map<string, number>();
  readonly #authority: StubAuthority | undefined;
  #down = false;

  /** With an authority devices have to prove who they are, and renew their certificates. */
  constructor(options: { tenant: string; clock: Clock; authority?: StubAuthority }) {
    this.#authority = options.authority;
    this.tenant = options.tenant;
    this.#clock = options.clock;
    this.#trust = new StubTrust(options);
    this.trustRoot = this.#trust.roots[0] as Envelope<RootMetadata>;
  }

  /** Signs a release of `image`; `keys` of the two that are needed sign it. */
  release(
    version: string,
    image: Buffer,
    changes: Partial<ReleaseManifest> = {},
    keys = 2,
  ): Envelope<ReleaseManifest> {
    const manifest: ReleaseManifest = {
      _type: "release",
      specVersion: 1,
      tenant: this.tenant,
      product: PRODUCT,
      version,
      hardwareRevisions: ["r1"],
      securityCounter: 1,
      minimumSourceVersion: null,
      image: { name: "image.bin", sha256: sha256Of(image), sizeBytes: image.length },
      createdAt: this.#isoIn(0),
      expires: this.#isoIn(YEAR_MS),
      ...changes,
    };
    return signDocument(manifest, this.#trust.releaseKeys.slice(0, keys));
  }

  /** Serves `bytes` under their hash; the offer says what they are. */
  offer(
    format: ArtifactOffer["format"],
    bytes: Buffer,
    sourceSha256: string | null = null,
  ): ArtifactOffer {
    const sha256 = sha256Of(bytes);
    this.#artifacts.set(sha256, bytes);
    const url = `${this.origin}/artifacts/${sha256}`;
    return { format, url, sha256, sizeBytes: bytes.length, sourceSha256 };
  }

  /** What is served under an artifact's hash from now on; undefined: 404. */
  replaceArtifact(sha256: string, bytes: Buffer | undefined): void {
    if (bytes) this.#artifacts.set(sha256, bytes);
    else this.#artifacts.delete(sha256);
  }

  /** Signs an assignment and sends it, now or at the next connect. */
  assign(
    device: string,
    release: Envelope<ReleaseManifest> | null,
    artifacts: ArtifactOffer[],
    changes: Partial<Assignment> = {},
  ): AssignmentMessage {
    const envelope = this.prepare(device, release, artifacts, changes);
    this.#assignments.set(device, envelope);
    this.send(device, "update", envelope);
    return envelope;
  }

  /** Signs an assignment, which is sent by nobody. */
  prepare(
    device: string,
    release: Envelope<ReleaseManifest> | null,
    artifacts: ArtifactOffer[],
    changes: Partial<Assignment> = {},
  ): AssignmentMessage {
    const sequence = (this.#sequences.get(device) ?? 0) + 1;
    this.#sequences.set(device, sequence);
    const limit = 3_600_000;
    return this.sign({
      _type: "assignment",
      specVersion: 1,
      tenant: this.tenant,
      device,
      updateId: `update-${device}-${sequence}`,
      sequence,
      action: "install",
      issuedAt: this.#isoIn(0),
      expires: this.#isoIn(YEAR_MS / 12),
      allowDowngrade: false,
      release,
      artifacts,
      deadlines: {
        offered: limit,
        downloading: limit,
        installing: limit,
        rebooting: limit,
        confirming: 300_000,
      },
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      ...changes,
    });
  }

  sign(assignment: Assignment): AssignmentMessage {
    return this.#withMetadata(signDocument(assignment, [this.#trust.director]));
  }

  #withMetadata(envelope: Envelope<Assignment>): AssignmentMessage {
    const metadata = this.#trust.bundle(envelope.signed.release, PRODUCT);
    return { ...envelope, metadata };
  }

  command(device: string, command: CommandMessage): void {
    this.#commands.set(device, [...(this.#commands.get(device) ?? []), command]);
    this.send(device, "commands", command);
  }

  /** Sends any message to a device that is connected. */
  send(device: string, topic: string, message: unknown): void {
    const session = this.#sessions.get(device);
    if (!session) return;
    const payload = Buffer.from(JSON.stringify(message));
    this.#clock.after(LATENCY_MS, () => {
      session.handlers.onMessage(topic, payload).catch(() => session.end("not taken"));
    });
  }

  setDown(down: boolean): void {
    this.#down = down;
    if (!down) return;
    for (const session of [...this.#sessions.values()]) session.end("the platform went down");
  }

  transport(device: string): Transport {
    return {
      connect: async (handlers, signal, options = {}) => {
        await sleep(this.#clock, LATENCY_MS, signal);
        if (this.#down) throw new Error("connection refused");
        if (options.credentials) this.#authority?.check(device, options.credentials);
        this.#sessions.get(device)?.end("taken over");
        return this.#openSession(device, handlers, options);
      },
    };
  }

  artifactSource(): ArtifactSource {
    return {
      fetch: async (url, offset, signal) => {
        await sleep(this.#clock, LATENCY_MS, signal);
        if (this.#down) throw new Error("connection refused");
        const bytes = this.#artifacts.get(url.split("/").at(-1) ?? "");
        if (!bytes) return { status: 404, body: chunksOf(Buffer.alloc(0)) };
        return { status: offset > 0 ? 206 : 200, body: chunksOf(bytes.subarray(offset)) };
      },
    };
  }

  /** Changes what a device ought to be: a merge patch. */
  desire(device: string, patch: JsonObject): void {
    this.send(device, "desired", this.twins.change(device, patch));
  }

  updateStates(device: string): UpdateState[] {
    return this.received(device, "update/state") as UpdateState[];
  }

  /** Payloads that a device published on a topic, in order. */
  received(device: string, topic: string): unknown[] {
    return this.messages
      .filter((message) => message.device === device && message.topic === topic)
      .map((message) => message.payload);
  }

  #openSession(
    device: string,
    handlers: SessionHandlers,
    { credentials, certificatesOnly = false }: ConnectOptions,
  ): Session {
    let open = true;
    const end = (reason: string) => {
      if (!open) return;
      open = false;
      if (this.#sessions.get(device)?.handlers === handlers) this.#sessions.delete(device);
      handlers.onClose(reason);
    };
    this.#sessions.set(device, { handlers, end });
    if (!certificatesOnly) this.#sendWaiting(device);
    return {
      publish: async (topic, payload) => {
        await sleep(this.#clock, LATENCY_MS);
        if (!open) throw new Error("the connection is closed");
        if (this.messages.length >= MAX_MESSAGES) this.messages.shift();
        const at = this.#clock.now();
        this.messages.push({ device, topic, payload: JSON.parse(payload), at });
        if (topic === "reported") this.#onReported(device, JSON.parse(payload));
        if (credentials) this.#onCertificates(device, topic, JSON.parse(payload), credentials);
      },
      close: async () => end("closed"),
    };
  }

  #sendWaiting(device: string): void {
    const assignment = this.#assignments.get(device);
    if (assignment) this.send(device, "update", this.#withMetadata(assignment));
    const desired = this.twins.atConnect(device);
    if (desired) this.send(device, "desired", desired);
    for (const command of this.#commands.get(device) ?? []) this.send(device, "commands", command);
  }

  #onReported(device: string, message: ReportedMessage): void {
    const answer = this.twins.report(device, message);
    if (answer) this.send(device, "desired", answer);
  }

  #onCertificates(
    device: string,
    topic: string,
    message: { requestId?: string; csr?: string; serial?: string },
    credentials: TlsCredentials,
  ): void {
    const authority = this.#authority;
    if (!authority) return;
    if (topic === "certificate/confirm") {
      authority.carry(() => authority.confirm(device, credentials, message.serial ?? ""));
    } else if (topic === "certificate/request") {
      const csr = Buffer.from(message.csr ?? "", "base64");
      const issued = authority.carry(() => authority.renew(device, credentials, csr));
      this.send(device, "certificate/response", { requestId: message.requestId, ...issued });
    }
  }

  #isoIn(deltaMs: number): string {
    return new Date(this.#clock.now() + deltaMs).toISOString();
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function* chunksOf(bytes: Buffer): AsyncIterable<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
    yield bytes.subarray(offset, offset + CHUNK_BYTES);
  }
}
