import { X509Certificate } from "node:crypto";
import {
  context,
  type DerValue,
  membersOf,
  oid,
  oidOf,
  sequence,
  set,
  TAG,
  utf8,
} from "../../kernel/der.ts";
import { OID } from "../../protocol/index.ts";
import type { RootAuthority } from "../authority-types.ts";
import { pemToDers } from "../certificate-builder.ts";
import { CmpFault } from "./failures.ts";

/** What may be asked in a `genm` (RFC 4210 §5.3.19, RFC 9480 §2.14), and what answers it. */
const INFO = {
  signKeyPairTypes: "1.3.6.1.5.5.7.4.2",
  caCerts: "1.3.6.1.5.5.7.4.17",
  rootCaKeyUpdate: "1.3.6.1.5.5.7.4.18",
  certReqTemplate: "1.3.6.1.5.5.7.4.19",
  rootCaCert: "1.3.6.1.5.5.7.4.20",
} as const;

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";
const P256 = "1.2.840.10045.3.1.7";
/** id-regCtrl-algId (RFC 9480 §2.14) */
const ALGORITHM_CONTROL = "1.3.6.1.5.5.7.5.1.11";
const MAX_QUESTIONS = 10;

const KEY_ALGORITHMS = [sequence(oid(EC_PUBLIC_KEY), oid(P256)), sequence(oid(OID.ed25519))];

/** What the platform knows that a question may be about. */
export interface GeneralFacts {
  tenantId: string;
  /** PEM, of the tenant's authorities and the roots. */
  authorityCertificates: readonly string[];
  /** The newest first. */
  roots: readonly Pick<RootAuthority, "certificate" | "crossCertificatePem">[];
}

/** GenRepContent: an answer to each question that is known; `CmpFault` where none is. */
export function answerGeneral(body: DerValue, facts: GeneralFacts): Buffer {
  const questions = membersOf(body, TAG.sequence);
  if (questions.length > MAX_QUESTIONS) {
    throw new CmpFault("badRequest", `at most ${MAX_QUESTIONS} things can be asked at once`);
  }
  const asked = questions.map((question) => {
    const [type, value] = membersOf(question, TAG.sequence);
    return { type: oidOf(type), value };
  });
  // RFC 4210 §5.3.19: who asks for nothing is told everything.
  const wanted =
    asked.length > 0
      ? asked
      : [INFO.caCerts, INFO.rootCaCert, INFO.certReqTemplate, INFO.signKeyPairTypes].map(
          (type) => ({ type, value: undefined }),
        );
  const answers = wanted.flatMap(({ type, value }) => answerOne(type, value, facts) ?? []);
  if (answers.length === 0) {
    throw new CmpFault("badRequest", "nothing of what is asked is known here");
  }
  return sequence(...answers);
}

function answerOne(
  type: string,
  value: DerValue | undefined,
  facts: GeneralFacts,
): Buffer | undefined {
  switch (type) {
    case INFO.caCerts:
      return info(INFO.caCerts, authorities(facts));
    case INFO.rootCaCert:
      return info(INFO.rootCaKeyUpdate, rootUpdate(value, facts));
    case INFO.certReqTemplate:
      return info(INFO.certReqTemplate, requestTemplate(facts.tenantId));
    case INFO.signKeyPairTypes:
      return info(INFO.signKeyPairTypes, sequence(...KEY_ALGORITHMS));
    default:
      return undefined;
  }
}

function info(type: string, value: Buffer | undefined): Buffer {
  return sequence(oid(type), ...(value ? [value] : []));
}

/** RFC 9483 §4.3.1: of issuing authorities; a root is believed for other reasons than a message. */
function authorities({ authorityCertificates, roots }: GeneralFacts): Buffer | undefined {
  const isRoot = (der: Buffer) => roots.some(({ certificate }) => certificate.raw.equals(der));
  const ders = authorityCertificates.flatMap(pemToDers).filter((der) => !isRoot(der));
  return ders.length > 0 ? sequence(...ders) : undefined;
}

/**
 * RFC 9483 §4.3.2: the root after the one that the client has, with the old one's signature of it;
 * nothing where it has the newest, or one that we do not know.
 */
function rootUpdate(value: DerValue | undefined, { roots }: GeneralFacts): Buffer | undefined {
  const [newest, previous] = roots;
  if (!newest || !previous) return undefined;
  const isOfOld = value === undefined || previous.certificate.raw.equals(value.raw);
  if (!isOfOld) return undefined;
  const [cross] = newest.crossCertificatePem ? pemToDers(newest.crossCertificatePem) : [];
  const isByPrevious = cross && new X509Certificate(cross).checkIssued(previous.certificate);
  return sequence(newest.certificate.raw, ...(cross && isByPrevious ? [context(0, cross)] : []));
}

/** RFC 9483 §4.3.3: the tenant as organisation, an empty common name to be filled in, two kinds of key. */
function requestTemplate(tenantId: string): Buffer {
  const name = sequence(
    set(sequence(oid(OID.organization), utf8(tenantId))),
    set(sequence(oid(OID.commonName), utf8(""))),
  );
  const controls = KEY_ALGORITHMS.map((algorithm) => sequence(oid(ALGORITHM_CONTROL), algorithm));
  return sequence(sequence(context(5, name)), sequence(...controls));
}
