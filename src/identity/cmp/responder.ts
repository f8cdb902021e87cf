import type { Clock } from "../../kernel/index.ts";
import { distinguishedName } from "../../protocol/index.ts";
import { algorithmIdentifier, localKey, newPrivateKey } from "../authority-key.ts";
import {
  basicConstraints,
  buildCertificate,
  extendedKeyUsage,
  keyIdentifierOf,
  keyUsage,
  pemToDers,
} from "../certificate-builder.ts";
import { BACKDATE_MS } from "../profiles.ts";
import type { ServerIdentity } from "../server-credentials.ts";

/** id-kp-cmcRA (RFC 6402 §2.10): may speak for an authority to those who enrol. */
const REGISTRATION_AUTHORITY = "1.3.6.1.5.5.7.3.28";
const LIFETIME_MS = 30 * 86_400_000;

/** Signs the platform's messages. */
export interface Responder {
  /** DER of the name. */
  name: Buffer;
  keyIdentifier: Buffer;
  /** AlgorithmIdentifier of its signatures. */
  algorithm: Buffer;
  sign(data: Uint8Array): Promise<Buffer>;
  /** DER of its certificate, and of those between it and the root. */
  chain: Buffer[];
}

interface Deps {
  clock: Clock;
  server: Pick<ServerIdentity, "issuer">;
  /** `generation` is another number after every change of the hierarchy. */
  authorities: { readonly generation: number };
}

/** This process's own signer of CMP messages; a new one when two thirds of its life are over. */
export class Responders {
  readonly #deps: Deps;
  #current: { responder: Promise<Responder>; renewAt: number; generation: number } | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async get(): Promise<Responder> {
    const now = this.#deps.clock.now();
    const { generation } = this.#deps.authorities;
    if (!this.#current || this.#current.renewAt < now || this.#current.generation !== generation) {
      const renewAt = now + (LIFETIME_MS * 2) / 3;
      this.#current = { responder: this.#create(now), renewAt, generation };
    }
    try {
      return await this.#current.responder;
    } catch (error) {
      this.#current = undefined;
      throw error;
    }
  }

  async #create(now: number): Promise<Responder> {
    const { issuer, chainPem, notAfter } = await this.#deps.server.issuer();
    const key = localKey(newPrivateKey());
    const keyIdentifier = keyIdentifierOf(key.publicKey);
    const mark = keyIdentifier.toString("hex").slice(0, 8);
    const name = distinguishedName("Vautn", `Vautn CMP ${mark}`);
    const { der } = await buildCertificate({
      issuer,
      subject: name,
      publicKey: key.publicKey,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(Math.min(now + LIFETIME_MS, notAfter.getTime())),
      extensions: [
        basicConstraints(null),
        keyUsage("digital-signature"),
        extendedKeyUsage(REGISTRATION_AUTHORITY),
      ],
    });
    return {
      name,
      keyIdentifier,
      algorithm: algorithmIdentifier(key.algorithm),
      sign: (data) => key.sign(data),
      chain: [der, ...pemToDers(chainPem)],
    };
  }
}
