import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { TLSSocket } from "node:tls";
import { AppError, type Clock, messageOf } from "../kernel/index.ts";
import { checkArtifactLink, type DeviceIdentity, parseDeviceUri } from "../protocol/index.ts";
import type { Upstream } from "./upstream.ts";

/** Extended key usage "client". */
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const REFRESH_MS = 3_600_000;
const KEYS_FILE = "link-keys.json";

/** Whose cache this is: its tenant, and the domain in which device identities are named. */
export interface CacheIdentity extends DeviceIdentity {
  trustDomain: string;
  /** Root, and the tenant's own authority below it, in PEM. */
  authorities: string[];
  notAfter: Date;
}

/** Reads who the cache is from the device identity that it was given. */
export async function readIdentity(directory: string): Promise<CacheIdentity> {
  const pem = await readFile(path.join(directory, "certificate.pem"), "utf8").catch((error) => {
    const help = "enrol the cache with: vautn device enroll <name> --out <folder>";
    throw new Error(`${messageOf(error)}\n  ${help}`, { cause: error });
  });
  const [leaf = "", ...issuers] = pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  const certificate = new X509Certificate(leaf);
  const uri = (certificate.subjectAltName ?? "").replace(/^URI:/, "");
  const host = /^spiffe:\/\/([^/]+)\//.exec(uri)?.[1] ?? "";
  const trustDomain = host.slice(host.indexOf(".") + 1);
  const identity = parseDeviceUri(uri, trustDomain);
  if (!identity) throw new Error(`${directory} holds no device's certificate of this platform`);
  const root = await readFile(path.join(directory, "root.pem"), "utf8");
  const notAfter = certificate.validToDate;
  return { ...identity, trustDomain, authorities: [root, ...issuers], notAfter };
}

interface ClientCheckOptions {
  identity: CacheIdentity;
  upstream: Upstream;
  directory: string;
  clock: Clock;
  log(message: string): void;
}

/**
 * Who may have artifacts here: devices of the cache's own tenant by their certificates, whoever
 * holds a signed URL of that tenant. Both are judged without the platform.
 */
export class ClientCheck {
  readonly #options: ClientCheckOptions;
  #keys = new Map<string, KeyObject>();
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | undefined;

  constructor(options: ClientCheckOptions) {
    this.#options = options;
  }

  /** Takes the keys that an earlier run has learnt; asks for the present ones. */
  async start(): Promise<void> {
    const file = path.join(this.#options.directory, KEYS_FILE);
    if (existsSync(file)) this.#keys = keysOf(JSON.parse(await readFile(file, "utf8")));
    await this.#refresh();
  }

  async check(
    socket: TLSSocket,
    sha256: string,
    query: Readonly<Record<string, unknown>>,
  ): Promise<DeviceIdentity> {
    return Object.keys(query).length === 0
      ? this.#byCertificate(socket)
      : this.#byLink(sha256, query);
  }

  #byCertificate(socket: TLSSocket): DeviceIdentity {
    const { identity } = this.#options;
    const raw = socket.getPeerX509Certificate();
    if (!raw) throw refused("missing");
    // The chain up to the root with its name constraints, and the times: as OpenSSL judges them.
    if (!socket.authorized) throw refused("foreign-ca");
    const names = raw.subjectAltName ?? "";
    const named = parseDeviceUri(names.replace(/^URI:/, ""), identity.trustDomain);
    const isDevice =
      named !== undefined &&
      !raw.ca &&
      names.lastIndexOf("URI:") === 0 &&
      !names.includes(",") &&
      (raw.keyUsage?.includes(CLIENT_AUTH) ?? false);
    if (!isDevice) throw refused("malformed");
    // Another tenant's devices are told the same as those of strangers.
    if (named.tenantId !== identity.tenantId) throw refused("foreign-ca");
    return named;
  }

  async #byLink(sha256: string, query: Readonly<Record<string, unknown>>): Promise<DeviceIdentity> {
    const { clock, identity } = this.#options;
    if (typeof query.key === "string" && !this.#keys.has(query.key)) await this.#refresh();
    // Beside the answer: a key in force is believed without the platform.
    else if (clock.now() - this.#refreshedAt >= REFRESH_MS) void this.#refresh();
    const link = checkArtifactLink(sha256, query, this.#keys, clock.now());
    if (link.tenantId !== identity.tenantId) {
      throw new AppError("link-refused", "the link is not valid for this, or not any more");
    }
    return { tenantId: link.tenantId, deviceId: link.deviceId ?? "" };
  }

  /** Not more often than once in a while, whatever keys strangers name. */
  async #refresh(): Promise<void> {
    const { clock } = this.#options;
    // Whoever asks meanwhile waits for the same answer.
    if (this.#refreshing) return this.#refreshing;
    const wanted = this.#keys.size === 0 ? 10_000 : REFRESH_MS / 60;
    if (clock.now() - this.#refreshedAt < wanted) return;
    this.#refreshedAt = clock.now();
    this.#refreshing = this.#learn();
    await this.#refreshing;
    this.#refreshing = undefined;
  }

  async #learn(): Promise<void> {
    const { upstream, directory, log } = this.#options;
    try {
      const document = await upstream.readJson("/artifacts/link-keys");
      this.#keys = keysOf(document);
      const file = path.join(directory, KEYS_FILE);
      await writeFile(`${file}.new`, JSON.stringify(document), { mode: 0o600 });
      await rename(`${file}.new`, file);
    } catch (error) {
      log(`the keys of signed URLs could not be learnt: ${messageOf(error)}`);
    }
  }
}

function keysOf(document: unknown): Map<string, KeyObject> {
  const { keys } = document as { keys: Record<string, string> };
  return new Map(
    Object.entries(keys).map(([id, spki]) => [
      id,
      createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" }),
    ]),
  );
}

function refused(reason: string): AppError {
  return new AppError("certificate-refused", `the certificate is not accepted: ${reason}`, {
    reason,
  });
}
