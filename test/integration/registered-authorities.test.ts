import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NewRegisteredAuthority } from "../../src/identity/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import {
  certificateIn,
  newKey,
  requestFor,
  startEnrolment,
  toPemOf,
} from "../support/enrolment.ts";
import { type ForgedCertificate, type Forgery, forge } from "../support/pki.ts";

const CLIENT = "1.3.6.1.5.5.7.3.2";
const SERVER = "1.3.6.1.5.5.7.3.1";

describe("a tenant's own authority", () => {
  let stage: Awaited<ReturnType<typeof startEnrolment>>;
  let next = 0;
  beforeAll(async () => {
    stage = await startEnrolment();
  });
  afterAll(() => stage?.close());

  const authority = (subject = `O=ACME GmbH, CN=Factory ${++next}`) =>
    forge({ subject, authority: true, notAfter: new Date(Date.now() + 30 * 86_400_000) });
  const prove = async (issuer: ForgedCertificate, id: string, code: string, tenant = "acme") => {
    const proof = await forge({ subject: `CN=${code}`, issuer });
    return stage.identity.registeredAuthorities.prove(
      tenant,
      id,
      proof.certificatePem,
      SYSTEM_ACTOR,
    );
  };
  const register = (
    issuer: ForgedCertificate,
    change: Partial<NewRegisteredAuthority> = {},
    tenant = "acme",
  ) =>
    stage.identity.registeredAuthorities.register(
      tenant,
      {
        name: "factory",
        certificatePem: issuer.certificatePem,
        mapping: { template: "{cn}" },
        devicePattern: "*",
        product: "sensor",
        hardwareRevision: "b",
        maxDevices: 10,
        ...change,
      },
      SYSTEM_ACTOR,
    );
  async function registered(change: Partial<NewRegisteredAuthority> = {}, tenant = "acme") {
    const issuer = await authority();
    const { id, code } = await register(issuer, change, tenant);
    await prove(issuer, id, code, tenant);
    return { issuer, id };
  }
  const device = (issuer: ForgedCertificate, subject: string, change: Partial<Forgery> = {}) =>
    forge({ issuer, subject, usage: [CLIENT], ...change });
  const clientOf = ({ keyPem, certificatePem }: ForgedCertificate, issuer?: ForgedCertificate) => ({
    key: keyPem,
    cert: certificatePem + (issuer?.certificatePem ?? ""),
  });
  /** 404 for who is let in, since there is no such artifact; else the reason of the refusal. */
  async function knock(client: { key: string; cert: string }): Promise<number | string> {
    const answer = await stage.call(`/artifacts/${"0".repeat(64)}`, client);
    return answer.status === 404 ? 404 : JSON.parse(answer.text).details.reason;
  }

  it("has to be proved, by a certificate over the code and nothing else", async () => {
    const issuer = await authority();
    const { id, code, status } = await register(issuer);
    expect(status).toBe("unproved");
    const early = await device(issuer, "CN=early");
    expect(await knock(clientOf(early))).toBe("malformed");
    const stranger = await authority(issuer.certificate.subject);
    await expect(prove(stranger, id, code)).rejects.toThrow("has not signed");
    await expect(prove(issuer, id, "another")).rejects.toThrow("not the code");
    await expect(prove(issuer, id, code, "globex")).rejects.toMatchObject({ code: "not-found" });
    const { registeredAuthorities } = stage.identity;
    const itself = registeredAuthorities.prove("acme", id, issuer.certificatePem, SYSTEM_ACTOR);
    await expect(itself).rejects.toThrow();
    expect(await prove(issuer, id, code)).toMatchObject({ status: "active" });
    expect(await knock(clientOf(early))).toBe(404);
  });

  it("proves nothing with a code that is a week old", async () => {
    const issuer = await forge({
      subject: "CN=Slow",
      authority: true,
      notAfter: new Date(Date.now() + 60 * 86_400_000),
    });
    const { id, code } = await register(issuer);
    const proof = await forge({
      subject: `CN=${code}`,
      issuer,
      notAfter: new Date(Date.now() + 60 * 86_400_000),
    });
    stage.wait(8 * 86_400_000);
    try {
      const late = stage.identity.registeredAuthorities.prove(
        "acme",
        id,
        proof.certificatePem,
        SYSTEM_ACTOR,
      );
      await expect(late).rejects.toThrow("expired");
    } finally {
      stage.wait(-8 * 86_400_000);
    }
  });

  it("is one tenant's alone", async () => {
    const { issuer } = await registered();
    const { id, code } = await register(issuer, {}, "globex");
    await expect(prove(issuer, id, code, "globex")).rejects.toMatchObject({
      code: "already-exists",
    });
  });

  it.each([
    ["that is none", () => forge({ subject: "CN=leaf" })],
    [
      "that has expired",
      () => forge({ subject: "CN=x", authority: true, notAfter: new Date(Date.now() - 1_000) }),
    ],
  ])("is not taken with a certificate %s", async (_, make) => {
    await expect(register(await make())).rejects.toMatchObject({ code: "invalid-content" });
    await expect(register({ certificatePem: "x" } as never)).rejects.toMatchObject({
      code: "invalid-content",
    });
  });

  it("brings devices on their first connection, and they exchange its certificate for ours", async () => {
    const { issuer, id } = await registered({
      mapping: { template: "plant-{serialNumber}", fields: { o: "ACME GmbH" } },
      tags: { plant: "7" },
    });
    const own = await device(issuer, "O=ACME GmbH, CN=whatever, 2.5.4.5=0042");
    const client = clientOf(own, issuer);
    expect(await knock(client)).toBe(404);
    expect(await knock(client)).toBe(404);
    const row = await stage.database.db.tenant("acme", (tx) =>
      tx
        .selectFrom("devices")
        .select(["product", "tags", "status"])
        .where("id", "=", "plant-0042")
        .executeTakeFirst(),
    );
    expect(row).toEqual({ product: "sensor", tags: { plant: "7" }, status: "active" });
    const listed = await stage.identity.registeredAuthorities.list("acme");
    expect(listed.find((one) => one.id === id)?.deviceCount).toBe(1);
    const key = newKey();
    const request = requestFor(key, { deviceId: "plant-0042" });
    const answer = await stage.est("simpleenroll", request, client);
    expect(answer.status, answer.text).toBe(200);
    const ours = certificateIn(answer.text);
    expect(ours.subject).toBe("O=acme\nCN=acme/plant-0042");
    const chain = await stage.identity.authorityCertificates("acme");
    const pem = key.export({ type: "pkcs8", format: "pem" }) as string;
    expect(await knock({ key: pem, cert: toPemOf(ours) + chain.join("") })).toBe(404);
    const other = requestFor(newKey(), { deviceId: "plant-0043" });
    expect((await stage.est("simpleenroll", other, client)).status).toBe(400);
    const foreign = requestFor(newKey(), { tenantId: "globex", deviceId: "plant-0042" });
    expect((await stage.est("simpleenroll", foreign, { ...client, label: "globex" })).status).toBe(
      404,
    );
  });

  it("is believed on TLS sessions that are resumed, as long as it is registered", async () => {
    const { issuer, id } = await registered();
    const own = clientOf(await device(issuer, "CN=resumer"), issuer);
    const connect = async (session?: Buffer) => {
      const socket = tls.connect({
        ...own,
        host: "localhost",
        port: stage.server.port,
        ca: stage.rootPem,
        ...(session ? { session } : {}),
      });
      let ticket: Buffer | undefined;
      socket.on("session", (received) => {
        ticket = received;
      });
      await once(socket, "secureConnect");
      const resumed = socket.isSessionReused();
      socket.write(
        `GET /artifacts/${"0".repeat(64)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      const text = Buffer.concat(await socket.toArray()).toString();
      return { resumed, status: Number(text.slice(9, 12)), session: ticket };
    };
    const first = await connect();
    expect(first.status).toBe(404);
    expect(await connect(first.session)).toMatchObject({ resumed: true, status: 404 });
    await stage.identity.registeredAuthorities.disable("acme", id, SYSTEM_ACTOR);
    expect(await connect(first.session)).toMatchObject({ status: 403 });
  });

  it.each([
    ["self-signed with the right name", { issuer: undefined }, "malformed"],
    ["an authority's", { authority: true }, "wrong-usage"],
    ["a server's", { usage: [SERVER] }, "wrong-usage"],
    ["expired", { notAfter: new Date(Date.now() - 1_000) }, "expired"],
    [
      "not valid yet",
      { notBefore: new Date(Date.now() + 3_600_000), notAfter: new Date(Date.now() + 7_200_000) },
      "not-yet-valid",
    ],
    ["one without what the rule needs", { subject: "O=x" }, "unmapped"],
    ["one with two names", { subject: "CN=a, CN=b" }, "unmapped"],
    ["one of an id beyond its pattern", { subject: "CN=other-1" }, "pattern"],
  ])("does not bring a device whose certificate is %s", async (_, change, reason) => {
    const { issuer } = await registered({ devicePattern: "in-*" });
    const forged = await device(issuer, "CN=in-1", change as never);
    expect(await knock(clientOf(forged, issuer))).toBe(reason);
    if (reason === "malformed") return;
    const [refusal] = await stage.refusals();
    expect(refusal?.details).toMatchObject({ reason, via: "registered-authority" });
  });

  it("does not bring a device under another authority's name", async () => {
    const { issuer } = await registered();
    const impostor = await authority(issuer.certificate.subject);
    const forged = await device(impostor, "CN=imp");
    expect(await knock(clientOf(forged, impostor))).toBe("malformed");
  });

  it("does not make its devices of those that were enrolled otherwise", async () => {
    await stage.device("mine");
    const { issuer } = await registered();
    const thief = clientOf(await device(issuer, "CN=mine"), issuer);
    expect(await knock(thief)).toBe("enrolled");
    const { issuer: other } = await registered();
    const first = clientOf(await device(issuer, "CN=first"), issuer);
    expect(await knock(first)).toBe(404);
    expect(await knock(clientOf(await device(other, "CN=first"), other))).toBe("enrolled");
    const renewed = clientOf(await device(issuer, "CN=first"), issuer);
    expect(await knock(renewed)).toBe(404);
  });

  it("stops at the number of devices that it may bring, and at revoked ones", async () => {
    const { issuer } = await registered({ maxDevices: 1 });
    const one = clientOf(await device(issuer, "CN=one-1"), issuer);
    expect(await knock(one)).toBe(404);
    expect(await knock(clientOf(await device(issuer, "CN=one-2"), issuer))).toBe("used-up");
    await stage.identity.revoke("acme", { deviceId: "one-1" }, "stolen", SYSTEM_ACTOR);
    expect(await knock(one)).toBe("revoked");
    expect(await knock(clientOf(await device(issuer, "CN=one-1"), issuer))).toBe("revoked");
  });

  it("leaves it to a person or to the list where its policy says so", async () => {
    const { issuer } = await registered({ approval: "pending" });
    const waiting = clientOf(await device(issuer, "CN=asks"), issuer);
    expect(await knock(waiting)).toBe("pending");
    expect(await knock(waiting)).toBe("pending");
    const { pendingEnrolments, preauthorised } = stage.identity;
    const [asked] = await pendingEnrolments.list("acme", "pending");
    expect(asked).toMatchObject({ deviceId: "asks", authority: "registered-authority" });
    await pendingEnrolments.accept("acme", asked?.id as string, SYSTEM_ACTOR);
    expect(await knock(waiting)).toBe(404);

    const { issuer: strict } = await registered({ approval: "preauthorised" });
    const listed = await device(strict, "CN=listed-x");
    expect(await knock(clientOf(listed))).toBe("not-listed");
    const entry = { deviceId: "listed-x", product: "p", hardwareRevision: "r" };
    const wrong = { ...entry, publicKeySha256: "0".repeat(64) };
    await preauthorised.add("acme", [wrong], SYSTEM_ACTOR);
    expect(await knock(clientOf(listed))).toBe("key-not-listed");
    const spki = new X509Certificate(listed.certificatePem).publicKey.export({
      type: "spki",
      format: "der",
    });
    const publicKeySha256 = createHash("sha256").update(spki).digest("hex");
    await preauthorised.add("acme", [{ ...entry, publicKeySha256 }], SYSTEM_ACTOR);
    expect(await knock(clientOf(listed))).toBe(404);
  });

  it("is believed no more once it is disabled, and its devices are told of to the gateways", async () => {
    const { issuer, id } = await registered();
    const client = clientOf(await device(issuer, "CN=leaver"), issuer);
    expect(await knock(client)).toBe(404);
    const heard: unknown[] = [];
    const stop = stage.identity.onStandingChanged((change) => heard.push(change));
    await expect(
      stage.identity.registeredAuthorities.disable("globex", id, SYSTEM_ACTOR),
    ).rejects.toMatchObject({ code: "not-found" });
    await stage.identity.registeredAuthorities.disable("acme", id, SYSTEM_ACTOR);
    expect(await knock(client)).toBe("malformed");
    expect(heard).toContainEqual({ kind: "revoked", tenantId: "acme", deviceId: "leaver" });
    stop();
  });

  it("may be one for claims, whose certificates enrol and are no devices", async () => {
    const { issuer, id } = await registered({ purpose: "claims" });
    const line = clientOf(await device(issuer, "CN=line 4"), issuer);
    const ask = (deviceId: string) =>
      stage.est("simpleenroll", requestFor(newKey(), { deviceId }), line);
    expect((await ask("cl-1")).status).toBe(403);
    const { claimCertificates } = stage.identity;
    const claim = { ...stage.claim({ maxUses: 1 }), authorityId: id };
    await claimCertificates.createForAuthority("acme", claim, SYSTEM_ACTOR);
    const answer = await ask("cl-1");
    expect(answer.status, answer.text).toBe(200);
    expect((await ask("cl-2")).text).toContain("as often");
    expect(await knock(line)).toBe("malformed");
    const elsewhere = claimCertificates.createForAuthority("globex", claim, SYSTEM_ACTOR);
    await expect(elsewhere).rejects.toMatchObject({ code: "not-found" });
  });
});
