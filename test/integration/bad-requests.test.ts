import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { once } from "node:events";
import https from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { FAILURE } from "../../src/identity/cmp/failures.ts";
import { computeMac, ownMacParameters } from "../../src/identity/cmp/mac.ts";
import { BODY, readMessage } from "../../src/identity/cmp/message.ts";
import {
  directoryName,
  writeBody,
  writeHeader,
  writeMessage,
} from "../../src/identity/cmp/writing.ts";
import {
  bits,
  boolean,
  context,
  type DerValue,
  integer,
  membersOf,
  octets,
  oid,
  readDer,
  sequence,
  set,
  TAG,
  tlv,
} from "../../src/kernel/der.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createCertificateRequest, distinguishedName } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { newKey } from "../support/pki.ts";
import { silentLogger } from "../support/timeseries.ts";

const DAY_MS = 86_400_000;
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

interface Asked {
  key?: KeyObject;
  subject?: Buffer;
  extensions?: Buffer[];
  /** By which the request says that it is signed. */
  algorithm?: string;
}

/** A request that is rightly signed, whatever it asks for. */
function request({ key = newKey(), subject, extensions = [], algorithm }: Asked): Buffer {
  const information = sequence(
    integer(Buffer.from([0])),
    subject ?? distinguishedName("acme", "acme/bad"),
    createPublicKey(key).export({ type: "spki", format: "der" }),
    context(0, sequence(oid(EXTENSION_REQUEST), set(sequence(...extensions)))),
  );
  const isRsa = key.asymmetricKeyType === "rsa";
  const name = algorithm ?? (isRsa ? "1.2.840.113549.1.1.11" : "1.2.840.10045.4.3.2");
  const identifier = isRsa ? sequence(oid(name), tlv(TAG.null)) : sequence(oid(name));
  return sequence(information, identifier, bits(sign("sha256", information, key)));
}

const extension = (type: string, value: Buffer, critical = false) =>
  sequence(oid(type), ...(critical ? [boolean(true)] : []), octets(value));
const dnsName = (name: string) => tlv(0x82, Buffer.from(name));
const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength }).privateKey;
const curve = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).privateKey;

/** The key of a device that is enrolled, and the one of a device whose certificate was revoked. */
const taken = newKey();
const burnt = newKey();

function altered(): Buffer {
  const der = request({});
  der[der.length - 3] = (der.at(-3) as number) ^ 1;
  return der;
}

/** What is wrong, the request, the reason on record, and how CMP calls it (RFC 4210 §5.2.3). */
const WRONG: [string, () => Buffer, string, keyof typeof FAILURE][] = [
  ["a name of another tenant", () => named("globex", "globex/bad"), "name", "badCertTemplate"],
  ["an organisation of another tenant", () => named("globex", "bad"), "name", "badCertTemplate"],
  ["a name that is no id", () => named("acme", "acme/a b"), "name", "badCertTemplate"],
  ["a DNS name", () => alternative(dnsName("example.com")), "name", "badCertTemplate"],
  [
    "the URI of another device",
    () => alternative(tlv(0x86, Buffer.from("spiffe://acme.devices.vautn.internal/device/x"))),
    "name",
    "badCertTemplate",
  ],
  ["a weak RSA key", () => request({ key: rsa(1024) }), "key", "badAlg"],
  ["a strong RSA key", () => request({ key: rsa(2048) }), "key", "badAlg"],
  ["a key on another curve", () => request({ key: curve("secp384r1") }), "key", "badAlg"],
  ["a key on a weak curve", () => request({ key: curve("secp224r1") }), "key", "badAlg"],
  ["another device's key", () => request({ key: taken }), "key-in-use", "duplicateCertReq"],
  ["a revoked key", () => request({ key: burnt }), "key-revoked", "duplicateCertReq"],
  ["a wrong signature", altered, "signature", "badPOP"],
  [
    "a signature of another algorithm",
    () => request({ algorithm: "1.2.840.113549.1.1.5" }),
    "signature",
    "badPOP",
  ],
  [
    "the wish to be an authority",
    () => request({ extensions: [extension("2.5.29.19", sequence(boolean(true)), true)] }),
    "extension",
    "unacceptedExtension",
  ],
  [
    "a critical extension that nobody knows",
    () => request({ extensions: [extension("1.2.3.4", octets(Buffer.alloc(3)), true)] }),
    "extension",
    "unacceptedExtension",
  ],
  [
    "an extension twice",
    () => request({ extensions: [0, 1].map(() => extension("1.2.3.4", octets(Buffer.alloc(3)))) }),
    "extension",
    "unacceptedExtension",
  ],
  [
    "more extensions than anybody needs",
    () =>
      request({
        extensions: Array.from({ length: 40 }, (_, index) =>
          extension(`1.2.3.${index}`, octets(Buffer.alloc(3))),
        ),
      }),
    "extension",
    "unacceptedExtension",
  ],
  [
    "a subject of 10,000 letters",
    () => named("acme", "x".repeat(10_000)),
    "name",
    "badCertTemplate",
  ],
  ["bytes that are none", () => sequence(octets(Buffer.alloc(40))), "malformed", "badDataFormat"],
];

function named(organization: string, commonName: string): Buffer {
  return request({ subject: distinguishedName(organization, commonName) });
}

function alternative(name: Buffer): Buffer {
  return request({ extensions: [extension("2.5.29.17", sequence(name))] });
}

describe("a bad request for a certificate", () => {
  let test: TestApi;
  let server: DeviceHttp;
  let rootPem: string;
  let claim: { token: string; reference: string; secret: string };
  let offsetMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + offsetMs };

  beforeAll(async () => {
    test = await startTestApi({}, { clock });
    const { identity, firmware, tenancy } = test.modules;
    for (const id of ["acme", "globex"]) await identity.ensureTenantAuthority(id);
    rootPem = await identity.rootCertificatePem();
    server = await startDeviceHttp({
      ...{ identity, firmware, tenancy, clock, logger: silentLogger },
      ...{ port: 0, bindAddress: "127.0.0.1", limits: { enrolmentFailures: 10_000 } },
      ...{ mqttUrl: "mqtts://localhost:8883", httpsUrl: "https://localhost:8443" },
    });
    const { token } = await identity.claimTokens.create("acme", newClaim("t"), SYSTEM_ACTOR);
    const shared = await identity.claimTokens.createSharedSecret(
      "acme",
      newClaim("s"),
      SYSTEM_ACTOR,
    );
    claim = { token, ...shared };
    await enrolled("holder", taken);
    const lost = await enrolled("lost", burnt);
    await identity.revoke(
      "acme",
      { serial: lost.serial },
      { reason: "keyCompromise", comment: "" },
      SYSTEM_ACTOR,
    );
  });
  afterAll(async () => {
    await server?.close();
    await test?.close();
  });

  function newClaim(name: string, change: { maxUses?: number } = {}) {
    return {
      ...{ name, devicePattern: "*", product: "hub", hardwareRevision: "a", maxUses: 100 },
      ...{ expiresAt: new Date(clock.now() + 400 * DAY_MS), ...change },
    };
  }

  function enrolled(deviceId: string, privateKey: KeyObject) {
    const commonName = `acme/${deviceId}`;
    return test.modules.identity.enroll({
      tenantId: "acme",
      csr: createCertificateRequest({ privateKey, commonName, organization: "acme" }),
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a" },
    });
  }

  /** The newest refusal that was written down; the minute's bound on them begins anew. */
  async function refusal() {
    offsetMs += 61_000;
    const filters = { outcome: "refused" as const };
    return (await test.modules.tenancy.audit.list("acme", { filters, limit: 1 })).items[0];
  }

  async function post(path: string, body: Buffer | string, options: https.RequestOptions = {}) {
    const call = https.request({
      ...{ host: "localhost", port: server.port, path, ca: rootPem, agent: false, method: "POST" },
      ...options,
    });
    // A body that is refused unread may be cut off while it is sent.
    call.on("error", () => {});
    call.end(body);
    const [response] = await once(call, "response");
    const bytes = Buffer.concat(await response.toArray());
    return { status: response.statusCode as number, bytes, text: bytes.toString() };
  }

  const est = (csr: Buffer, token: string, operation = "simpleenroll") =>
    post(`/.well-known/est/acme/${operation}`, csr.toString("base64"), {
      headers: {
        "content-type": "application/pkcs10",
        authorization: `Basic ${Buffer.from(`claim:${token}`).toString("base64")}`,
      },
    });

  /** `p10cr` under a MAC; the failure that the answer names. */
  async function cmp(
    csr: Buffer,
    { reference, secret }: { reference: string; secret: string } = claim,
    time = new Date(clock.now()),
  ) {
    const mac = { kind: "pbm", hash: "sha256", mac: "sha256" } as const;
    const own = ownMacParameters({ ...mac, salt: randomBytes(16), iterations: 1_000 });
    const name = directoryName(distinguishedName("acme", "x"));
    const header = writeHeader({
      ...{ version: 2, sender: name, recipient: name, time, recipientNonce: undefined },
      ...{ protectionAlgorithm: own.identifier, senderKid: Buffer.from(reference) },
      ...{ transactionId: randomBytes(16), senderNonce: randomBytes(16) },
    });
    const body = writeBody(BODY.p10cr, csr);
    const protection = await computeMac(own.parameters, secret, sequence(header, body));
    const message = writeMessage(header, body, protection, []);
    const answer = await post("/.well-known/cmp/p/acme", message, {
      headers: { "content-type": "application/pkixcmp" },
    });
    return { status: answer.status, failure: failureIn(answer.bytes) };
  }

  it.each(WRONG)(
    "with %s is refused over EST, CMP and HTTP, with the reason on record",
    async (...row) => {
      const [, make, reason, failure] = row;
      const why = { details: expect.objectContaining({ reason }) };
      const byEst = await est(make(), claim.token);
      expect([byEst.status, byEst.text], byEst.text).toEqual([
        400,
        expect.stringMatching(/step: /),
      ]);
      expect(await refusal()).toMatchObject({
        ...why,
        address: expect.stringContaining("127.0.0.1"),
      });

      expect(await cmp(make())).toEqual({ status: 200, failure });
      expect(await refusal()).toMatchObject({ ...why, actor: { name: "s" } });

      const body = {
        id: "bad",
        product: "hub",
        hardwareRevision: "a",
        csr: make().toString("base64"),
      };
      const byHttp = await test.call("POST", "/tenants/acme/devices", { body, key: test.acme });
      expect([byHttp.status, byHttp.body.code]).toEqual([400, "csr-invalid"]);
      expect(await refusal()).toMatchObject({
        details: { code: "csr-invalid", reason, message: byHttp.body.detail },
        actor: { kind: "api-key" },
      });
      const left = await test.call("GET", "/tenants/acme/devices/bad", { key: test.acme });
      expect(left.status).toBe(404);
    },
  );

  it("of a megabyte is refused unread, and who sent it is on record where that is known", async () => {
    const subject = distinguishedName("acme", "x".repeat(1_000_000));
    const large = request({ subject });
    expect((await est(large, claim.token)).status).toBe(413);
    expect(await refusal()).toMatchObject({
      actor: { name: "t" },
      details: { reason: "too-large", step: "request" },
    });
    const before = await refusal();
    expect((await est(large, "vct_nobody")).status).toBe(413);
    // The message that would say who sent it is what is not read.
    const type = { headers: { "content-type": "application/pkixcmp" } };
    expect((await post("/.well-known/cmp/p/acme", large, type)).status).toBe(413);
    expect((await refusal())?.seq).toBe(before?.seq);
    const body = {
      id: "bad",
      product: "hub",
      hardwareRevision: "a",
      csr: large.toString("base64"),
    };
    const byHttp = await test.call("POST", "/tenants/acme/devices", { body, key: test.acme });
    expect([400, 413]).toContain(byHttp.status);
    expect(await refusal()).toMatchObject({
      actor: { kind: "api-key" },
      details: { code: byHttp.body.code },
    });
  });

  it("with a claim that is used up, revoked or expired is refused", async () => {
    const { identity } = test.modules;
    const once = newClaim("once", { maxUses: 1 });
    const { token, id } = await identity.claimTokens.create("acme", once, SYSTEM_ACTOR);
    const shared = await identity.claimTokens.createSharedSecret("acme", once, SYSTEM_ACTOR);
    const named = (deviceId: string) => request({ subject: distinguishedName("acme", deviceId) });
    expect((await est(named("once-1"), token)).status).toBe(200);
    expect((await est(named("once-2"), token)).status).toBe(403);
    expect((await refusal())?.details).toMatchObject({ reason: "used-up", step: "right" });
    expect(await cmp(named("once-3"), shared)).toEqual({ status: 200, failure: undefined });
    expect((await cmp(named("once-4"), shared)).failure).toBe("notAuthorized");
    expect((await refusal())?.details).toMatchObject({ reason: "used-up" });
    await identity.claimTokens.revoke("acme", id, SYSTEM_ACTOR);
    expect((await est(named("once-5"), token)).status).toBe(403);
    expect((await refusal())?.details).toMatchObject({ reason: "revoked" });
    offsetMs += 401 * DAY_MS;
    try {
      expect((await est(named("once-6"), claim.token)).status).toBe(403);
      expect((await refusal())?.details).toMatchObject({ reason: "expired" });
    } finally {
      offsetMs -= 401 * DAY_MS;
    }
  });

  it("by a clock that is wrong is refused, and the device's tenant can read which way", async () => {
    const early = new Date(clock.now() - 3 * DAY_MS);
    expect((await cmp(request({}), claim, early)).failure).toBe("badTime");
    expect((await refusal())?.details).toMatchObject({ reason: "badTime" });
    // A device without a clock sends a time long past, and is not held to it.
    const none = named("acme", "acme/no-clock");
    expect((await cmp(none, claim, new Date(0))).failure).toBeUndefined();

    // Younger than the authority, so that a clock can stand between the two.
    offsetMs += 3 * DAY_MS;
    const privateKey = newKey();
    const { chainPem } = await enrolled("skewed", privateKey);
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const renew = () => {
      const headers = { "content-type": "application/pkcs10" };
      const next = named("acme", "acme/skewed").toString("base64");
      const client = { key, cert: chainPem, headers };
      return post("/.well-known/est/acme/simplereenroll", next, client);
    };
    for (const [aheadMs, reason] of [
      [-2 * DAY_MS, "not-yet-valid"],
      [390 * DAY_MS, "expired"],
    ] as const) {
      offsetMs += aheadMs;
      try {
        expect((await renew()).status).toBe(403);
        expect(await refusal()).toMatchObject({
          actor: { kind: "device", id: "skewed" },
          details: { reason },
        });
      } finally {
        offsetMs -= aheadMs;
      }
    }
    expect((await renew()).status).toBe(200);
  });
});

/** The bit that an answer sets in PKIFailureInfo; undefined where it grants. */
function failureIn(message: Buffer): string | undefined {
  const { bodyType, body } = readMessage(message);
  const bit = failureBit(
    bodyType === BODY.error ? membersOf(body, TAG.sequence)[0] : statusIn(body),
  );
  return Object.entries(FAILURE).find(([, value]) => value === bit)?.[0];
}

/** CertRepMessage: `response` stands last; in it the status of the one certificate. */
function statusIn(body: DerValue): DerValue | undefined {
  const [response] = membersOf(membersOf(body, TAG.sequence).at(-1), TAG.sequence);
  return membersOf(response, TAG.sequence)[1];
}

function failureBit(status: DerValue | undefined): number | undefined {
  const last = membersOf(readDer(status?.raw ?? Buffer.alloc(0)), TAG.sequence).at(-1);
  if (last?.tag !== TAG.bitString) return undefined;
  return (last.content.length - 1) * 8 - 1 - (last.content[0] as number);
}
