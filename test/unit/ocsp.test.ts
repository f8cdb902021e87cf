import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MAX_CERTIFICATES,
  OCSP_ERROR,
  ocspError,
  ocspResponse,
  readOcspRequest,
} from "../../src/identity/ocsp.ts";
import {
  boolean,
  context,
  DerError,
  integer,
  membersOf,
  octets,
  oid,
  readDer,
  sequence,
  TAG,
} from "../../src/kernel/der.ts";
import { createTestIssuer } from "../support/crl-fixture.ts";

const NONCE = "1.3.6.1.5.5.7.48.1.2";

function certificateId(serial: Buffer, hash = "1.3.14.3.2.26"): Buffer {
  const twenty = Buffer.alloc(20, 1);
  return sequence(sequence(oid(hash)), octets(twenty), octets(twenty), integer(serial));
}

function request(ids: Buffer[], ...extensions: Buffer[]): Buffer {
  const list = sequence(...ids.map((id) => sequence(id)));
  const tail = extensions.length > 0 ? [context(2, sequence(...extensions))] : [];
  return sequence(sequence(list, ...tail));
}

const nonce = (size: number) => sequence(oid(NONCE), octets(octets(Buffer.alloc(size, 7))));

describe("an OCSP request", () => {
  it("names certificates by issuer and serial", () => {
    const read = readOcspRequest(request([certificateId(Buffer.from("80ff", "hex"))]));
    expect(read.certificates).toMatchObject([{ serial: "80ff", issuer: "01".repeat(40) }]);
    expect(read.nonce).toBeUndefined();
    const odd = readOcspRequest(request([certificateId(Buffer.from([1]), "1.2.3")]));
    expect(odd.certificates[0]?.issuer).toBeUndefined();
  });

  it("has a nonce of 1 to 32 bytes, which is repeated as it came", async () => {
    const id = certificateId(Buffer.from([5]));
    for (const size of [1, 16, 32]) {
      const read = readOcspRequest(request([id], nonce(size)));
      expect(read.nonce).toEqual(octets(Buffer.alloc(size, 7)));
    }
    for (const size of [0, 33, 128]) {
      expect(() => readOcspRequest(request([id], nonce(size)))).toThrow(DerError);
    }
    const { issuer, certificate } = await createTestIssuer();
    const signer = { signer: issuer, chain: [certificate.raw] };
    const read = readOcspRequest(request([id], nonce(8)));
    const times = { producedAt: new Date(), nextUpdate: new Date() };
    const answers = read.certificates.map((one) => ({ id: one, status: "good" as const }));
    const response = await ocspResponse(signer, answers, times, read.nonce);
    expect(response.includes(octets(Buffer.alloc(8, 7)))).toBe(true);
  });

  it("is refused with too many certificates, none, or an unknown critical extension", () => {
    const id = certificateId(Buffer.from([5]));
    expect(() => readOcspRequest(request([]))).toThrow(DerError);
    expect(() => readOcspRequest(request(Array(MAX_CERTIFICATES + 1).fill(id)))).toThrow(DerError);
    const unknown = sequence(oid("1.2.3.4"), boolean(true), octets(Buffer.alloc(1)));
    expect(() => readOcspRequest(request([id], unknown))).toThrow(DerError);
    const harmless = sequence(oid("1.2.3.4"), octets(Buffer.alloc(1)));
    expect(readOcspRequest(request([id], harmless)).certificates).toHaveLength(1);
  });

  it("is refused for a critical extension of a single question too", () => {
    const serial = Buffer.from([1]);
    const asking = (...extension: Buffer[]) =>
      sequence(
        sequence(
          sequence(sequence(certificateId(serial), context(0, sequence(sequence(...extension))))),
        ),
      );
    const unknown = oid("1.2.3.4");
    expect(readOcspRequest(asking(unknown, octets(serial))).certificates).toHaveLength(1);
    const critical = asking(unknown, boolean(true), octets(serial));
    expect(() => readOcspRequest(critical)).toThrow(DerError);
  });

  it("is read or refused whatever the bytes are, and nothing else happens", () => {
    const whole = request([certificateId(Buffer.from([5]))], nonce(16));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc
            .tuple(fc.nat(whole.length - 1), fc.nat(255))
            .map(([at, value]) => Buffer.from(whole).fill(value, at, at + 1)),
          fc.nat(whole.length).map((size) => whole.subarray(0, size)),
        ),
        (bytes) => {
          try {
            readOcspRequest(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(DerError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("is answered without a signature where there is nothing to say", () => {
    const [status] = membersOf(readDer(ocspError(OCSP_ERROR.unauthorized)), TAG.sequence);
    expect(status?.content).toEqual(Buffer.from([6]));
  });
});
