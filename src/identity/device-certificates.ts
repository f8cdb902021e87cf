import { hash } from "node:crypto";
import { oid, sequence, set, TAG, time, utf8 } from "../kernel/der.ts";
import { OID } from "../protocol/index.ts";
import { algorithmIdentifier } from "./authority-key.ts";
import {
  authorityKeyIdentifier,
  type BuiltCertificate,
  type Issuer,
  newSerial,
  OID_EXTENSION,
  SERIAL_BYTES,
  signed,
  VERSION_3,
} from "./certificate-builder.ts";
import { DerTemplate, gap, nest } from "./der-template.ts";
import { DEVICE_EXTENSIONS } from "./profiles.ts";

/** One encoding of each kind of device key: what stands before the bits of the key itself. */
const KEY_SIZES: Readonly<Record<number, { at: number }>> = {
  // RFC 5480 §2: P-256, an uncompressed point of 65 bytes.
  91: { at: 26 },
  // RFC 8410 §4: Ed25519, 32 bytes.
  44: { at: 12 },
};

export interface DeviceCertificateRequest {
  deviceId: string;
  /** DER of the device's public key, P-256 or Ed25519, in its usual form. */
  publicKey: Buffer;
  notBefore: Date;
  notAfter: Date;
}

/**
 * The device certificates of one authority. Everything but serial, validity, id and key is the same
 * in each, and stands ready in a template for every length of id.
 */
export class DeviceCertificates {
  readonly #issuer: Issuer;
  readonly #tenantId: string;
  readonly #trustDomain: string;
  readonly #extensions: readonly Buffer[];
  // At most 128 lengths of id, two kinds of key and three pairs of time formats.
  readonly #templates = new Map<string, DerTemplate>();

  /** `extensions`: DER of what each certificate says besides, such as where to ask about it. */
  constructor(
    issuer: Issuer,
    tenantId: string,
    trustDomain: string,
    extensions: readonly Buffer[] = [],
  ) {
    this.#issuer = issuer;
    this.#extensions = extensions;
    this.#tenantId = tenantId;
    this.#trustDomain = trustDomain;
  }

  /** Nothing of the certificate comes from the device's request but the public key. */
  async issue(request: DeviceCertificateRequest): Promise<BuiltCertificate> {
    const { publicKey } = request;
    const key = KEY_SIZES[publicKey.length];
    if (!key) throw new TypeError("keys of devices are P-256 or Ed25519");
    const id = Buffer.from(request.deviceId, "latin1");
    const notBefore = time(request.notBefore);
    const notAfter = time(request.notAfter);
    const serial = newSerial();
    const template = this.#template(id.length, publicKey.length, notBefore.length, notAfter.length);
    const toBeSigned = template.fill({
      serial,
      notBefore,
      notAfter,
      id,
      publicKey,
      // RFC 5280 §4.2.1.2, method 1
      keyIdentifier: hash("sha1", publicKey.subarray(key.at), "buffer"),
    });
    return { der: await signed(this.#issuer, toBeSigned), serial: serial.toString("hex") };
  }

  #template(id: number, key: number, notBefore: number, notAfter: number): DerTemplate {
    const shape = `${id} ${key} ${notBefore} ${notAfter}`;
    const known = this.#templates.get(shape);
    if (known) return known;
    const template = new DerTemplate(this.#parts(id, key, notBefore, notAfter));
    this.#templates.set(shape, template);
    return template;
  }

  #parts(id: number, key: number, notBefore: number, notAfter: number) {
    const tenantId = this.#tenantId;
    const commonName = nest(TAG.utf8String, Buffer.from(`${tenantId}/`), gap("id", id));
    const uri = `spiffe://${tenantId}.${this.#trustDomain}/device/`;
    return nest(
      TAG.sequence,
      VERSION_3,
      nest(TAG.integer, gap("serial", SERIAL_BYTES)),
      algorithmIdentifier(this.#issuer.key.algorithm),
      this.#issuer.name,
      nest(TAG.sequence, gap("notBefore", notBefore), gap("notAfter", notAfter)),
      nest(
        TAG.sequence,
        set(sequence(oid(OID.organization), utf8(tenantId))),
        nest(TAG.set, nest(TAG.sequence, oid(OID.commonName), commonName)),
      ),
      gap("publicKey", key),
      nest(
        EXTENSIONS_TAG,
        nest(
          TAG.sequence,
          ...DEVICE_EXTENSIONS,
          ...this.#extensions,
          extension(
            OID_EXTENSION.alternativeNames,
            nest(TAG.sequence, nest(URI_TAG, Buffer.from(uri), gap("id", id))),
          ),
          extension(
            OID_EXTENSION.subjectKey,
            nest(TAG.octetString, gap("keyIdentifier", KEY_IDENTIFIER_BYTES)),
          ),
          authorityKeyIdentifier(this.#issuer.keyIdentifier),
        ),
      ),
    );
  }
}

const EXTENSIONS_TAG = 0xa3;
const URI_TAG = 0x86;
const KEY_IDENTIFIER_BYTES = 20;

function extension(type: string, value: ReturnType<typeof nest>) {
  return nest(TAG.sequence, oid(type), nest(TAG.octetString, value));
}
