import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { systemClock } from "../kernel/index.ts";
import type {
  ArtifactOffer,
  Envelope,
  Heartbeat,
  ReleaseManifest,
  UpdateState,
} from "../protocol/index.ts";
import { StubAuthority, StubPlatform } from "../simulator/index.ts";
import { type HttpEvent, HttpsFront } from "./https-front.ts";
import { type MqttEvent, MqttFront } from "./mqtt-front.ts";

export const TENANT = "acme";
export const DEVICE = "unit-1";
const PRODUCT = "sensor";
const HARDWARE = "r1";
const IMAGE_BYTES = 192 * 1024;
/** An image that begins so must not pass the self-test of the device. */
export const FAILING_MARK = "vautn-conformance: fail the self-test\n";
const MAX_EVENTS = 100_000;

/** Why a case did not pass. */
export class CaseFailure extends Error {}

export interface KitOptions {
  folder: string;
  /** How long the device has for each thing that is asked of it. */
  patienceMs: number;
}

/**
 * A platform with one device, which serves the whole protocol and remembers all that the device does.
 * What is asked of it is made with the keys of this run, so that wrong things can be signed too.
 */
export class Kit {
  readonly folder: string;
  readonly patienceMs: number;
  readonly mqtt: MqttEvent[] = [];
  readonly http: HttpEvent[] = [];
  readonly authority = new StubAuthority({ tenant: TENANT, clock: systemClock });
  readonly platform: StubPlatform;
  readonly https: HttpsFront;
  readonly front: MqttFront;
  readonly factory: Envelope<ReleaseManifest>;
  readonly factoryImage: Buffer;
  readonly #token = randomBytes(24).toString("base64url");
  #ports: { https: number; mqtt: number } = { https: 0, mqtt: 0 };
  #stranger: StubAuthority | undefined;

  constructor({ folder, patienceMs }: KitOptions) {
    this.folder = folder;
    this.patienceMs = patienceMs;
    const { authority } = this;
    this.platform = new StubPlatform({ tenant: TENANT, clock: systemClock, authority });
    this.factoryImage = this.image("factory");
    this.factory = this.platform.release("1.0.0", this.factoryImage);
    const credentials = authority.serverCredentials();
    this.front = new MqttFront({
      ...{ credentials, root: authority.rootPem, tenant: TENANT },
      transport: (device) => this.platform.transport(device),
      onEvent: (event) => this.#keep(this.mqtt, { ...event, at: Date.now() }),
    });
    this.#stranger = new StubAuthority({ tenant: TENANT, clock: systemClock });
    this.https = new HttpsFront(
      {
        ...{ tenant: TENANT, device: DEVICE, claimToken: this.#token, authority },
        artifacts: this.platform.artifactSource(),
        trust: () => ({ trustRoot: this.platform.trustRoot, ...this.urls() }),
        onEvent: (event) => this.#keep(this.http, { ...event, at: Date.now() }),
      },
      // Nobody may take this one for the platform; `becomeGenuine` ends it.
      this.#stranger.serverCredentials(),
    );
  }

  async listen(): Promise<void> {
    this.#ports = { https: await this.https.listen(), mqtt: await this.front.listen() };
    this.platform.origin = this.urls().httpsUrl;
    this.#writeFolder();
  }

  /** The server shows its own certificate from now on. */
  becomeGenuine(): void {
    this.#stranger = undefined;
    this.https.show(this.authority.serverCredentials());
  }

  async close(): Promise<void> {
    await this.front.close();
    await this.https.close();
  }

  urls(): { httpsUrl: string; mqttUrl: string } {
    return {
      httpsUrl: `https://localhost:${this.#ports.https}`,
      mqttUrl: `mqtts://localhost:${this.#ports.mqtt}`,
    };
  }

  /** Content that nobody has seen before. */
  image(name: string, mark = ""): Buffer {
    const head = Buffer.from(`${mark}${name}\n`);
    return Buffer.concat([head, randomBytes(IMAGE_BYTES - head.length)]);
  }

  full(image: Buffer): ArtifactOffer {
    return this.platform.offer("full", image);
  }

  /** Resolves with what `find` finds, looking again at every change; `what` is the reason otherwise. */
  async until<T>(
    what: string,
    find: () => T | undefined | false,
    patienceMs = this.patienceMs,
  ): Promise<T> {
    for (const end = Date.now() + patienceMs; ; ) {
      const found = find();
      if (found !== undefined && found !== false) return found;
      if (Date.now() > end)
        throw new CaseFailure(`${what} within ${Math.round(patienceMs / 1_000)} s`);
      await pause(20);
    }
  }

  /** What the device has published on a topic since `from`, in order. */
  published<T = Record<string, unknown>>(topic: string, from = 0): T[] {
    return this.mqtt
      .filter((event) => event.kind === "publish" && event.topic === topic && event.at >= from)
      .flatMap(({ payload }) => (Array.isArray(payload) ? payload : [payload])) as T[];
  }

  heartbeats(from = 0): Heartbeat[] {
    return this.published<Heartbeat>("heartbeat", from);
  }

  states(updateId: string): UpdateState[] {
    return this.published<UpdateState>("update/state").filter((one) => one.updateId === updateId);
  }

  connects(from = 0): MqttEvent[] {
    return this.mqtt.filter(({ kind, at }) => kind === "connect" && at >= from);
  }

  downloads(offer: { sha256: string }, from = 0): HttpEvent[] {
    return this.http.filter(({ path: at, at: time }) => at.endsWith(offer.sha256) && time >= from);
  }

  /** The heartbeat that shows what runs now: one that comes after this call. */
  async running(): Promise<Heartbeat> {
    const from = Date.now();
    return this.until("no heartbeat came", () => this.heartbeats(from).at(-1));
  }

  #keep<T>(list: T[], event: T): void {
    if (list.length < MAX_EVENTS) list.push(event);
  }

  #writeFolder(): void {
    const write = (name: string, content: string | Buffer) =>
      fs.writeFileSync(path.join(this.folder, name), content, { mode: 0o600 });
    const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
    const about = { tenant: TENANT, device: DEVICE, product: PRODUCT, hardwareRevision: HARDWARE };
    write("device.json", json({ ...about, ...this.urls() }));
    write("root.pem", this.authority.rootPem);
    write("claim-token.txt", `${this.#token}\n`);
    write("trust-root.json", json(this.platform.trustRoot));
    write("factory.img", this.factoryImage);
    write("factory.manifest.json", json(this.factory));
    write("agent.json", json(agentConfig(this.urls().httpsUrl, about)));
  }
}

/** What our own agent needs to take part. */
function agentConfig(httpsUrl: string, about: object): object {
  return {
    ...{ provisioning: "identity", data: "data", heartbeatIntervalSeconds: 1 },
    factory: { image: "factory.img", manifest: "factory.manifest.json" },
    enrolment: { httpsUrl, root: "root.pem", ...about, claimTokenFile: "claim-token.txt" },
    selfTest: ["sh", "-c", '! head -c 64 "$0" | grep -q "^vautn-conformance: fail"', "{image}"],
  };
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
