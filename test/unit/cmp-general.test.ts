import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { subjectOf } from "../../src/identity/certificate-builder.ts";
import { CmpFault } from "../../src/identity/cmp/failures.ts";
import { answerGeneral, type GeneralFacts } from "../../src/identity/cmp/general.ts";
import { crossCertificate } from "../../src/identity/profiles.ts";
import { DerError, membersOf, oid, oidOf, readDer, sequence, TAG } from "../../src/kernel/der.ts";
import { createTestIssuer } from "../support/crl-fixture.ts";

const IT = "1.3.6.1.5.5.7.4";
const CA_CERTS = `${IT}.17`;
const ROOT_UPDATE = `${IT}.18`;
const TEMPLATE = `${IT}.19`;
const ROOT = `${IT}.20`;

type Root = Awaited<ReturnType<typeof createTestIssuer>>;

describe("a general message of CMP", () => {
  let old: Root;
  let young: Root;
  let tenantAuthority: Root;
  let facts: GeneralFacts;
  let cross: X509Certificate;
  beforeAll(async () => {
    [old, young, tenantAuthority] = await Promise.all([
      createTestIssuer(),
      createTestIssuer(),
      createTestIssuer(),
    ]);
    const issuer = { ...old.issuer, name: subjectOf(old.certificate.raw) };
    const options = { certificate: young.certificate, now: Date.now() };
    const crossPem = await crossCertificate(issuer, old.certificate.validToDate, options);
    cross = new X509Certificate(crossPem);
    facts = {
      tenantId: "acme",
      authorityCertificates: [tenantAuthority.pem, young.pem, old.pem],
      roots: [
        { certificate: young.certificate, crossCertificatePem: crossPem },
        { certificate: old.certificate, crossCertificatePem: null },
      ],
    };
  });

  const ask = (...questions: Buffer[]) =>
    membersOf(readDer(answerGeneral(readDer(sequence(...questions)), facts)), TAG.sequence).map(
      (answer) => {
        const [type, value] = membersOf(answer, TAG.sequence);
        return { type: oidOf(type), value };
      },
    );

  it("asks for the issuing authorities, and is not told to believe a root", () => {
    const [answer] = ask(sequence(oid(CA_CERTS)));
    expect(answer?.type).toBe(CA_CERTS);
    const certificates = membersOf(answer?.value, TAG.sequence).map(({ raw }) => raw);
    expect(certificates).toEqual([tenantAuthority.certificate.raw]);
  });

  it("asks for the root after its own, and gets it with the old one's signature", () => {
    for (const question of [sequence(oid(ROOT)), sequence(oid(ROOT), old.certificate.raw)]) {
      const [answer] = ask(question);
      expect(answer?.type).toBe(ROOT_UPDATE);
      const [newWithNew, newWithOld] = membersOf(answer?.value, TAG.sequence);
      expect(newWithNew?.raw).toEqual(young.certificate.raw);
      expect(newWithOld?.tag).toBe(0xa0);
      expect(newWithOld?.content).toEqual(cross.raw);
      expect(cross.verify(old.certificate.publicKey)).toBe(true);
    }
  });

  it("gets no root where it has the newest, or names one that is not ours", () => {
    for (const root of [young, tenantAuthority]) {
      const [answer] = ask(sequence(oid(ROOT), root.certificate.raw));
      expect(answer).toEqual({ type: ROOT_UPDATE, value: undefined });
    }
  });

  it("asks what a request should look like: the tenant's name, P-256 or Ed25519", () => {
    const [answer] = ask(sequence(oid(TEMPLATE)));
    const [template, controls] = membersOf(answer?.value, TAG.sequence);
    const [subject] = membersOf(template, TAG.sequence);
    expect(subject?.tag).toBe(0xa5);
    expect(subject?.content.includes(Buffer.from("acme"))).toBe(true);
    const keys = membersOf(controls, TAG.sequence).map((control) => {
      const [type, algorithm] = membersOf(control, TAG.sequence);
      return [oidOf(type), oidOf(membersOf(algorithm, TAG.sequence)[0])];
    });
    expect(keys).toEqual([
      ["1.3.6.1.5.5.7.5.1.11", "1.2.840.10045.2.1"],
      ["1.3.6.1.5.5.7.5.1.11", "1.3.101.112"],
    ]);
  });

  it("is told everything where it asks for nothing, and refused where nothing is known", () => {
    expect(ask().map(({ type }) => type)).toEqual([CA_CERTS, ROOT_UPDATE, TEMPLATE, `${IT}.2`]);
    expect(ask(sequence(oid("1.2.3")), sequence(oid(CA_CERTS)))).toHaveLength(1);
    expect(() => ask(sequence(oid("1.2.3")))).toThrow(CmpFault);
    expect(() => ask(...Array(11).fill(sequence(oid(CA_CERTS))))).toThrow(/at most 10/);
  });

  it("is read or refused whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          ask(Buffer.from(bytes));
        } catch (error) {
          if (!(error instanceof DerError) && !(error instanceof CmpFault)) throw error;
        }
      }),
    );
  });
});
