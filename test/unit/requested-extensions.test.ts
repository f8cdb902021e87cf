import { createPublicKey, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCertificateRequest } from "../../src/identity/certificate-request.ts";
import { readForeign } from "../../src/identity/registered-fields.ts";
import {
  bits,
  boolean,
  context,
  contextPrimitive,
  DerError,
  integer,
  octets,
  oid,
  sequence,
  set,
  utf8,
} from "../../src/kernel/der.ts";
import { distinguishedName } from "../../src/protocol/index.ts";
import { forge, newKey } from "../support/pki.ts";

const KEY = newKey();
const extension = (type: string, value: Buffer, critical = false) =>
  sequence(oid(type), ...(critical ? [boolean(true)] : []), octets(value));
const usage = (...purposes: string[]) => sequence(...purposes.map((one) => oid(one)));
const CLIENT = "1.3.6.1.5.5.7.3.2";
const SERVER = "1.3.6.1.5.5.7.3.1";

/** A request that is rightly signed, whatever it asks for. */
function request(
  extensions: Buffer[],
  subject = distinguishedName("acme", "acme/d-1"),
  key: KeyObject = KEY,
): Buffer {
  const asked = sequence(oid("1.2.840.113549.1.9.14"), set(sequence(...extensions)));
  const information = sequence(
    integer(Buffer.from([0])),
    subject,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    context(0, asked),
  );
  const signature = sign("sha256", information, key);
  return sequence(information, sequence(oid("1.2.840.10045.4.3.2")), bits(signature));
}

describe("what a request asks for", () => {
  it.each([
    ["nothing", []],
    ["to be no authority", [extension("2.5.29.19", sequence(), true)]],
    ["to sign handshakes", [extension("2.5.29.15", bits(Buffer.from([0xa0]), 5), true)]],
    ["to be client and server", [extension("2.5.29.37", usage(CLIENT, SERVER))]],
    ["something of no weight", [extension("1.2.3.4", octets(Buffer.alloc(3)))]],
  ])("is taken, and not granted, where it is %s", async (_, extensions) => {
    await expect(readCertificateRequest(request(extensions))).resolves.toMatchObject({ uris: [] });
  });

  it.each([
    ["to be an authority", [extension("2.5.29.19", sequence(boolean(true)))]],
    ["to sign certificates", [extension("2.5.29.15", bits(Buffer.from([0x04]), 2))]],
    ["to sign revocation lists", [extension("2.5.29.15", bits(Buffer.from([0x02]), 1))]],
    ["to sign code", [extension("2.5.29.37", usage("1.3.6.1.5.5.7.3.3"))]],
    ["for any purpose", [extension("2.5.29.37", usage("2.5.29.37.0"))]],
    ["what nobody knows, critically", [extension("1.2.3.4", octets(Buffer.alloc(3)), true)]],
    [
      "twice the same",
      [extension("1.2.3", octets(Buffer.of())), extension("1.2.3", octets(Buffer.of()))],
    ],
    [
      "too much",
      Array.from({ length: 21 }, (_, at) => extension(`1.2.3.${at}`, octets(Buffer.of()))),
    ],
  ])("is refused where it is %s", async (_, extensions) => {
    await expect(readCertificateRequest(request(extensions))).rejects.toMatchObject({
      code: "csr-invalid",
      details: { reason: "extension" },
    });
  });

  it.each([
    ["an address", contextPrimitive(7, Buffer.from([127, 0, 0, 1]))],
    ["an e-mail address", contextPrimitive(1, Buffer.from("a@b.c"))],
    ["another name", context(4, distinguishedName("globex", "x"))],
  ])("is refused where it is %s", async (_, name) => {
    const extensions = [extension("2.5.29.17", sequence(name))];
    await expect(readCertificateRequest(request(extensions))).rejects.toMatchObject({
      details: { reason: "name" },
    });
  });

  it("is refused where the subject is absurd", async () => {
    const part = (type: string, text: string) => set(sequence(oid(type), utf8(text)));
    const absurd = [
      sequence(part("2.5.4.3", "acme/d-1"), part("2.5.4.3", "acme/d-2")),
      sequence(part("2.5.4.3", "x".repeat(8_000))),
      sequence(part("2.5.4.5", "9".repeat(200)), part("2.5.4.3", "acme/d-1")),
      sequence(...Array.from({ length: 1_001 }, () => set())),
    ];
    for (const subject of absurd) {
      await expect(readCertificateRequest(request([], subject))).rejects.toMatchObject({
        code: "csr-invalid",
      });
    }
    const million = sequence(part("2.5.4.3", "x".repeat(1_000_000)));
    await expect(readCertificateRequest(request([], million))).rejects.toMatchObject({
      details: { reason: "too-large" },
    });
  });
});

describe("a certificate that somebody else wrote", () => {
  it("is read, or fails with the error of its encoding and no other, however it is altered", async () => {
    const { certificate } = await forge({
      subject: "O=ACME, OU=plant, CN=x",
      uris: ["urn:acme:1"],
      usage: [CLIENT],
    });
    const der = Buffer.from(certificate.rawData);
    expect(readForeign(der).fields).toMatchObject({
      o: ["ACME"],
      ou: ["plant"],
      cn: ["x"],
      uri: ["urn:acme:1"],
    });
    const readable = (bytes: Uint8Array) => {
      try {
        readForeign(bytes);
        return true;
      } catch (error) {
        return error instanceof DerError;
      }
    };
    for (let size = 0; size < der.length; size += 1) {
      expect(readable(der.subarray(0, size))).toBe(true);
    }
    const change = fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(der);
        for (const [at, flip] of changes) bytes[at] = (bytes[at] as number) ^ flip;
        return readable(bytes);
      }),
      { numRuns: 3_000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), readable));
  });
});
