import { createHash, generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { ArtifactFormat, Envelope, ReleaseManifest } from "../protocol/index.ts";
import type { Behaviours } from "./behaviour.ts";

export interface FleetMember {
  tenant: string;
  device: string;
  product: string;
  hardwareRevision: string;
}

/** What a fleet that outlives its process is: who belongs to it, and how it behaves. */
export interface FleetDescription {
  formatVersion: 1;
  /** The same devices have the same luck after every start. */
  seed: number;
  /** The platform's root certificate. */
  rootPem: string;
  /** For each tenant, what its devices were made with, and the token by which they enrol. */
  tenants: Record<string, { claimToken: string; factoryRelease: Envelope<ReleaseManifest> }>;
  members: FleetMember[];
  behaviours: Behaviours;
  timeScale: number;
  heartbeatIntervalMs: number;
  /** What the devices can apply, beside full images. */
  formats: ArtifactFormat[];
  slotCapacityBytes: number;
  watchdogMs: number;
  /** The machines are switched on one after the other within this time. */
  spreadMs: number;
}

const DESCRIPTION = "fleet.json";

/**
 * The folder of a simulated fleet: `fleet.json`, factory images, the pool of pages, and for each
 * device `devices/<tenant>/<device>/identity` and `flash.log` beside it.
 */
export class FleetFolder {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Undefined where no fleet was ever described. */
  read(): FleetDescription | undefined {
    const file = path.join(this.directory, DESCRIPTION);
    if (!fs.existsSync(file)) return undefined;
    const description = JSON.parse(fs.readFileSync(file, "utf8")) as FleetDescription;
    if (description.formatVersion !== 1) {
      throw new Error(`${file} has a format that this version of vautn does not know`);
    }
    return description;
  }

  write(description: FleetDescription): void {
    this.#replace(DESCRIPTION, JSON.stringify(description));
  }

  /** Keeps an image that devices are made with. */
  keepImage(image: Uint8Array): void {
    const sha256 = createHash("sha256").update(image).digest("hex");
    this.#replace(path.join("images", `${sha256}.bin`), image);
  }

  image(sha256: string): Buffer {
    return fs.readFileSync(path.join(this.directory, "images", `${sha256}.bin`));
  }

  get pages(): string {
    return path.join(this.directory, "pages");
  }

  flash(member: Pick<FleetMember, "tenant" | "device">): string {
    return path.join(this.#home(member), "flash.log");
  }

  identity(member: Pick<FleetMember, "tenant" | "device">): string {
    return path.join(this.#home(member), "identity");
  }

  isEnrolled(member: FleetMember): boolean {
    return fs.existsSync(path.join(this.identity(member), "device.json"));
  }

  /**
   * The device's own key, made at the first call. It is kept before the platform hears of it: who
   * asks again with the same key is let in, who comes with another is not.
   */
  key(member: FleetMember): string {
    const file = path.join(this.identity(member), "key.pem");
    if (fs.existsSync(file)) return fs.readFileSync(file, "utf8");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    this.#replace(path.relative(this.directory, file), pem);
    return pem;
  }

  #home({ tenant, device }: Pick<FleetMember, "tenant" | "device">): string {
    return path.join(this.directory, "devices", tenant, device);
  }

  #replace(name: string, content: string | Uint8Array): void {
    const file = path.join(this.directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fs.writeFileSync(`${file}.new`, content, { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
  }
}
