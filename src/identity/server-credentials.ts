import { createPrivateKey, X509Certificate } from "node:crypto";
import fs from "node:fs";
import type { Database } from "../db/index.ts";
import type { TlsListener } from "../kernel/acme-settings.ts";
import { AppError, type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { distinguishedName, toPem } from "../protocol/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import type { AcmeCertificates } from "./acme/acme.ts";
import type { Authorities } from "./authorities.ts";
import { localKey, newPrivateKey } from "./authority-key.ts";
import type { AuthorityKeys } from "./authority-keys.ts";
import * as store from "./authority-store.ts";
import { type AuthorityRow, authorityOf, isSignedBy } from "./authority-types.ts";
import { type Issuer, keyIdentifierOf, pemToDers } from "./certificate-builder.ts";
import { serverCertificate, validityFrom } from "./profiles.ts";

/** What a TLS listener shows of itself. */
export interface ServerCredentials {
  keyPem: string;
  /** The server's certificate and what leads from it to a root. */
  certificatePem: string;
  notAfter: Date;
  /** Nobody trusts it: the server authority waits for the offline root. */
  isProvisional: boolean;
}

/** Certificate and key from elsewhere. */
export interface TlsFiles {
  certificateFile: string;
  keyFile: string;
}

const DAY_MS = 86_400_000;
const SERVER_LIFETIME_MS = 30 * DAY_MS;
const PROVISIONAL_LIFETIME_MS = DAY_MS;

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  keys: AuthorityKeys;
  authorities: Authorities;
  publicHost: string;
  tlsFiles?: TlsFiles | undefined;
  acme: AcmeCertificates;
}

interface Current {
  credentials: ServerCredentials;
  renewAt: number;
  /** The server authority that issued it, none where it is provisional. */
  below: string;
  chain: string;
  generation: number;
}

/**
 * The server's own certificate: by ACME where that is for this listener and there is one in force,
 * else from files, else a pair of this process's own from our authority.
 */
export class ServerIdentity {
  readonly #deps: Deps;
  #current: Current | undefined;
  /** Listeners that ask at the same time are given the same pair. */
  #asking: Promise<ServerCredentials> | undefined;
  #files: { stamp: string; credentials: ServerCredentials } | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Cheap to ask again and again: a new pair comes when two thirds of the old one's life are over. */
  async credentials(listener?: TlsListener): Promise<ServerCredentials> {
    const { tlsFiles, acme } = this.#deps;
    const elsewhere = await acme.credentials(listener);
    if (elsewhere) return elsewhere;
    if (tlsFiles) return this.#fromFiles(tlsFiles);
    this.#asking ??= this.#own().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** What signs for the platform's own services, and what leads from it to a root. */
  async issuer(): Promise<{ issuer: Issuer; chainPem: string; notAfter: Date }> {
    const { row, chain } = await this.#issuing();
    if (!row) {
      throw new AppError("authority-pending", "the server authority waits for the offline root");
    }
    return { issuer: this.#deps.keys.issuerOf(row), chainPem: chain, notAfter: row.not_after };
  }

  async #own(): Promise<ServerCredentials> {
    const { clock } = this.#deps;
    const { generation } = this.#deps.authorities;
    const current = this.#current;
    const isFresh = current && clock.now() < current.renewAt;
    if (isFresh && current.generation === generation) return current.credentials;
    const { row, chain } = await this.#issuing();
    const below = row?.id ?? "";
    // Something else changed in the hierarchy, a tenant's authority most often.
    if (isFresh && current.below === below && current.chain === chain) {
      this.#current = { ...current, generation };
      return current.credentials;
    }
    const credentials = row ? await this.#issue(row, chain) : await this.#provisional();
    const lifetime = credentials.notAfter.getTime() - clock.now();
    const renewAt = clock.now() + (lifetime * 2) / 3;
    this.#current = { credentials, renewAt, below, chain, generation };
    return credentials;
  }

  /** The server authority in force, and what leads from it to a root. */
  async #issuing(): Promise<{ row: AuthorityRow | undefined; chain: string }> {
    const { clock, db, authorities } = this.#deps;
    const rows = await db.platform((tx) => store.usableAuthorities(tx, PLATFORM_CHAIN, "server"));
    const row = rows.find(({ not_after }) => not_after.getTime() > clock.now());
    if (!row) return { row, chain: "" };
    const { certificate } = authorityOf(row);
    const roots = await authorities.roots();
    const root = roots.find((one) => isSignedBy(certificate, one));
    // Who knows only the root before the present one gets from here to there by its signature.
    return { row, chain: row.certificate_pem + (root?.crossCertificatePem ?? "") };
  }

  async #issue(row: AuthorityRow, chain: string): Promise<ServerCredentials> {
    const { clock, keys, publicHost } = this.#deps;
    const privateKey = newPrivateKey();
    const validity = validityFrom(clock.now(), SERVER_LIFETIME_MS);
    const notAfter = validity.notAfter < row.not_after ? validity.notAfter : row.not_after;
    const { der } = await serverCertificate(
      {
        issuer: keys.issuerOf(row),
        publicKey: localKey(privateKey).publicKey,
        notBefore: validity.notBefore,
        notAfter,
      },
      publicHost,
    );
    return {
      keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      certificatePem: toPem("CERTIFICATE", der) + chain,
      notAfter,
      isProvisional: false,
    };
  }

  /** Lets the listeners run while the offline root has not signed yet; no device accepts it. */
  async #provisional(): Promise<ServerCredentials> {
    const { clock, publicHost, logger } = this.#deps;
    const privateKey = newPrivateKey();
    const key = localKey(privateKey);
    const { publicKey } = key;
    const name = distinguishedName("Vautn", "waiting for the offline root");
    const issuer = { name, keyIdentifier: keyIdentifierOf(publicKey), key };
    const validity = validityFrom(clock.now(), PROVISIONAL_LIFETIME_MS);
    const { der } = await serverCertificate({ issuer, publicKey, ...validity }, publicHost);
    logger.warn(
      {},
      "the server authority waits for the offline root, and no device can connect: " +
        "vautn pki request > bundle.json, vautn pki sign-bundle, vautn pki import",
    );
    return {
      keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      certificatePem: toPem("CERTIFICATE", der),
      notAfter: validity.notAfter,
      isProvisional: true,
    };
  }

  #fromFiles(files: TlsFiles): ServerCredentials {
    try {
      const stamp = stampOf(files);
      if (this.#files?.stamp === stamp) return this.#files.credentials;
      const credentials = readFiles(files, this.#deps.clock.now());
      this.#files = { stamp, credentials };
      return credentials;
    } catch (error) {
      // Files that are being replaced may not fit together for a moment: what served, serves on.
      if (!this.#files) throw error;
      this.#deps.logger.error(
        { error: messageOf(error) },
        "the server's certificate files cannot be used; the ones before stay in use",
      );
      return this.#files.credentials;
    }
  }
}

function stampOf({ certificateFile, keyFile }: TlsFiles): string {
  return [certificateFile, keyFile]
    .map((file) => fs.statSync(file))
    .map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`)
    .join(" ");
}

function readFiles({ certificateFile, keyFile }: TlsFiles, now: number): ServerCredentials {
  const certificatePem = fs.readFileSync(certificateFile, "utf8");
  const keyPem = fs.readFileSync(keyFile, "utf8");
  const [leaf] = pemToDers(certificatePem);
  if (!leaf) throw new Error(`${certificateFile} holds no certificate`);
  const certificate = new X509Certificate(leaf);
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) {
    throw new Error(`${keyFile} is not the key of ${certificateFile}`);
  }
  const notAfter = certificate.validToDate;
  if (notAfter.getTime() <= now) throw new Error(`${certificateFile} has expired`);
  return { keyPem, certificatePem, notAfter, isProvisional: false };
}
