import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enrolByClaim } from "../../src/agent/index.ts";
import { membersOf, oidOf, readDer, TAG } from "../../src/kernel/der.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import {
  certificateIn,
  encryptingRequestFor,
  keyIdentifier,
  newKey,
  pemOf,
  requestFor,
  startEnrolment,
  toPemOf,
} from "../support/enrolment.ts";

import { makeKey, makeRoot } from "../support/signing.ts";

type Stage = Awaited<ReturnType<typeof startEnrolment>>;

describe("enrolment over EST", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startEnrolment();
  });
  afterAll(() => stage?.close());

  const token = (change = {}, tenant = "acme") =>
    stage.identity.claimTokens.create(tenant, stage.claim(change), SYSTEM_ACTOR);
  const sha256 = (key: ReturnType<typeof newKey>) =>
    createHash("sha256").update(publicKeyOf(key)).digest("hex");

  it("says what a request should look like", async () => {
    const answer = await stage.call("/.well-known/est/acme/csrattrs");
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      "content-type": "application/csrattrs",
      "content-transfer-encoding": "base64",
    });
    const attributes = membersOf(readDer(Buffer.from(answer.text, "base64")), TAG.sequence);
    const names = attributes.map((one) =>
      oidOf(one.tag === TAG.oid ? one : membersOf(one, TAG.sequence)[0]),
    );
    expect(names).toEqual([
      "1.2.840.10045.2.1",
      "1.2.840.10045.4.3.2",
      "1.3.101.112",
      "1.2.840.113549.1.9.16.2.61",
    ]);
    expect(Buffer.from(answer.text, "base64").includes(Buffer.from("acme"))).toBe(true);
  });

  it("works without a label where the request or the proof names the tenant", async () => {
    const root = await stage.call("/.well-known/est/cacerts");
    expect(certificateIn(root.text).subject).toContain("Vautn Root CA");
    const { token: secret } = await token();
    const key = newKey();
    const named = await stage.est("simpleenroll", requestFor(key, { deviceId: "bare" }), {
      label: "",
      token: secret,
    });
    expect(named.status, named.text).toBe(200);
    const device = await stage.device("bare-2");
    const renewed = await stage.est(
      "simplereenroll",
      requestFor(newKey(), { deviceId: "bare-2" }),
      {
        label: "",
        ...device,
      },
    );
    expect(renewed.status, renewed.text).toBe(200);
    const nameless = createCertificateRequest({
      privateKey: newKey(),
      commonName: "x",
      organization: "acme",
    });
    const answer = await stage.est("simpleenroll", nameless.toString("base64"), {
      label: "",
      token: secret,
    });
    expect(answer.status, answer.text).toBe(200);
  });

  it("enrols by the current certificate, for that device alone", async () => {
    const device = await stage.device("cur");
    const same = await stage.est("simpleenroll", requestFor(newKey(), { deviceId: "cur" }), device);
    expect(same.status, same.text).toBe(200);
    const other = await stage.est(
      "simpleenroll",
      requestFor(newKey(), { deviceId: "oth" }),
      device,
    );
    expect(other.status).toBe(400);
    expect(other.text).toContain("step: name");
    const elsewhere = await stage.est("simpleenroll", requestFor(newKey()), {
      ...device,
      label: "globex",
    });
    expect(elsewhere.status).toBe(404);
  });

  describe("with a claim certificate", () => {
    const certificate = async (change = {}) => {
      const claim = stage.claim(change);
      const made = await stage.identity.claimCertificates.create("acme", claim, SYSTEM_ACTOR);
      return { id: made.id, key: made.keyPem as string, cert: made.chainPem };
    };

    it("enrols as many as it may, of ids that it may, and becomes no device itself", async () => {
      const line = await certificate({ devicePattern: "line-*", maxUses: 2 });
      const { id: _, ...client } = line;
      for (const deviceId of ["line-1", "line-2"]) {
        const answer = await stage.est("simpleenroll", requestFor(newKey(), { deviceId }), client);
        expect(answer.status, answer.text).toBe(200);
        expect(certificateIn(answer.text).subject).toBe(`O=acme\nCN=acme/${deviceId}`);
      }
      const third = await stage.est(
        "simpleenroll",
        requestFor(newKey(), { deviceId: "line-3" }),
        client,
      );
      expect([third.status, third.text]).toEqual([403, expect.stringContaining("as often")]);
      const foreign = await stage.est(
        "simpleenroll",
        requestFor(newKey(), { deviceId: "other" }),
        client,
      );
      expect(foreign.status).toBe(403);
      const artifact = await stage.call(`/artifacts/${"0".repeat(64)}`, client);
      expect(artifact.status).toBe(403);
      const renewal = await stage.est("simplereenroll", requestFor(newKey()), client);
      expect(renewal.status).toBe(403);
      const globex = await stage.est("simpleenroll", requestFor(newKey()), {
        ...client,
        label: "globex",
      });
      expect(globex.status).toBe(404);
    });

    it("ends with its time and with its revocation", async () => {
      const { id, ...client } = await certificate({
        expiresAt: new Date(stage.clock.now() + 60_000),
      });
      const ask = () =>
        stage.est("simpleenroll", requestFor(newKey(), { deviceId: "late" }), client);
      stage.wait(61_000);
      expect((await ask()).status).toBe(403);
      const { id: second, ...other } = await certificate();
      await stage.identity.claimTokens.revoke("acme", second, SYSTEM_ACTOR);
      const revoked = await stage.est(
        "simpleenroll",
        requestFor(newKey(), { deviceId: "l" }),
        other,
      );
      expect([revoked.status, revoked.text]).toEqual([403, expect.stringContaining("revoked")]);
      expect(id).not.toBe(second);
    });

    it("may keep its key at the factory", async () => {
      const key = newKey();
      const claim = { ...stage.claim(), csr: requestFor(key) };
      const made = await stage.identity.claimCertificates.create("acme", claim, SYSTEM_ACTOR);
      expect(made.keyPem).toBeUndefined();
      const answer = await stage.est("simpleenroll", requestFor(newKey(), { deviceId: "fab" }), {
        key: pemOf(key),
        cert: made.chainPem,
      });
      expect(answer.status, answer.text).toBe(200);
    });
  });

  it("makes the key for a device that cannot, and again for the same request", async () => {
    const { token: secret } = await token({ maxUses: 1 });
    const request = requestFor(newKey(), { deviceId: "weak" });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const answer = await stage.est("serverkeygen", request, { token: secret });
      expect(answer.status, answer.text).toBe(200);
      const boundary = /^multipart\/mixed; boundary=(\S+)$/.exec(
        answer.headers["content-type"] ?? "",
      )?.[1] as string;
      const parts = answer.text.split(`--${boundary}`);
      expect(parts.at(-1)).toBe("--\r\n");
      const [key = "", certificate = ""] = parts.slice(1, 3).map((part) => {
        const [head = "", body = ""] = part.split("\r\n\r\n");
        expect(head).toContain("Content-Transfer-Encoding: base64");
        return body;
      });
      expect(parts[1]).toContain("Content-Type: application/pkcs8\r\n");
      const privateKey = createPrivateKey({
        key: Buffer.from(key, "base64"),
        format: "der",
        type: "pkcs8",
      });
      expect(certificateIn(certificate).checkPrivateKey(privateKey)).toBe(true);
    }
    const other = await stage.est("serverkeygen", requestFor(newKey(), { deviceId: "weak" }), {
      token: secret,
    });
    expect(other.status).toBe(403);
  });

  it("encrypts the key that it makes for one that the device is known to hold, and for no other", async () => {
    const stranger = keyIdentifier(newKey());
    const { key, cert } = await stage.device("sealed");
    const current = keyIdentifier(createPrivateKey(key));
    const ask = (wanted: Parameters<typeof encryptingRequestFor>[2]) =>
      stage.est("serverkeygen", encryptingRequestFor(newKey(), "sealed", wanted), { key, cert });
    const named = await ask([{ kind: "asymmetric", identifier: current }]);
    expect(named.status, named.text).toBe(200);
    expect(named.text).toContain("application/pkcs7-mime; smime-type=server-generated-key");
    expect(named.text).not.toContain("application/pkcs8");
    for (const [wanted, reason] of [
      [[{ kind: "asymmetric", identifier: stranger }], "neither the request's own nor"],
      [[{ kind: "asymmetric", identifier: Buffer.alloc(0) }], "neither the request's own nor"],
      [[{ kind: "symmetric", identifier: current }], "no secret key is shared"],
      [
        [
          { kind: "asymmetric", identifier: current },
          { kind: "symmetric", identifier: current },
        ],
        "names two keys",
      ],
    ] as const) {
      const refused = await ask(wanted);
      expect(refused.status).toBe(400);
      expect(refused.text).toContain(reason);
      expect(refused.text).not.toContain("PRIVATE KEY");
    }
    const [last] = await stage.refusals();
    expect(last).toMatchObject({ details: { reason: "encryption" } });
  });

  describe("by the list of expected devices", () => {
    const row = (deviceId: string, change = {}) => ({
      deviceId,
      product: "sensor",
      hardwareRevision: "c",
      tags: { site: "bonn" },
      ...change,
    });
    const add = (...rows: ReturnType<typeof row>[]) =>
      stage.identity.preauthorised.add("acme", rows, SYSTEM_ACTOR);

    it("lets in who is listed, with what the list says of it, and nobody else", async () => {
      const { token: secret } = await token({ approval: "preauthorised" });
      expect(await add(row("listed-1"), row("bad id"))).toEqual([
        { deviceId: "listed-1", outcome: "added" },
        { deviceId: "bad id", outcome: "refused", reason: "id" },
      ]);
      const ask = (deviceId: string) =>
        stage.est("simpleenroll", requestFor(newKey(), { deviceId }), { token: secret });
      expect((await ask("listed-1")).status).toBe(200);
      const device = await stage.database.db.tenant("acme", (tx) =>
        tx
          .selectFrom("devices")
          .select(["product", "tags"])
          .where("id", "=", "listed-1")
          .executeTakeFirst(),
      );
      expect(device).toEqual({ product: "sensor", tags: { site: "bonn" } });
      const stranger = await ask("listed-2");
      expect(stranger.status).toBe(403);
      expect(stranger.text).toContain("step: policy");
      const [refusal] = await stage.refusals();
      expect(refusal).toMatchObject({
        actor: { name: "line" },
        targetId: "listed-2",
        details: { reason: "not-listed", step: "policy" },
      });
    });

    it("takes a pinned key and no other, and the key alone suffices", async () => {
      const [key, wrong] = [newKey(), newKey()];
      await add(row("pinned", { publicKeySha256: sha256(key) }));
      const { token: secret } = await token();
      const other = await stage.est("simpleenroll", requestFor(wrong, { deviceId: "pinned" }), {
        token: secret,
      });
      expect(other.status).toBe(403);
      const unlisted = await stage.est("simpleenroll", requestFor(wrong, { deviceId: "pinned" }));
      expect([unlisted.status, unlisted.headers["www-authenticate"]]).toEqual([
        401,
        expect.stringContaining("Basic"),
      ]);
      const renamed = await stage.est("simpleenroll", requestFor(key, { deviceId: "pinned-2" }));
      expect(renamed.status).toBe(400);
      // Strangers' requests are counted; only that of the key on the list is on the tenant's record.
      for (const csr of ["x".repeat(17_000), "bm8gcmVxdWVzdA==", "?"]) {
        expect((await stage.est("simpleenroll", csr)).status).toBeGreaterThanOrEqual(400);
      }
      const byList = (await stage.refusals()).filter(({ actor }) => actor.id === "preauthorised");
      expect(byList).toMatchObject([{ targetId: "pinned-2", details: { reason: "name" } }]);
      const alone = await stage.est("simpleenroll", requestFor(key, { deviceId: "pinned" }));
      expect(alone.status, alone.text).toBe(200);
      const listed = await stage.identity.preauthorised.list("acme", {});
      expect(listed.find((one) => one.deviceId === "pinned")?.enrolledAt).toBeInstanceOf(Date);
      const twice = await add(row("thief", { publicKeySha256: sha256(key) }));
      expect(twice).toMatchObject([{ outcome: "refused", reason: "key-in-use" }]);
      const globex = await stage.est("simpleenroll", requestFor(key, { tenantId: "globex" }), {
        label: "globex",
      });
      expect(globex.status).toBe(401);
    });
  });

  describe("when a person has to accept", () => {
    it("answers 202 until one does, and then with the certificate", async () => {
      const { token: secret } = await token({ approval: "pending" });
      const key = newKey();
      const ask = () =>
        stage.est("simpleenroll", requestFor(key, { deviceId: "wait" }), { token: secret });
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const waiting = await ask();
        expect(waiting.status, waiting.text).toBe(202);
        expect(waiting.headers["retry-after"]).toBe("1");
      }
      const rival = await stage.est("simpleenroll", requestFor(newKey(), { deviceId: "wait" }), {
        token: secret,
      });
      expect(rival.status).toBe(202);
      const { pendingEnrolments } = stage.identity;
      const listed = (await pendingEnrolments.list("acme", "pending")).filter(
        (one) => one.deviceId === "wait",
      );
      expect(listed).toHaveLength(2);
      const own = listed.find((one) => one.publicKeySha256 === sha256(key));
      expect(own).toMatchObject({ authorityName: "line", cause: "policy", via: "est" });
      const id = own?.id as string;
      await expect(pendingEnrolments.accept("globex", id, SYSTEM_ACTOR)).rejects.toMatchObject({
        code: "not-found",
      });
      await pendingEnrolments.accept("acme", id, SYSTEM_ACTOR);
      const answer = await ask();
      expect(answer.status, answer.text).toBe(200);
      const rejected = await pendingEnrolments.list("acme", "rejected");
      expect(rejected.map((one) => one.deviceId)).toContain("wait");
      await expect(pendingEnrolments.accept("acme", id, SYSTEM_ACTOR)).rejects.toThrow();
    });

    it("refuses who was rejected", async () => {
      const { token: secret } = await token({ approval: "pending" });
      const key = newKey();
      const ask = () =>
        stage.est("simpleenroll", requestFor(key, { deviceId: "no" }), { token: secret });
      await ask();
      const [waiting] = await stage.identity.pendingEnrolments.list("acme", "pending");
      const { pendingEnrolments } = stage.identity;
      await pendingEnrolments.reject("acme", waiting?.id as string, "not ours", SYSTEM_ACTOR);
      const answer = await ask();
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("not ours")]);
    });
  });

  it("keeps an agent waiting until a person accepts, with one key all the time", async () => {
    const online = await stage.firmware.ensureOnlineKeys("acme");
    const root = makeRoot("acme", { root: makeKey(), release: [makeKey()] }, online);
    await stage.firmware.setTrustRoot("acme", root, SYSTEM_ACTOR);
    const { token: secret } = await token({ approval: "pending" });
    const waits: number[] = [];
    const { pendingEnrolments } = stage.identity;
    const options = {
      httpsUrl: `https://localhost:${stage.server.port}`,
      root: stage.rootPem,
      tenant: "acme",
      device: "patient",
      product: "hub",
      hardwareRevision: "a",
      claimToken: secret,
    };
    await expect(enrolByClaim(options)).rejects.toThrow("a person has to accept");
    const provisioning = await enrolByClaim({
      ...options,
      async waitForPerson(seconds) {
        waits.push(seconds);
        if (waits.length < 2) return;
        const [waiting] = await pendingEnrolments.list("acme", "pending");
        await pendingEnrolments.accept("acme", waiting?.id as string, SYSTEM_ACTOR);
      },
    });
    expect(waits).toEqual([1, 1]);
    expect(provisioning.certificate).toContain("BEGIN CERTIFICATE");
  });

  describe("with a webhook that decides", () => {
    const asked: { body: unknown; verified: boolean }[] = [];
    let secret = "";
    let reply: (response: http.ServerResponse) => void = () => {};
    let receiver: http.Server;
    let url = "";
    beforeAll(async () => {
      receiver = http.createServer(async (request, response) => {
        const body = Buffer.concat(await request.toArray()).toString();
        const verified = (() => {
          try {
            new Webhook(secret).verify(body, request.headers as Record<string, string>);
            return true;
          } catch {
            return false;
          }
        })();
        asked.push({ body: JSON.parse(body), verified });
        reply(response);
      });
      receiver.listen(0, "127.0.0.1");
      await once(receiver, "listening");
      url = `http://127.0.0.1:${(receiver.address() as { port: number }).port}/decide`;
    });
    afterAll(() => {
      receiver?.closeAllConnections();
      receiver?.close();
    });
    const claim = async (onFailure?: "refuse" | "pending") => {
      const made = await token({ webhook: { url, onFailure } });
      secret = made.webhookSecret as string;
      return made.token;
    };
    const answerWith = (decision: object) => {
      reply = (response) => response.end(JSON.stringify(decision));
    };
    const ask = (claimToken: string, deviceId: string, key = newKey()) =>
      stage.est("simpleenroll", requestFor(key, { deviceId }), { token: claimToken });

    it("asks it once, signed, and does as it says", async () => {
      const claimToken = await claim();
      answerWith({ decision: "accept", device: { product: "probe", tags: { lot: "7" } } });
      expect((await ask(claimToken, "hook-1")).status).toBe(200);
      expect(asked.at(-1)).toMatchObject({
        verified: true,
        body: {
          type: "enrolment.requested",
          data: { tenantId: "acme", deviceId: "hook-1", authority: "line", via: "est" },
        },
      });
      const device = await stage.database.db.tenant("acme", (tx) =>
        tx.selectFrom("devices").select("product").where("id", "=", "hook-1").executeTakeFirst(),
      );
      expect(device).toEqual({ product: "probe" });
      answerWith({ decision: "refuse", reason: "not built by us" });
      const refused = await ask(claimToken, "hook-2");
      expect([refused.status, refused.text]).toEqual([
        403,
        expect.stringContaining("not built by us"),
      ]);
      answerWith({ decision: "pending" });
      expect((await ask(claimToken, "hook-3")).status).toBe(202);
    });

    it("refuses or asks a person where it gives no usable answer, as the policy says", async () => {
      const strict = await claim();
      const before = asked.length;
      for (const bad of [
        (response: http.ServerResponse) => response.writeHead(500).end(),
        (response: http.ServerResponse) => response.end("not json"),
        (response: http.ServerResponse) => response.end('{"decision":"perhaps"}'),
        (response: http.ServerResponse) =>
          response.end('{"decision":"accept","device":{"product":"a\\nb"}}'),
        (response: http.ServerResponse) =>
          response.end('{"decision":"accept","device":{"tags":{"lot":"\\ud800"}}}'),
        (response: http.ServerResponse) => response.writeHead(302, { location: url }).end(),
        (response: http.ServerResponse) => response.destroy(),
      ]) {
        reply = bad;
        const answer = await ask(strict, "hook-4");
        expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("no usable")]);
      }
      expect(asked.length - before).toBe(7);
      const lenient = await claim("pending");
      expect((await ask(lenient, "hook-5")).status).toBe(202);
    });

    it("is not asked for who may not enrol anyway", async () => {
      const before = asked.length;
      const made = await token({ webhook: { url }, devicePattern: "only-*" });
      expect((await ask(made.token, "else")).status).toBe(403);
      expect(asked.length).toBe(before);
    });
  });

  describe("refuses bad input with the status of the standard and a reason on record", () => {
    it("does so for repeated keys, reused tokens and other names", async () => {
      const key = newKey();
      const { token: once } = await token({ maxUses: 1 });
      expect(
        (await stage.est("simpleenroll", requestFor(key, { deviceId: "k-1" }), { token: once }))
          .status,
      ).toBe(200);
      const reused = await stage.est("simpleenroll", requestFor(newKey(), { deviceId: "k-2" }), {
        token: once,
      });
      expect(reused.status).toBe(403);
      expect((await stage.refusals())[0]).toMatchObject({
        details: { reason: "used-up", step: "right" },
        address: expect.stringContaining("127.0.0.1"),
      });
      const { token: many } = await token();
      const repeated = await stage.est("simpleenroll", requestFor(key, { deviceId: "k-3" }), {
        token: many,
      });
      expect([repeated.status, repeated.text]).toEqual([400, expect.stringContaining("step: key")]);
      expect((await stage.refusals())[0]).toMatchObject({ details: { reason: "key-in-use" } });
      const foreign = await stage.est(
        "simpleenroll",
        requestFor(newKey(), { tenantId: "globex" }),
        {
          token: many,
        },
      );
      expect(foreign.status).toBe(400);
      expect((await stage.refusals())[0]).toMatchObject({ details: { reason: "name" } });
    });

    it("does so for weak keys, bad signatures and requests that are too large", async () => {
      const { token: many } = await token();
      const send = (body: string) => stage.est("simpleenroll", body, { token: many });
      const altered = Buffer.from(requestFor(newKey()), "base64");
      altered[altered.length - 3] = (altered.at(-3) as number) ^ 1;
      expect((await send(altered.toString("base64"))).status).toBe(400);
      expect((await stage.refusals())[0]?.details).toMatchObject({
        reason: "signature",
        step: "request",
      });
      const subject = "x".repeat(1_000_000);
      const large = createCertificateRequest({
        privateKey: newKey(),
        commonName: subject,
        organization: "acme",
      });
      expect((await send(large.toString("base64"))).status).toBe(413);
      expect((await send("MIIB")).status).toBe(400);
      expect((await send("")).status).toBe(400);
    });
  });

  it("gives a certificate that the device can use at once", async () => {
    const { token: secret } = await token();
    const { privateKey } = generateKeyPairSync("ed25519");
    const answer = await stage.est("simpleenroll", requestFor(privateKey, { deviceId: "ed" }), {
      token: secret,
    });
    expect(answer.status, answer.text).toBe(200);
    const chain = await stage.identity.authorityCertificates("acme");
    const client = {
      key: pemOf(privateKey),
      cert: [toPemOf(certificateIn(answer.text)), ...chain].join(""),
    };
    const next = await stage.est(
      "simplereenroll",
      requestFor(newKey(), { deviceId: "ed" }),
      client,
    );
    expect(next.status, next.text).toBe(200);
  });
});

function publicKeyOf(privateKey: ReturnType<typeof newKey>): Buffer {
  const request = Buffer.from(requestFor(privateKey), "base64");
  const [information] = membersOf(readDer(request), TAG.sequence);
  return membersOf(information, TAG.sequence)[2]?.raw as Buffer;
}
