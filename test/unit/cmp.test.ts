import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CmpFault, failureOf } from "../../src/identity/cmp/failures.ts";
import {
  computeMac,
  isMacRight,
  ownMacParameters,
  readMacParameters,
} from "../../src/identity/cmp/mac.ts";
import { readMessage } from "../../src/identity/cmp/message.ts";
import {
  readCertificateMessage,
  readConfirmation,
  readPoll,
  readRevocation,
} from "../../src/identity/cmp/requests.ts";
import {
  directoryName,
  writeBody,
  writeError,
  writeHeader,
  writeMessage,
  writeStatus,
} from "../../src/identity/cmp/writing.ts";
import {
  context,
  DerError,
  integer,
  octets,
  oid,
  readDer,
  sequence,
  tlv,
} from "../../src/kernel/der.ts";
import { AppError, isAppError } from "../../src/kernel/index.ts";
import { distinguishedName } from "../../src/protocol/index.ts";

const PBM = "1.2.840.113533.7.66.13";
const SHA256 = sequence(oid("2.16.840.1.101.3.4.2.1"));
const HMAC_SHA256 = sequence(oid("1.2.840.113549.2.9"));

function numberOf(value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return integer(bytes);
}

function pbm(iterations: number, saltBytes = 16, mac = HMAC_SHA256): Buffer {
  const salt = octets(randomBytes(saltBytes));
  return sequence(oid(PBM), sequence(salt, SHA256, numberOf(iterations), mac));
}

function message(body: Buffer): Buffer {
  const name = directoryName(distinguishedName("acme", "x"));
  const header = writeHeader({
    version: 2,
    sender: name,
    recipient: name,
    time: new Date("2026-01-02T03:04:05Z"),
    protectionAlgorithm: pbm(1_000),
    senderKid: Buffer.from("acme.ref"),
    transactionId: Buffer.alloc(16, 1),
    senderNonce: Buffer.alloc(16, 2),
    recipientNonce: Buffer.alloc(16, 3),
    confirmation: "implicit",
  });
  return writeMessage(header, body, Buffer.alloc(20, 4), [sequence(), sequence()]);
}

describe("a message of CMP", () => {
  it("is read as it was written", () => {
    const error = writeBody(23, writeError({ failure: "badTime", text: "late" }));
    const read = readMessage(message(error));
    expect(read).toMatchObject({
      version: 2,
      messageTime: new Date("2026-01-02T03:04:05Z"),
      senderKid: Buffer.from("acme.ref"),
      transactionId: Buffer.alloc(16, 1),
      senderNonce: Buffer.alloc(16, 2),
      recipientNonce: Buffer.alloc(16, 3),
      implicitConfirm: true,
      bodyType: 23,
      protection: Buffer.alloc(20, 4),
    });
    expect(read.extraCertificates).toHaveLength(2);
  });

  it("names a failure by one bit", () => {
    const bitOf = (failure: "badAlg" | "badTime" | "notAuthorized") =>
      writeStatus("rejection", { failure, text: "" }).subarray(-4).toString("hex");
    expect(bitOf("badAlg")).toBe("03020780");
    expect(bitOf("badTime")).toBe("03020410");
    expect(
      writeStatus("rejection", { failure: "notAuthorized", text: "" }).toString("hex"),
    ).toMatch(/030400000001$/);
  });

  it("that is noise, cut short or altered fails to be read, and in no other way", async () => {
    const good = message(writeBody(0, sequence(sequence())));
    const onlyKnownErrors = async (bytes: Uint8Array) => {
      try {
        const { body } = readMessage(bytes);
        for (const read of [readCertificateMessage, readRevocation, readConfirmation, readPoll]) {
          try {
            await read(body);
          } catch (error) {
            if (!isExpected(error)) return false;
          }
        }
        return true;
      } catch (error) {
        return isExpected(error);
      }
    };
    for (let size = 0; size < good.length; size += 1) {
      expect(await onlyKnownErrors(good.subarray(0, size)), String(size)).toBe(true);
    }
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, flip] of changes) bytes[at] = (bytes[at] as number) ^ flip;
        return onlyKnownErrors(bytes);
      }),
      { numRuns: 3_000 },
    );
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), onlyKnownErrors));
    expect(await onlyKnownErrors(Buffer.alloc(64_000, 0x30))).toBe(true);
  });

  it("with a body of any shape is read in bounded time, or refused as it should be", async () => {
    // Trees of the tags that requests are made of.
    const tree = fc.letrec<{ node: Buffer }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 6 },
        fc
          .tuple(fc.constantFrom(2, 3, 4, 5, 6, 12, 0x81, 0x80), fc.uint8Array({ maxLength: 12 }))
          .map(([tag, content]) => tlv(tag, content)),
        fc
          .tuple(
            fc.constantFrom(0x30, 0x31, 0xa0, 0xa1, 0xa3, 0xa5, 0xa6, 0xa9),
            fc.array(tie("node"), { maxLength: 4 }),
          )
          .map(([tag, members]) => tlv(tag, ...members)),
      ),
    })).node;
    await fc.assert(
      fc.asyncProperty(tree, async (bytes) => {
        const value = readDer(bytes);
        for (const read of [readCertificateMessage, readRevocation, readConfirmation, readPoll]) {
          try {
            await read(value);
          } catch (error) {
            if (!isExpected(error)) throw error;
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the MAC of a shared secret", () => {
  it.each(["pbm", "pbmac1"] as const)("is checked with what was asked for (%s)", async (kind) => {
    const asked = ownMacParameters({ kind: "pbm", mac: "sha256" } as never).parameters;
    const { parameters, identifier } = ownMacParameters({ ...asked, kind } as never);
    const read = readMacParameters(readDer(identifier));
    expect(read).toEqual(parameters);
    const mac = await computeMac(parameters, "secret", Buffer.from("data"));
    if (!read) throw new Error("no parameters");
    expect(await isMacRight(read, "secret", Buffer.from("data"), mac)).toBe(true);
    expect(await isMacRight(read, "Secret", Buffer.from("data"), mac)).toBe(false);
    expect(await isMacRight(read, "secret", Buffer.from("date"), mac)).toBe(false);
    expect(await isMacRight(read, "secret", Buffer.from("data"), mac.subarray(1))).toBe(false);
  });

  it.each([
    ["more iterations than anyone should wait for", pbm(100_001)],
    ["iterations beyond all numbers", pbm(2 ** 47)],
    ["next to none", pbm(1)],
    ["a short salt", pbm(1_000, 4)],
    ["an endless salt", pbm(1_000, 4_000)],
    ["a MAC that nobody knows", pbm(1_000, 16, sequence(oid("1.2.3")))],
  ])("is refused with %s", (_, algorithm) => {
    expect(() => readMacParameters(readDer(algorithm))).toThrow(CmpFault);
  });

  it("is none where the algorithm is one of signatures", () => {
    const ecdsa = sequence(oid("1.2.840.10045.4.3.2"));
    expect(readMacParameters(readDer(ecdsa))).toBeUndefined();
  });
});

describe("a failure", () => {
  it.each([
    [new AppError("csr-invalid", "", { reason: "signature" }), "badPOP"],
    [new AppError("csr-invalid", "", { reason: "name" }), "badCertTemplate"],
    [new AppError("csr-invalid", "", { reason: "extension" }), "unacceptedExtension"],
    [new AppError("csr-invalid", "", { reason: "key-in-use" }), "duplicateCertReq"],
    [new AppError("certificate-refused", "", { reason: "revoked" }), "certRevoked"],
    [new AppError("claim-refused", "", { reason: "revoked" }), "notAuthorized"],
    [new AppError("unavailable", ""), "systemUnavail"],
    [new DerError("x"), "badDataFormat"],
    [new TypeError("a secret"), "systemFailure"],
  ])("is what the standard calls it (%s)", (error, failure) => {
    expect(failureOf(error).failure).toBe(failure);
    expect(failureOf(error).text).not.toContain("a secret");
  });
});

function isExpected(error: unknown): boolean {
  return error instanceof DerError || error instanceof CmpFault || isAppError(error, "csr-invalid");
}

// An explicit tag around nothing is no value.
it("a header with an empty member is refused", () => {
  const broken = sequence(
    sequence(integer(Buffer.from([2])), sequence(), sequence(), context(4)),
    context(0, sequence()),
  );
  expect(() => readMessage(broken)).toThrow(DerError);
});
