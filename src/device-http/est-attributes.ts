import { context, integer, oid, sequence, set, utf8 } from "../kernel/der.ts";
import { OID } from "../protocol/index.ts";

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";
const P256 = "1.2.840.10045.3.1.7";
/** id-aa-certificationRequestInfoTemplate (RFC 9908 §4) */
const REQUEST_TEMPLATE = "1.2.840.113549.1.9.16.2.61";

/**
 * What a request should look like (RFC 7030 §4.5.2, RFC 9908): a key on P-256 (or Ed25519), signed
 * with SHA-256, and as the subject the tenant as organisation and a common name, which is the
 * device's to fill in: `<tenant>/<device>`.
 */
export function csrAttributes(tenantId: string | undefined): Buffer {
  const ecOnP256 = sequence(oid(EC_PUBLIC_KEY), oid(P256));
  const organization = tenantId === undefined ? [] : [relativeName(OID.organization, tenantId)];
  const template = sequence(
    integer(Buffer.from([0])),
    sequence(...organization, relativeName(OID.commonName)),
    context(0, ecOnP256),
    context(1),
  );
  return sequence(
    sequence(oid(EC_PUBLIC_KEY), set(oid(P256))),
    oid(OID.ecdsaWithSha256),
    oid(OID.ed25519),
    sequence(oid(REQUEST_TEMPLATE), set(template)),
  );
}

/** RFC 9908 §4: an attribute without a value is the client's to choose. */
function relativeName(type: string, value?: string): Buffer {
  return set(sequence(oid(type), ...(value === undefined ? [] : [utf8(value)])));
}
