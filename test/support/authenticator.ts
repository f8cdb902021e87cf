import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { encode } from "cborg";

const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const ATTESTED = 0x40;

export interface AuthenticatorFaults {
  origin?: string;
  rpId?: string;
  /** Neither PIN nor finger. */
  isUnverified?: boolean;
  isAbsent?: boolean;
  type?: string;
  challenge?: string;
  counter?: number;
  key?: KeyObject;
}

/** A passkey in software (WebAuthn Level 3 §6): makes real attestations and assertions. */
export class SoftwareAuthenticator {
  readonly id = randomBytes(32);
  readonly #origin: string;
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  counter = 0;

  constructor(origin: string) {
    this.#origin = origin;
  }

  get key(): KeyObject {
    return this.#keys.privateKey;
  }

  register(challenge: string, faults: AuthenticatorFaults = {}) {
    const { x = "", y = "" } = this.#keys.publicKey.export({ format: "jwk" });
    const coordinates = [x, y].map((one) => Buffer.from(one, "base64url"));
    // RFC 9053 §7.1.1: EC2, ES256, P-256, x, y
    const publicKey = new Map<number, number | Uint8Array>([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, coordinates[0] as Uint8Array],
      [-3, coordinates[1] as Uint8Array],
    ]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.id.length);
    const attested = Buffer.concat([Buffer.alloc(16), length, this.id, encode(publicKey)]);
    const authData = this.#data(faults, ATTESTED, attested);
    const attestationObject = encode({ fmt: "none", attStmt: {}, authData });
    return this.#answer({
      clientDataJSON: this.#clientData("webauthn.create", challenge, faults),
      attestationObject: Buffer.from(attestationObject).toString("base64url"),
      transports: ["internal"],
    });
  }

  assert(challenge: string, faults: AuthenticatorFaults = {}) {
    this.counter += 1;
    const authData = this.#data(faults);
    const clientDataJSON = this.#clientData("webauthn.get", challenge, faults);
    const hash = createHash("sha256").update(Buffer.from(clientDataJSON, "base64url")).digest();
    const signature = sign("sha256", Buffer.concat([authData, hash]), faults.key ?? this.key);
    return this.#answer({
      clientDataJSON,
      authenticatorData: authData.toString("base64url"),
      signature: signature.toString("base64url"),
    });
  }

  #answer<Response extends object>(response: Response) {
    const id = this.id.toString("base64url");
    return { id, rawId: id, type: "public-key", response, clientExtensionResults: {} };
  }

  #clientData(type: string, challenge: string, faults: AuthenticatorFaults): string {
    const data = {
      type: faults.type ?? type,
      challenge: faults.challenge ?? challenge,
      origin: faults.origin ?? this.#origin,
      crossOrigin: false,
    };
    return Buffer.from(JSON.stringify(data)).toString("base64url");
  }

  #data(faults: AuthenticatorFaults, flags = 0, rest: Uint8Array = Buffer.alloc(0)): Buffer {
    const rpId = faults.rpId ?? new URL(this.#origin).hostname;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(faults.counter ?? this.counter);
    const all =
      flags | (faults.isAbsent ? 0 : USER_PRESENT) | (faults.isUnverified ? 0 : USER_VERIFIED);
    const rpIdHash = createHash("sha256").update(rpId).digest();
    return Buffer.concat([rpIdHash, Buffer.from([all]), counter, rest]);
  }
}
