import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { IdentityRefused, type Reenrolment, type TlsCredentials } from "../agent/index.ts";
import { membersOf, readDer, TAG } from "../kernel/der.ts";
import { type Clock, type Random, sleep } from "../kernel/index.ts";
import type { IssuedCertificate } from "../protocol/index.ts";
import {
  makeAuthority,
  makeDeviceCertificate,
  makeServerCertificate,
  type StubIssuer,
} from "./stub-certificates.ts";

/** What the wire does to an exchange about certificates. */
export type ExchangeFault = "lost-request" | "lost-answer" | "doubled";

interface Entry {
  serial: string;
  device: string;
  key: string;
  pem: string;
  status: "active" | "superseded" | "revoked";
}

const DEFAULT_LIFETIME_MS = 90 * 86_400_000;
const LATENCY_MS = 20;
/** As on the platform: unused ones give way first. */
const MAX_ACTIVE = 3;

/**
 * The platform's rules about certificates, in memory: same key, same certificate; the old one is
 * good until the new one is confirmed; what is revoked is refused. `faults` is asked once for each
 * exchange.
 */
export class StubAuthority {
  readonly rootPem: string;
  readonly #clock: Clock;
  readonly #tenant: string;
  readonly #issuer: StubIssuer;
  readonly #faults: () => ExchangeFault | undefined;
  #entries: Entry[] = [];
  #used = new Set<string>();
  #confirmed = new Map<string, string>();
  #serials = 1;
  readonly #lifetimeMs: number;

  constructor(options: {
    tenant: string;
    clock: Clock;
    faults?: () => ExchangeFault | undefined;
    lifetimeMs?: number;
  }) {
    this.#lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS;
    this.#clock = options.clock;
    this.#tenant = options.tenant;
    this.#faults = options.faults ?? (() => undefined);
    const now = options.clock.now();
    const root = makeAuthority("Root", this.#nextSerial(), now);
    this.#issuer = makeAuthority("Issuing", this.#nextSerial(), now, root);
    this.rootPem = root.pem;
  }

  /** Those between a device's certificate and the root. */
  get chainPem(): string {
    return this.#issuer.pem;
  }

  /** What the factory gives a device. */
  provision(device: string): TlsCredentials {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = publicKey.export({ type: "spki", format: "der" });
    const { pem } = this.#issue(device, spki);
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    return { key, certificate: pem + this.#issuer.pem, root: this.rootPem };
  }

  /** Issues for the key of a request of a device that has none yet. */
  enrol(device: string, csr: Uint8Array): IssuedCertificate {
    const { pem } = this.#issue(device, publicKeyOf(csr));
    return { certificate: pem, chain: this.#issuer.pem, roots: this.rootPem };
  }

  /** What a server of the platform shows. */
  serverCredentials(): { key: string; certificate: string } {
    const names = { names: ["localhost"], addresses: ["127.0.0.1"] };
    const serial = this.#nextSerial();
    return makeServerCertificate(this.#issuer, { ...names, serial, nowMs: this.#clock.now() });
  }

  /** Serial numbers that were issued to a device, the first of them first, with their keys. */
  issuedTo(device: string): { serial: string; key: string }[] {
    return this.#entries.filter((one) => one.device === device);
  }

  /** What a handshake and the registry say; throws where they refuse. Without a key, it was proved. */
  check(device: string, credentials: { certificate: string; key?: string }): Entry {
    const leaf = new X509Certificate(credentials.certificate);
    // No handshake succeeds with another certificate's key.
    if (credentials.key && !leaf.checkPrivateKey(createPrivateKey(credentials.key))) {
      throw new Error("key and certificate are not a pair");
    }
    const serial = leaf.serialNumber.toLowerCase();
    const entry = this.#entries.find((one) => one.serial === serial);
    if (!entry || entry.device !== device) throw new IdentityRefused("it is not in the registry");
    if (entry.status === "revoked") throw new IdentityRefused("it was revoked");
    this.#used.add(serial);
    return entry;
  }

  /** The certificate that the device has confirmed last. */
  confirmed(device: string): string | undefined {
    return this.#confirmed.get(device);
  }

  /** Issues for the key of a request; the one before stays as it is. */
  renew(
    device: string,
    credentials: { certificate: string; key?: string },
    csr: Uint8Array,
  ): IssuedCertificate {
    this.check(device, credentials);
    const spki = publicKeyOf(csr);
    const key = spki.toString("base64");
    const before = this.#entries.find((one) => one.key === key && one.status === "active");
    const { pem } = before ?? this.#issue(device, spki);
    this.#retire(device);
    return { certificate: pem, chain: this.#issuer.pem, roots: this.rootPem };
  }

  confirm(device: string, credentials: TlsCredentials, serial: string): void {
    const entry = this.check(device, credentials);
    if (entry.serial !== serial) throw new Error("another certificate is being confirmed");
    const position = this.#entries.indexOf(entry);
    for (const older of this.#entries.slice(0, position)) {
      if (older.device === device) older.status = "revoked";
    }
    this.#confirmed.set(device, serial);
  }

  /** EST, with whatever the wire does to it. */
  reenrolment(device: string): Reenrolment {
    return {
      reenroll: async (csr, credentials, signal) => {
        await sleep(this.#clock, LATENCY_MS, signal);
        return this.carry(() => this.renew(device, credentials, csr));
      },
    };
  }

  /** An exchange over the wire: it may be lost on either way, or arrive twice. */
  carry<Result>(exchange: () => Result): Result {
    const fault = this.#faults();
    if (fault === "lost-request") throw new Error("the connection was reset");
    const result = exchange();
    if (fault === "lost-answer") throw new Error("the connection was reset");
    return fault === "doubled" ? exchange() : result;
  }

  #issue(device: string, publicKey: Buffer): Entry {
    const serial = this.#nextSerial();
    const now = this.#clock.now();
    const pem = makeDeviceCertificate(
      this.#issuer,
      { tenant: this.#tenant, id: device, publicKey, serial },
      { notBefore: new Date(now), notAfter: new Date(now + this.#lifetimeMs) },
    );
    const entry: Entry = {
      serial: new X509Certificate(pem).serialNumber.toLowerCase(),
      device,
      key: publicKey.toString("base64"),
      pem,
      status: "active",
    };
    this.#entries.push(entry);
    return entry;
  }

  #retire(device: string): void {
    const unused = this.#entries.filter(
      (one) => one.device === device && one.status === "active" && !this.#used.has(one.serial),
    );
    for (const one of unused.slice(0, Math.max(0, unused.length - (MAX_ACTIVE - 1)))) {
      one.status = "revoked";
    }
  }

  #nextSerial(): number {
    this.#serials += 1;
    return this.#serials;
  }
}

/** RFC 2986 §4: the third member of what was signed. */
function publicKeyOf(csr: Uint8Array): Buffer {
  const [information] = membersOf(readDer(csr), TAG.sequence);
  const spki = membersOf(information, TAG.sequence)[2]?.raw;
  if (!spki) throw new Error("the request holds no key");
  return spki;
}

/** Faults at random, for as many exchanges as `count`. */
export function someFaults(random: Random, count: number): () => ExchangeFault | undefined {
  const kinds = ["lost-request", "lost-answer", "doubled", undefined] as const;
  let left = count;
  return () => {
    if (left <= 0) return undefined;
    left -= 1;
    return kinds[Math.floor(random.next() * kinds.length)];
  };
}
