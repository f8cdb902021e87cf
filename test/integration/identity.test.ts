import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { once } from "node:events";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import {
  createIdentity,
  type DevicePeer,
  type Enrolment,
  type EnrolmentAuthority,
  type Identity,
} from "../../src/identity/index.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type ForgedCertificate, forge, newKey, pemOf, stolenAuthority } from "../support/pki.ts";

const TRUST_DOMAIN = "devices.vautn.internal";
const CLIENT = "1.3.6.1.5.5.7.3.2";
const SERVER = "1.3.6.1.5.5.7.3.1";
const DAY_MS = 86_400_000;
const sealer = createSealer(Buffer.alloc(32, 1));

describe("identity", () => {
  let test: TestDatabase;
  let identity: Identity;
  let tenancy: Tenancy;
  let rootPem: string;
  let next = 0;

  const later = (offsetMs: number): Clock => ({ ...systemClock, now: () => Date.now() + offsetMs });

  function instance(options: { clock?: Clock; bus?: LocalBus; trustDomain?: string } = {}) {
    const clock = options.clock ?? systemClock;
    const ownTenancy = createTenancy({ db: test.db, clock });
    const own = createIdentity({
      db: test.db,
      clock,
      sealer,
      bus: options.bus ?? new LocalBus(),
      tenancy: ownTenancy,
      trustDomain: options.trustDomain ?? TRUST_DOMAIN,
      publicHost: "fleet.example.com",
      logger: createLogger({ level: "silent" }),
    });
    return { identity: own, tenancy: ownTenancy };
  }

  beforeAll(async () => {
    test = await createTestDatabase();
    ({ identity, tenancy } = instance());
    await identity.ensurePlatform();
    tenancy.onTenantCreated((id) => identity.ensureTenantAuthority(id));
    for (const id of ["acme", "globex"])
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    rootPem = await identity.rootCertificatePem();
  });
  afterAll(() => test.close());

  function request(tenantId: string, deviceId: string, privateKey: KeyObject) {
    return createCertificateRequest({
      privateKey,
      commonName: `${tenantId}/${deviceId}`,
      organization: tenantId,
    });
  }

  interface Device extends Enrolment {
    key: KeyObject;
  }

  async function enroll(
    deviceId: string,
    authority: EnrolmentAuthority = { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
    options: { by?: Identity; key?: KeyObject; tenantId?: string } = {},
  ): Promise<Device> {
    const { by = identity, key = newKey(), tenantId = "acme" } = options;
    const enrolment = await by.enroll({
      tenantId,
      csr: request(tenantId, deviceId, key),
      via: "test",
      authority,
      device: { product: "hub", hardwareRevision: "a" },
    });
    return { ...enrolment, key };
  }

  /** What the check says of a client over a real handshake: the peer or the reason. */
  async function present(
    client: { key: string; cert: string },
    by: Identity = identity,
  ): Promise<DevicePeer | string> {
    const { keyPem, certificatePem } = await by.serverCredentials();
    const server = tls.createServer({
      key: keyPem,
      cert: certificatePem,
      ca: rootPem,
      requestCert: true,
      rejectUnauthorized: false,
    });
    const answer = new Promise<DevicePeer | string>((resolve) => {
      server.on("secureConnection", (socket) => {
        by.authenticatePeer(socket)
          .catch((error) => String(error.details?.reason ?? error))
          .then((verdict) => {
            resolve(verdict);
            socket.end();
          });
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const socket = tls.connect({
      ...client,
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: rootPem,
      // Some clocks of these tests are months ahead of the server's certificate.
      checkServerIdentity: () => undefined,
      rejectUnauthorized: false,
    });
    socket.resume();
    await once(socket, "close");
    server.close();
    return answer;
  }
  const presentDevice = (device: Device, by?: Identity) =>
    present({ key: pemOf(device.key), cert: device.chainPem }, by);

  /** A tenant's authority in the hands of an attacker. */
  async function stolen(tenantId: string): Promise<ForgedCertificate> {
    const row = await test.db.tenant(tenantId, (tx) =>
      tx.selectFrom("certificate_authorities").selectAll().executeTakeFirstOrThrow(),
    );
    const context = `certificate-authority:${tenantId}:${row.id}`;
    const key = sealer.open(row.private_key_sealed as Buffer, context);
    const privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
    return stolenAuthority(row.certificate_pem, privateKey);
  }
  const uriOf = (tenantId: string, deviceId: string) =>
    `spiffe://${tenantId}.${TRUST_DOMAIN}/device/${deviceId}`;

  describe("what an attacker presents", () => {
    const good = {
      subject: "O=acme, CN=acme/d-1",
      uris: [uriOf("acme", "d-1")],
      usage: [CLIENT],
    };
    it.each([
      ["one that the stolen authority made and the registry never saw", {}, "unknown"],
      ["the URI of another tenant", { uris: [uriOf("globex", "d-1")] }, "malformed"],
      [
        "the URI and subject of another tenant",
        { uris: [uriOf("globex", "d-1")], subject: "O=globex, CN=globex/d-1" },
        "foreign-ca",
      ],
      ["the subject of another tenant", { subject: "O=globex, CN=globex/d-1" }, "malformed"],
      ["the subject of another device", { subject: "O=acme, CN=acme/d-2" }, "malformed"],
      ["two URIs", { uris: [uriOf("acme", "d-1"), uriOf("acme", "d-2")] }, "malformed"],
      ["a DNS name beside the URI", { dns: ["localhost"] }, "malformed"],
      ["no URI", { uris: [] }, "malformed"],
      ["a foreign trust domain", { uris: ["spiffe://acme.example.com/device/d-1"] }, "malformed"],
      ["a longer path", { uris: [`${uriOf("acme", "d-1")}/x`] }, "malformed"],
      ["the usage of a server", { usage: [SERVER] }, "wrong-usage"],
      ["no usage", { usage: undefined }, "wrong-usage"],
      ["an authority's certificate", { authority: true }, "wrong-usage"],
      ["one that has expired", { notAfter: new Date(Date.now() - 1_000) }, "expired"],
      ["one of tomorrow", { notBefore: new Date(Date.now() + DAY_MS / 48) }, "not-yet-valid"],
    ])("refuses %s", async (_, change, reason) => {
      const issuer = await stolen("acme");
      const forged = await forge({ ...good, issuer, ...change } as never);
      const cert = forged.certificatePem + issuer.certificatePem;
      expect(await present({ key: forged.keyPem, cert })).toBe(reason);
    });

    it("refuses a self-signed certificate with a perfect name", async () => {
      const forged = await forge(good);
      expect(await present({ key: forged.keyPem, cert: forged.certificatePem })).toBe("foreign-ca");
    });

    it("refuses a foreign authority that bears the tenant's authority's name", async () => {
      const real = await stolen("acme");
      const issuer = await forge({ subject: real.certificate.subject, authority: true });
      const forged = await forge({ ...good, issuer });
      const cert = forged.certificatePem + issuer.certificatePem;
      expect(await present({ key: forged.keyPem, cert })).toBe("foreign-ca");
    });

    it("refuses the tenant's own authority as a client", async () => {
      const authority = await stolen("acme");
      const client = { key: authority.keyPem, cert: authority.certificatePem };
      expect(await present(client)).toBe("wrong-usage");
    });

    it("refuses the platform's own server certificate as a client", async () => {
      const { keyPem, certificatePem } = await identity.serverCredentials();
      expect(await present({ key: keyPem, cert: certificatePem })).toBe("malformed");
    });

    it("lets in whom all of this is not true of", async () => {
      const device = await enroll("d-1");
      expect(await presentDevice(device)).toMatchObject({ tenantId: "acme", deviceId: "d-1" });
    });
  });

  describe("the life of a certificate", () => {
    it("ends by the platform's clock", async () => {
      const device = await enroll("ends");
      expect(await presentDevice(device, instance({ clock: later(89 * DAY_MS) }).identity)).toEqual(
        expect.objectContaining({ deviceId: "ends" }),
      );
      const after = instance({ clock: later(90 * DAY_MS) }).identity;
      expect(await presentDevice(device, after)).toBe("expired");
    });

    it("goes on until a day after its successor was first used", async () => {
      const old = await enroll("rotates");
      const peer = (await presentDevice(old)) as DevicePeer;
      const renewed = await enroll("rotates", { kind: "certificate", peer }, {});
      const hour = later(3_600_000);
      const inAnHour = instance({ clock: hour }).identity;
      expect(await presentDevice(old, inAnHour)).toMatchObject({ serial: old.serial });
      expect(await presentDevice(renewed, inAnHour)).toMatchObject({ serial: renewed.serial });
      const [, before] = await identity.certificates("acme", "rotates");
      expect(before).toMatchObject({ serial: old.serial, status: "superseded" });
      const sameDay = instance({ clock: later(DAY_MS) }).identity;
      expect(await presentDevice(old, sameDay)).toMatchObject({ serial: old.serial });
      const nextDay = instance({ clock: later(DAY_MS + 3_700_000) }).identity;
      expect(await presentDevice(old, nextDay)).toBe("revoked");
      expect(await presentDevice(renewed, nextDay)).toMatchObject({ serial: renewed.serial });
    });

    it("renews for the device that it names and for no other", async () => {
      const peer = (await presentDevice(await enroll("renews"))) as DevicePeer;
      const authority: EnrolmentAuthority = { kind: "certificate", peer };
      await expect(enroll("victim", authority)).rejects.toMatchObject({ code: "csr-invalid" });
      const elsewhere = enroll("renews", authority, { tenantId: "globex" });
      await expect(elsewhere).rejects.toMatchObject({ code: "csr-invalid" });
      await identity.revoke("acme", { serial: peer.serial }, "test", SYSTEM_ACTOR);
      const late = enroll("renews", authority);
      await expect(late).rejects.toMatchObject({ code: "certificate-refused" });
      const { items } = await tenancy.audit.list("acme", {
        filters: { action: "device.enroll", outcome: "refused", targetId: "victim" },
      });
      expect(items).toHaveLength(1);
    });

    it("leaves no more than three accepted at a time", async () => {
      for (let index = 0; index < 6; index += 1) await enroll("many");
      const all = await identity.certificates("acme", "many");
      expect(all.filter((one) => one.status === "active")).toHaveLength(3);
    });

    it("refuses one key for two devices, and the key of a revoked certificate", async () => {
      const key = newKey();
      const { serial } = await enroll("first", undefined, { key });
      const second = enroll("second", undefined, { key });
      await expect(second).rejects.toMatchObject({ details: { reason: "key-in-use" } });
      await identity.revoke("acme", { serial }, "lost", SYSTEM_ACTOR);
      const again = enroll("first", undefined, { key });
      await expect(again).rejects.toMatchObject({ details: { reason: "key-revoked" } });
    });

    it("tells other processes of a revocation, and which certificate it was", async () => {
      const there = new LocalBus();
      const here = new LocalBus((subject, message) => there.deliver(subject, message));
      const other = instance({ bus: there }).identity;
      const own = instance({ bus: here }).identity;
      const device = await enroll("remote");
      await presentDevice(device, other);
      await presentDevice(device, other);
      const heard = new Promise((resolve) => other.onStandingChanged(resolve));
      await own.revoke("acme", { serial: device.serial }, "test", SYSTEM_ACTOR);
      expect(await heard).toEqual({
        kind: "revoked",
        tenantId: "acme",
        deviceId: "remote",
        serial: device.serial,
      });
      expect(await presentDevice(device, other)).toBe("revoked");
    });

    it("refuses to revoke what another tenant has", async () => {
      const { serial } = await enroll("not-yours");
      for (const what of [{ serial }, { deviceId: "not-yours" }]) {
        const revoke = identity.revoke("globex", what, "theft", SYSTEM_ACTOR);
        await expect(revoke).rejects.toMatchObject({ code: "not-found" });
      }
      expect(await identity.certificates("globex", "not-yours")).toEqual([]);
    });
  });

  describe("claim tokens", () => {
    async function token(change: object = {}, tenantId = "acme") {
      next += 1;
      return identity.claimTokens.create(
        tenantId,
        {
          name: `line ${next}`,
          devicePattern: `c${next}-*`,
          product: "hub",
          hardwareRevision: "b",
          tags: { site: "berlin" },
          maxUses: 2,
          expiresAt: new Date(Date.now() + 60_000),
          ...change,
        },
        SYSTEM_ACTOR,
      );
    }
    const claim = (secret: string, deviceId: string, options: object = {}) =>
      enroll(deviceId, { kind: "claim", token: secret }, options);
    const refusedFor = (reason: string) => ({ code: "claim-refused", details: { reason } });
    const unknown = { code: "invalid-credentials", details: { reason: "unknown" } };
    const usesOf = async (id: string) =>
      (await identity.claimTokens.list("acme")).find((one) => one.id === id)?.usedCount;

    it("are counted right when many use one at once", async () => {
      const { id, token: secret } = await token({ maxUses: 3 });
      const claims = Array.from({ length: 10 }, (_, index) => claim(secret, `c${next}-${index}`));
      const outcomes = await Promise.allSettled(claims);
      expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(3);
      for (const one of outcomes) {
        if (one.status === "rejected") expect(one.reason).toMatchObject(refusedFor("used-up"));
      }
      expect(await usesOf(id)).toBe(3);
      const registered = await test.db.tenant("acme", (tx) =>
        tx.selectFrom("devices").select("tags").where("id", "like", `c${next}-%`).execute(),
      );
      expect(registered).toEqual(Array(3).fill({ tags: { site: "berlin" } }));
    });

    it("are refused when expired, revoked, of another tenant, or unknown", async () => {
      const { id, token: secret } = await token();
      const late = instance({ clock: later(61_000) }).identity;
      const tooLate = claim(secret, `c${next}-1`, { by: late });
      await expect(tooLate).rejects.toMatchObject(refusedFor("expired"));
      const foreign = claim(secret, `c${next}-1`, { tenantId: "globex" });
      await expect(foreign).rejects.toMatchObject(unknown);
      const guess = claim("vct_guess", `c${next}-1`);
      await expect(guess).rejects.toMatchObject(unknown);
      await identity.claimTokens.revoke("acme", id, SYSTEM_ACTOR);
      await expect(claim(secret, `c${next}-1`)).rejects.toMatchObject(refusedFor("revoked"));
      expect(await usesOf(id)).toBe(0);
    });

    it("do not make anyone a device that is enrolled, even one still in its box", async () => {
      const { id, token: secret } = await token({ maxUses: 10 });
      const boxed = await claim(secret, `c${next}-1`);
      await expect(claim(secret, `c${next}-1`)).rejects.toMatchObject(refusedFor("enrolled"));
      expect(await usesOf(id)).toBe(1);
      expect(await presentDevice(boxed)).toMatchObject({ deviceId: `c${next}-1` });
    });

    it("make one of those who want to be a device at the same moment into it, and no second", async () => {
      const deviceId = "wanted-by-many";
      const wide = { devicePattern: "wanted-*", maxUses: 20 };
      const [one, two] = [await token(wide), await token(wide)];
      const asked = Array.from({ length: 10 }, (_, index) =>
        claim((index % 2 === 0 ? one : two).token, deviceId),
      );
      const outcomes = await Promise.allSettled(asked);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected")
          expect(outcome.reason).toMatchObject(refusedFor("enrolled"));
      }
      expect(((await usesOf(one.id)) ?? 0) + ((await usesOf(two.id)) ?? 0)).toBe(1);
      expect(await identity.certificates("acme", deviceId)).toHaveLength(1);
    });

    it("give the holder of the same key another certificate while the first is unused", async () => {
      const { id, token: secret } = await token({ maxUses: 1 });
      const key = newKey();
      await claim(secret, `c${next}-1`, { key });
      const again = await claim(secret, `c${next}-1`, { key });
      expect(await usesOf(id)).toBe(1);
      expect(await presentDevice(again)).toMatchObject({ serial: again.serial });
      const used = claim(secret, `c${next}-1`, { key });
      await expect(used).rejects.toMatchObject({ code: "claim-refused" });
    });

    it("do not bring a revoked device back", async () => {
      const { token: secret } = await token({ maxUses: 5 });
      await claim(secret, `c${next}-1`);
      await identity.revoke("acme", { deviceId: `c${next}-1` }, "stolen", SYSTEM_ACTOR);
      const back = claim(secret, `c${next}-1`);
      await expect(back).rejects.toMatchObject({ code: "claim-refused" });
      await expect(enroll(`c${next}-1`)).rejects.toMatchObject(refusedFor("device-revoked"));
    });

    it("leave a record when refused, bounded, and none of strangers' guesses", async () => {
      const { token: secret } = await token({ devicePattern: "nobody" }, "globex");
      const knock = (value: string) =>
        claim(value, "other", { tenantId: "globex" }).catch(() => undefined);
      const filters = { action: "device.enroll", outcome: "refused" as const };
      const count = async () => (await tenancy.audit.list("globex", { filters })).items.length;
      const before = await count();
      for (let index = 0; index < 5; index += 1) await knock("vct_stranger");
      expect(await count()).toBe(before);
      for (let index = 0; index < 40; index += 1) await knock(secret);
      expect((await count()) - before).toBe(30);
      expect(await tenancy.audit.verify("globex")).toMatchObject({ intact: true });
    });

    it("stop at the tenant's number of devices", async () => {
      await tenancy.tenants.create(
        { id: "small", name: "S", settings: { maxDevices: 1 } },
        SYSTEM_ACTOR,
      );
      await enroll("one", undefined, { tenantId: "small" });
      const two = enroll("two", undefined, { tenantId: "small" });
      await expect(two).rejects.toMatchObject({ code: "quota-exceeded" });
      await expect(enroll("one", undefined, { tenantId: "small" })).resolves.toBeDefined();
    });
  });

  describe("tenants and authorities", () => {
    it("refuses a suspended tenant's devices, and tells the gateways of each", async () => {
      await tenancy.tenants.create({ id: "late-payer", name: "L" }, SYSTEM_ACTOR);
      const device = await enroll("d", undefined, { tenantId: "late-payer" });
      await presentDevice(device);
      await presentDevice(device);
      const heard = new Promise((resolve) => identity.onStandingChanged(resolve));
      await tenancy.tenants.setStatus("late-payer", "suspended", SYSTEM_ACTOR);
      expect(await heard).toEqual({ kind: "suspended", tenantId: "late-payer" });
      expect(await presentDevice(device)).toBe("suspended");
      const more = enroll("e", undefined, { tenantId: "late-payer" });
      await expect(more).rejects.toMatchObject({ code: "forbidden" });
      await tenancy.tenants.setStatus("late-payer", "active", SYSTEM_ACTOR);
      expect(await presentDevice(device)).toMatchObject({ deviceId: "d" });
    });

    it("destroys a deleted tenant's key and believes nothing of it any more", async () => {
      await tenancy.tenants.create({ id: "gone", name: "G" }, SYSTEM_ACTOR);
      const device = await enroll("d", undefined, { tenantId: "gone" });
      await tenancy.tenants.delete("gone", SYSTEM_ACTOR);
      expect(await presentDevice(device)).toBe("foreign-ca");
      const row = await test.db.tenant("gone", (tx) =>
        tx.selectFrom("certificate_authorities").selectAll().executeTakeFirst(),
      );
      expect(row).toMatchObject({ status: "revoked", private_key_sealed: null });
    });

    it("has a successor take over in time while devices of the old authority stay in", async () => {
      await tenancy.tenants.create({ id: "old", name: "O" }, SYSTEM_ACTOR);
      await tenancy.tenants.updateSettings(
        "old",
        { certificateLifetimeHours: 17_520 },
        SYSTEM_ACTOR,
      );
      const first = later(3 * 365 * DAY_MS - DAY_MS);
      const before = await enroll("d", undefined, {
        tenantId: "old",
        by: instance({ clock: first }).identity,
      });
      const future = instance({ clock: later(3 * 365 * DAY_MS + DAY_MS) }).identity;
      const after = await enroll("e", undefined, { tenantId: "old", by: future });
      expect((await future.authorityCertificates("old")).length).toBe(3);
      const issuerOf = (pem: string) => new X509Certificate(pem).issuer;
      expect(issuerOf(before.certificatePem)).not.toBe(issuerOf(after.certificatePem));
      expect(await presentDevice(before, future)).toMatchObject({ deviceId: "d" });
      expect(await presentDevice(after, future)).toMatchObject({ deviceId: "e" });
    });

    it("does not open a key that was moved to another tenant, or with another master key", async () => {
      const other = createIdentity({
        db: test.db,
        clock: systemClock,
        sealer: createSealer(Buffer.alloc(32, 2)),
        bus: new LocalBus(),
        tenancy,
        trustDomain: TRUST_DOMAIN,
        publicHost: "localhost",
        logger: createLogger({ level: "silent" }),
      });
      await expect(other.serverCredentials()).rejects.toThrow(/does not open with this master key/);
    });

    it("keeps the trust domain of the first start", async () => {
      const other = instance({ trustDomain: "other.example.com" }).identity;
      await expect(other.ensurePlatform()).rejects.toThrow(
        /trust domain is devices.vautn.internal/,
      );
    });

    it("names its public host and loopback, and renews ten days before the end", async () => {
      const early = instance().identity;
      const { certificatePem, notAfter } = await early.serverCredentials();
      const leaf = new X509Certificate(certificatePem);
      for (const host of ["fleet.example.com", "localhost"])
        expect(leaf.checkHost(host)).toBe(host);
      for (const address of ["127.0.0.1", "::1"]) expect(leaf.checkIP(address)).toBe(address);
      expect(leaf.checkHost("elsewhere.example.com")).toBeUndefined();
      expect((await early.serverCredentials()).notAfter).toEqual(notAfter);
      let offset = 0;
      const clock: Clock = { ...systemClock, now: () => Date.now() + offset };
      const aging = instance({ clock }).identity;
      const first = await aging.serverCredentials();
      offset = 21 * DAY_MS;
      expect((await aging.serverCredentials()).certificatePem).not.toBe(first.certificatePem);
    });
  });
});
