import { execFile, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createOfflineRoot,
  type OfflineRoot,
  openOfflineRoot,
  parseRequestBundle,
  parseSignedBundle,
  type SignedBundle,
  signBundle,
} from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { toPem } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createInstallation, type Installation, TRUST_DOMAIN } from "../support/installation.ts";

const run = promisify(execFile);
const isPresent = spawnSync("openssl", ["version"]).error === undefined;
const PASSPHRASE = "correct horse battery";
const DAY_MS = 86_400_000;

describe.skipIf(!isPresent)("the revocation list of an offline root, to OpenSSL", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-root-list-"));
  const file = (name: string) => path.join(folder, name);
  let test: TestDatabase;
  let root: OfflineRoot;
  let installation: Installation;
  let nowMs: number;

  beforeEach(async () => {
    test = await createTestDatabase();
    root = await newRoot();
    nowMs = Date.now();
    installation = createInstallation(test, {
      givenRoot: { certificatePem: root.certificatePem },
      clock: { ...systemClock, now: () => nowMs },
    });
    await installation.identity.ensurePlatform();
    for (const id of ["acme", "globex"]) {
      await installation.tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    }
  });
  afterEach(() => test.close());

  const newRoot = () =>
    createOfflineRoot({ passphrase: PASSPHRASE, trustDomain: TRUST_DOMAIN, now: Date.now() });
  const pki = () => installation.identity.pki;
  /** To the offline machine and back, as files would go. */
  async function ceremony(listDays?: number): Promise<SignedBundle> {
    const bundle = parseRequestBundle(JSON.stringify(await pki().requests()));
    const signed = await signBundle(bundle, openOfflineRoot(root, PASSPHRASE), nowMs, listDays);
    return parseSignedBundle(JSON.stringify(signed));
  }
  const importSigned = (bundle: SignedBundle) => pki().importSigned(bundle, SYSTEM_ACTOR);
  async function publishedList() {
    const { authorities } = await pki().hierarchy();
    const id = authorities.find(({ kind }) => kind === "root")?.id ?? "";
    // What is at hand is looked at again after some seconds.
    nowMs += 10_000;
    return installation.identity.revocationList(id, "full");
  }

  it("is signed with the authorities, published, and accepted for the whole chain", async () => {
    expect(await publishedList()).toBeUndefined();
    expect(await pki().rootList()).toMatchObject({ state: "missing", number: null });
    await importSigned(await ceremony());
    const list = await publishedList();
    expect(list).toMatchObject({ number: 1, entries: 0 });
    const { nextUpdate } = (await pki().rootList()) ?? {};
    expect(nextUpdate?.getTime()).toBeGreaterThan(nowMs + 364 * DAY_MS);
    const device = await installation.enroll("d-1");
    const [authority] = await installation.identity.authorityCertificates("acme");
    const { authorities } = await pki().hierarchy();
    const tenant = authorities.find(({ tenantId }) => tenantId === "acme")?.id ?? "";
    const own = await installation.identity.revocationList(tenant, "full");
    fs.writeFileSync(file("root.pem"), root.certificatePem);
    fs.writeFileSync(file("ca.pem"), authority as string);
    fs.writeFileSync(file("device.pem"), device.certificatePem);
    const lists = [list, own].map((one) => toPem("X509 CRL", one?.der ?? Buffer.alloc(0)));
    fs.writeFileSync(file("lists.pem"), lists.join(""));
    const { stdout } = await run("openssl", [
      ...["verify", "-x509_strict", "-crl_check_all", "-CAfile", file("root.pem")],
      ...["-untrusted", file("ca.pem"), "-CRLfile", file("lists.pem"), file("device.pem")],
    ]);
    expect(stdout).toContain("OK");
  });

  it("is asked for anew when an authority is revoked, and names it then", async () => {
    await importSigned(await ceremony());
    await installation.tenancy.tenants.delete("globex", SYSTEM_ACTOR);
    expect(await pki().rootList()).toMatchObject({ state: "stale", unlisted: 1 });
    const second = await ceremony();
    expect(second.certificates).toEqual([]);
    await importSigned(second);
    expect(await pki().rootList()).toMatchObject({ state: "current", number: 2, entries: 1 });
    const list = await publishedList();
    fs.writeFileSync(file("root.crl"), list?.der ?? Buffer.alloc(0));
    fs.writeFileSync(file("root.pem"), root.certificatePem);
    const { stdout, stderr } = await run("openssl", [
      ...["crl", "-inform", "DER", "-in", file("root.crl"), "-noout", "-text"],
      ...["-CAfile", file("root.pem")],
    ]);
    expect(stderr).toContain("verify OK");
    expect(stdout).toMatch(/X509v3 CRL Number: \n\s+2[\s\S]*Serial Number: [0-9A-F]{20}/);
  });

  it("is warned of a month before its end, and goes on to be shown after it", async () => {
    await importSigned(await ceremony(60));
    nowMs += 29 * DAY_MS;
    expect((await pki().rootList())?.state).toBe("current");
    nowMs += 2 * DAY_MS;
    expect((await pki().rootList())?.state).toBe("ending");
    nowMs += 30 * DAY_MS;
    expect((await pki().rootList())?.state).toBe("ended");
    expect(await publishedList()).toMatchObject({ number: 1 });
  });

  it("is refused of another root, altered, again, or too long, and nothing of the bundle stays", async () => {
    const signed = await ceremony();
    const other = await newRoot();
    const bundle = parseRequestBundle(JSON.stringify(await pki().requests()));
    const forged = await signBundle(
      { ...bundle, rootFingerprint: fingerprint(other.certificatePem), requests: [] },
      openOfflineRoot(other, PASSPHRASE),
      nowMs,
    );
    const [head = "", ...lines] = (signed.revocationList ?? "").split("\n");
    const altered = [head, ...lines.with(2, (lines[2] ?? "").replace(/^.{6}/, "AAAAAA"))].join(
      "\n",
    );
    for (const revocationList of [forged.revocationList as string, altered, "nonsense"]) {
      await expect(importSigned({ ...signed, revocationList })).rejects.toMatchObject({
        code: "invalid-content",
      });
    }
    expect((await pki().hierarchy()).pending).toHaveLength(3);
    await importSigned(signed);
    const again = { ...signed, certificates: [] };
    await expect(importSigned(again)).rejects.toMatchObject({ code: "conflict" });
    await expect(ceremony(5 * 365 + 1)).rejects.toMatchObject({ code: "invalid-content" });
  });
});

function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}
