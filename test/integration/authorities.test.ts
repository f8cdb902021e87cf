import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createOfflineRoot,
  crossSign,
  type OfflineRoot,
  openOfflineRoot,
  parseRequestBundle,
  signBundle,
} from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createInstallation, type Installation, TRUST_DOMAIN } from "../support/installation.ts";
import { pemOf } from "../support/pki.ts";
import { dial, echoes, listenWith, type TestListener } from "../support/tls-peers.ts";

const PASSPHRASE = "correct horse battery";
const DAY_MS = 86_400_000;
let test: TestDatabase;
const listeners: TestListener[] = [];

beforeEach(async () => {
  test = await createTestDatabase();
});
afterEach(async () => {
  for (const listener of listeners.splice(0)) listener.close();
  await test.close();
});

async function listen({ identity }: Installation): Promise<TestListener> {
  const listener = await listenWith(identity);
  listeners.push(listener);
  return listener;
}

async function addTenants({ tenancy }: Installation, ...ids: string[]): Promise<void> {
  for (const id of ids) await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
}

/** What the listener says of a device that trusts `ca`. */
async function verdictOf(
  listener: TestListener,
  device: { key: Parameters<typeof pemOf>[0]; chainPem: string },
  ca: string,
): Promise<unknown> {
  const before = listener.verdicts.length;
  const { socket } = await dial(listener, { ca, key: pemOf(device.key), cert: device.chainPem });
  await echoes(socket);
  socket.end();
  const verdict = await listener.verdicts[before];
  return typeof verdict === "string" ? verdict : verdict?.deviceId;
}

const auditedActions = async ({ tenancy }: Installation, chain: string) =>
  (await tenancy.audit.list(chain)).items.map((entry) => entry.action);

describe("an offline root", () => {
  let root: OfflineRoot;
  let installation: Installation;

  beforeEach(async () => {
    root = await createOfflineRoot({
      passphrase: PASSPHRASE,
      trustDomain: TRUST_DOMAIN,
      now: Date.now(),
    });
    installation = createInstallation(test, {
      givenRoot: { certificatePem: root.certificatePem },
    });
    await installation.identity.ensurePlatform();
    await addTenants(installation, "acme", "globex");
  });

  const bundleOf = async () =>
    parseRequestBundle(JSON.stringify(await installation.identity.pki.requests()));
  const sign = async (now = Date.now()) =>
    signBundle(await bundleOf(), openOfflineRoot(root, PASSPHRASE), now);

  it("lets the platform start without its key; tenants wait and say for what", async () => {
    const { identity } = installation;
    const { pending, authorities } = await identity.pki.hierarchy();
    expect(authorities).toMatchObject([{ kind: "root", keyKind: "offline" }]);
    expect(pending.map(({ kind, tenantId }) => [kind, tenantId])).toEqual([
      ["server", null],
      ["tenant", "acme"],
      ["tenant", "globex"],
    ]);
    await expect(installation.enroll("d-1")).rejects.toMatchObject({
      code: "authority-pending",
      message: expect.stringContaining("vautn pki request"),
      details: { retryAfterSeconds: 300 },
    });
    expect((await identity.serverCredentials()).isProvisional).toBe(true);
  });

  it("signs a bundle, after which listeners and devices work without a restart", async () => {
    const { identity } = installation;
    const listener = await listen(installation);
    await expect(dial(listener, { ca: root.certificatePem })).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO|CERT/),
    });
    await identity.pki.importSigned(await sign(), SYSTEM_ACTOR);
    await listener.reload();
    const device = await installation.enroll("d-1");
    expect(device.rootPem).toBe(root.certificatePem);
    expect(await verdictOf(listener, device, device.rootPem)).toBe("d-1");
    expect((await identity.pki.hierarchy()).pending).toEqual([]);
    expect(await auditedActions(installation, "acme")).toContain("authority.import");
    expect(await auditedActions(installation, "_platform")).toContain("authority.import");
  });

  it("is asked once for what it has been asked, and answers once", async () => {
    const { identity } = installation;
    const first = await bundleOf();
    await identity.ensureTenantAuthority("acme");
    await identity.ensurePlatform();
    expect((await bundleOf()).requests).toEqual(first.requests);
    const signed = await sign();
    await identity.pki.importSigned(signed, SYSTEM_ACTOR);
    await expect(identity.pki.importSigned(signed, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "conflict",
    });
  });

  it("refuses bundles for another root or trust domain, and requests that are not signed", async () => {
    const bundle = await bundleOf();
    const at = openOfflineRoot(root, PASSPHRASE);
    const [first] = bundle.requests;
    const lines = (first?.csr ?? "").split("\n");
    const csr = lines.with(-4, (lines.at(-4) ?? "").replace(/.{8}$/, "AAAAAAAA")).join("\n");
    for (const [changed, message] of [
      [{ rootFingerprint: "00" }, "another root"],
      [{ trustDomain: "evil.example" }, "trust domain"],
      [{ requests: [{ ...first, csr }] }, "request of"],
      [{ requests: [first, { ...first, id: "again" }] }, "same key"],
    ] as const) {
      const altered = { ...bundle, ...changed } as typeof bundle;
      await expect(signBundle(altered, at, Date.now())).rejects.toThrow(message);
    }
    expect(() => parseRequestBundle("{}")).toThrow("format");
    expect(() => parseRequestBundle("nonsense")).toThrow("JSON");
    const strange = { ...bundle, requests: [{ ...first, kind: "root" }] };
    expect(() => parseRequestBundle(JSON.stringify(strange))).toThrow("damaged");
    expect(() => openOfflineRoot(root, "something else")).toThrow("passphrase is wrong");
  });

  it("takes over all of a signed bundle or nothing, and only what was asked for", async () => {
    const { identity } = installation;
    const bundle = await bundleOf();
    const at = openOfflineRoot(root, PASSPHRASE);
    const swapped = bundle.requests.map((request) => {
      if (request.tenantId === "acme") return { ...request, tenantId: "globex" };
      return request.tenantId === "globex" ? { ...request, tenantId: "acme" } : request;
    });
    const crossed = await signBundle({ ...bundle, requests: swapped }, at, Date.now());
    await expect(identity.pki.importSigned(crossed, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "invalid-content",
      details: { part: "subject" },
    });
    const other = await createOfflineRoot({
      passphrase: PASSPHRASE,
      trustDomain: TRUST_DOMAIN,
      now: Date.now(),
    });
    const foreign = new X509Certificate(other.certificatePem).fingerprint256
      .replaceAll(":", "")
      .toLowerCase();
    const byOther = await signBundle(
      { ...bundle, rootFingerprint: foreign },
      openOfflineRoot(other, PASSPHRASE),
      Date.now(),
    );
    await expect(identity.pki.importSigned(byOther, SYSTEM_ACTOR)).rejects.toThrow("another root");
    const relabelled = { ...byOther, rootFingerprint: bundle.rootFingerprint };
    await expect(identity.pki.importSigned(relabelled, SYSTEM_ACTOR)).rejects.toThrow(
      "not signed by",
    );
    const early = await sign(Date.now() + DAY_MS);
    await expect(identity.pki.importSigned(early, SYSTEM_ACTOR)).rejects.toThrow("clock");
    expect((await bundleOf()).requests).toEqual(bundle.requests);
    await identity.pki.importSigned(await sign(), SYSTEM_ACTOR);
  });

  it("is the root of the installation: another one is not taken in passing", async () => {
    const other = await createOfflineRoot({
      passphrase: PASSPHRASE,
      trustDomain: TRUST_DOMAIN,
      now: Date.now(),
    });
    const changed = createInstallation(test, {
      givenRoot: { certificatePem: other.certificatePem },
    });
    await expect(changed.identity.ensurePlatform()).rejects.toThrow("VAUTN_ROOT names another");
  });

  it("gives way to its successor by a cross-certificate", async () => {
    const { identity } = installation;
    await identity.pki.importSigned(await sign(), SYSTEM_ACTOR);
    const device = await installation.enroll("d-1");
    const next = await createOfflineRoot({
      passphrase: PASSPHRASE,
      trustDomain: TRUST_DOMAIN,
      now: Date.now(),
    });
    const cross = await crossSign(
      openOfflineRoot(root, PASSPHRASE),
      next.certificatePem,
      Date.now(),
    );
    const { certificatePem } = next;
    await expect(
      identity.pki.rotateRoot(
        { certificatePem, crossCertificatePem: certificatePem },
        SYSTEM_ACTOR,
      ),
    ).rejects.toThrow("cross-certificate");
    await identity.pki.rotateRoot({ certificatePem, crossCertificatePem: cross }, SYSTEM_ACTOR);
    const listener = await listen(installation);
    // Nothing is signed by the new root yet: all goes on as it was.
    expect(await verdictOf(listener, device, root.certificatePem)).toBe("d-1");
    // The setting that names the old one does not keep the next start from happening.
    const again = createInstallation(test, { givenRoot: { certificatePem: root.certificatePem } });
    await again.identity.ensurePlatform();
    const bundle = await bundleOf();
    expect(bundle.requests.map(({ kind }) => kind)).toEqual(["server"]);
    const signed = await signBundle(bundle, openOfflineRoot(next, PASSPHRASE), Date.now());
    await identity.pki.importSigned(signed, SYSTEM_ACTOR);
    await listener.reload();
    for (const ca of [root.certificatePem, next.certificatePem]) {
      expect(await verdictOf(listener, device, ca)).toBe("d-1");
    }
  });
});

describe("a rotation of authorities", () => {
  let installation: Installation;
  let listener: TestListener;

  beforeEach(async () => {
    installation = createInstallation(test);
    await installation.identity.ensurePlatform();
    await addTenants(installation, "acme", "globex");
    listener = await listen(installation);
  });

  const retiring = async (tenantId: string | null) => {
    const { authorities } = await installation.identity.pki.hierarchy();
    const found = authorities.find((one) => one.tenantId === tenantId && one.status === "retiring");
    return found?.id ?? "";
  };

  it("of a tenant keeps devices of the old authority connected until it is ended by force", async () => {
    const { identity } = installation;
    const heard: unknown[] = [];
    identity.onAuthorityChanged((event) => heard.push(event));
    const old = await installation.enroll("d-old");
    const live = await dial(listener, {
      ca: old.rootPem,
      key: pemOf(old.key),
      cert: old.chainPem,
    });
    await identity.pki.rotate(
      { kind: "tenant", tenantId: "acme" },
      { kind: "sealed" },
      SYSTEM_ACTOR,
    );
    const fresh = await installation.enroll("d-new");
    const issuerOf = (pem: string) => new X509Certificate(pem).issuer;
    expect(issuerOf(fresh.certificatePem)).not.toBe(issuerOf(old.certificatePem));
    for (const device of [old, fresh]) {
      expect(await verdictOf(listener, device, device.rootPem)).toBe(device.deviceId);
    }
    expect(await echoes(live.socket)).toBe(true);
    live.socket.end();
    expect(await identity.authorityCertificates("acme")).toHaveLength(3);
    expect(heard).toContainEqual({ tenantId: "acme", kind: "tenant" });

    const { pki } = identity;
    const id = await retiring("acme");
    await expect(pki.end("acme", id, { force: false }, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "authority-in-use",
      details: { liveCertificates: 1 },
    });
    expect(await verdictOf(listener, old, old.rootPem)).toBe("d-old");
    const told = new Promise((resolve) => identity.onStandingChanged(resolve));
    expect(await pki.end("acme", id, { force: true }, SYSTEM_ACTOR)).toEqual({ cutOff: 1 });
    expect(await told).toMatchObject({ tenantId: "acme", deviceId: "d-old", kind: "revoked" });
    expect(await verdictOf(listener, old, old.rootPem)).toBe("foreign-ca");
    expect(await verdictOf(listener, fresh, fresh.rootPem)).toBe("d-new");
    const actions = await auditedActions(installation, "acme");
    expect(actions).toEqual(expect.arrayContaining(["authority.rotate", "authority.end"]));
  });

  it("of a tenant ends without force once every device has renewed, and never while it issues", async () => {
    const { pki } = installation.identity;
    const { authorities } = await pki.ofTenant("acme");
    const active = authorities.find((one) => one.kind === "tenant")?.id ?? "";
    await expect(pki.end("acme", active, { force: true }, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "conflict",
    });
    await expect(pki.end("globex", active, { force: true }, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "not-found",
    });
    await pki.rotate({ kind: "tenant", tenantId: "acme" }, { kind: "sealed" }, SYSTEM_ACTOR);
    expect(await pki.end("acme", active, { force: false }, SYSTEM_ACTOR)).toEqual({ cutOff: 0 });
    await expect(
      pki.rotate({ kind: "tenant", tenantId: "nobody" }, { kind: "sealed" }, SYSTEM_ACTOR),
    ).rejects.toMatchObject({ code: "not-found" });
  });

  it("of the servers changes the certificate without dropping a connection or losing a session", async () => {
    const { identity } = installation;
    const ca = await identity.rootCertificatePem();
    const before = await dial(listener, { ca, maxVersion: "TLSv1.2" });
    const session = before.socket.getSession();
    await identity.pki.rotate({ kind: "server" }, { kind: "sealed" }, SYSTEM_ACTOR);
    await listener.reload();
    const after = await dial(listener, { ca });
    expect(after.server).not.toBe(before.server);
    expect(await echoes(before.socket)).toBe(true);
    const resumed = await dial(listener, {
      ca,
      maxVersion: "TLSv1.2",
      ...(session ? { session } : {}),
    });
    expect(resumed.socket.isSessionReused()).toBe(true);
    for (const { socket } of [before, after, resumed]) socket.end();
  });

  it("of the root is believed by who knows only the old one, and by who knows only the new", async () => {
    const { identity } = installation;
    const oldRoot = await identity.rootCertificatePem();
    const old = await installation.enroll("d-old");
    const created = await identity.pki.rotateRoot({ kind: "sealed" }, SYSTEM_ACTOR);
    await listener.reload();
    const both = await identity.rootCertificatePem();
    expect(both.match(/BEGIN/g)).toHaveLength(2);
    const newRoot = both.replace(oldRoot, "");
    const fresh = await installation.enroll("d-new");
    expect(fresh.rootPem).toBe(both);
    for (const ca of [oldRoot, newRoot, both]) {
      for (const device of [old, fresh]) {
        expect(await verdictOf(listener, device, ca)).toBe(device.deviceId);
      }
    }
    const { pki } = identity;
    await expect(pki.rotateRoot({ kind: "sealed" }, SYSTEM_ACTOR)).rejects.toThrow("two roots");
    // The first authority of acme is below the old root, and a device still lives by it.
    const id = await retiring(null);
    expect(id).not.toBe(created.id);
    const oldRootId =
      (await pki.hierarchy()).authorities.find(
        (one) => one.kind === "root" && one.status === "retiring",
      )?.id ?? "";
    await expect(pki.end(null, oldRootId, { force: false }, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "authority-in-use",
    });
    expect(await pki.end(null, oldRootId, { force: true }, SYSTEM_ACTOR)).toEqual({ cutOff: 1 });
    await listener.reload();
    expect(await verdictOf(listener, old, newRoot)).toBe("foreign-ca");
    expect(await verdictOf(listener, fresh, newRoot)).toBe("d-new");
    expect(await identity.rootCertificatePem()).toBe(newRoot);
  });
});

describe("a server certificate", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-tls-"));
  afterAll(() => fs.rmSync(folder, { recursive: true }));

  it("of our own is renewed when two thirds of its life are over", async () => {
    let offset = 0;
    const clock = { ...systemClock, now: () => Date.now() + offset };
    const { identity } = createInstallation(test, { clock });
    await identity.ensurePlatform();
    const first = await identity.serverCredentials();
    offset = 19 * DAY_MS;
    expect((await identity.serverCredentials()).certificatePem).toBe(first.certificatePem);
    offset = 21 * DAY_MS;
    expect((await identity.serverCredentials()).certificatePem).not.toBe(first.certificatePem);
  });

  it("from files is read again when they change, and kept while they do not fit together", async () => {
    const plain = createInstallation(test);
    await plain.identity.ensurePlatform();
    const ca = await plain.identity.rootCertificatePem();
    const certificateFile = path.join(folder, "server.pem");
    const keyFile = path.join(folder, "server.key");
    const another = async () => {
      const own = createInstallation(test);
      return own.identity.serverCredentials();
    };
    const one = await another();
    fs.writeFileSync(certificateFile, one.certificatePem);
    fs.writeFileSync(keyFile, one.keyPem);
    const tlsFiles = { certificateFile, keyFile };
    const installation = createInstallation(test, { tlsFiles });
    const listener = await listen(installation);
    const before = await dial(listener, { ca });
    const two = await another();
    fs.writeFileSync(certificateFile, two.certificatePem);
    await listener.reload();
    const between = await dial(listener, { ca });
    expect(between.server).toBe(before.server);
    fs.writeFileSync(keyFile, two.keyPem);
    await listener.reload();
    const after = await dial(listener, { ca });
    expect(after.server).not.toBe(before.server);
    expect(await echoes(before.socket)).toBe(true);
    for (const { socket } of [before, between, after]) socket.end();
    fs.writeFileSync(keyFile, one.keyPem);
    const wrong = createInstallation(test, { tlsFiles });
    await expect(wrong.identity.serverCredentials()).rejects.toThrow("is not the key of");
  });
});
