import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { newKey } from "../support/pki.ts";
import { runInPipe } from "../support/run-cli.ts";

const PASSPHRASE = "correct horse battery";

describe("vautn pki", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-pki-"));
  const file = (name: string) => path.join(directory, name);
  let test: TestApi;
  let environment: Record<string, string>;

  const run = (...argv: string[]) => runInPipe(argv, environment);
  async function done(...argv: string[]) {
    const result = await run(...argv);
    expect(result.status, result.err).toBe(0);
    return result;
  }

  beforeAll(async () => {
    environment = { XDG_CONFIG_HOME: directory, ROOT_PASSPHRASE: PASSPHRASE };
    await done(
      "pki",
      "init",
      "--offline-root",
      file("root"),
      "--passphrase-env",
      "ROOT_PASSPHRASE",
    );
    const certificatePem = fs.readFileSync(file("root/root.pem"), "utf8");
    test = await startTestApi({}, { givenRoot: { certificatePem } });
    for (const id of ["acme", "globex"]) await test.modules.identity.ensureTenantAuthority(id);
    const url = await test.listen();
    environment = { ...environment, VAUTN_URL: url, VAUTN_API_KEY: test.adminKey };
  });
  afterAll(async () => {
    await test.close();
    fs.rmSync(directory, { recursive: true });
  });

  it("makes a root whose key only its owner reads and only the passphrase opens", async () => {
    expect(fs.statSync(file("root/root.key")).mode & 0o777).toBe(0o600);
    expect(fs.readFileSync(file("root/root.key"), "utf8")).toContain("ENCRYPTED PRIVATE KEY");
    const again = await run("pki", "init", "--offline-root", file("root"));
    expect([again.status, again.err]).toEqual([2, expect.stringContaining("holds a root already")]);
    const weak = await runInPipe(
      ["pki", "init", "--offline-root", file("weak"), "--passphrase-env", "P"],
      { P: "short" },
    );
    expect([weak.status, weak.err]).toEqual([1, expect.stringContaining("12 characters")]);
    expect(fs.existsSync(file("weak"))).toBe(false);
  });

  it("carries requests to the root and certificates back, and devices enrol", async () => {
    const enrol = ["device", "enroll", "d-1", "--tenant", "acme", "--out", file("d-1")];
    const product = ["--product", "hub", "--hardware", "a"];
    const waiting = await run(...enrol, ...product);
    expect(waiting.status).toBe(1);
    expect(waiting.err).toContain("vautn pki request");
    expect((await done("pki", "show")).out).toContain("waiting for the offline root");

    await done("pki", "request", "-o", file("bundle.json"));
    const sign = ["pki", "sign-bundle", file("bundle.json"), "--root", file("root")];
    const out = ["-o", file("signed.json"), "--passphrase-env", "ROOT_PASSPHRASE"];
    expect((await run(...sign, ...out)).err).toContain("add --yes");
    const offline = await runInPipe([...sign, ...out, "--yes"], { ROOT_PASSPHRASE: "wrong one" });
    expect([offline.status, offline.err]).toEqual([
      1,
      expect.stringContaining("passphrase is wrong"),
    ]);
    const signed = await done(...sign, ...out, "--yes");
    expect(signed.err).toMatch(
      /servers of the platform[\s\S]*tenant acme[\s\S]*3 authorities and a revocation list signed/,
    );
    const noted = fs.readFileSync(file("root/signed.jsonl"), "utf8").trim().split("\n");
    const kinds = noted.map((line) => JSON.parse(line).kind).sort();
    expect(kinds).toEqual(["revocation-list", "server", "tenant", "tenant"]);

    const imported = await done("pki", "import", file("signed.json"));
    expect(imported.out).toMatch(/acme Issuing CA[\s\S]*globex Issuing CA/);
    const again = await run("pki", "import", file("signed.json"));
    expect([again.status, again.err]).toEqual([1, expect.stringContaining("imported before")]);
    await done(...enrol, ...product);
    const shown = await done("pki", "show");
    expect(shown.out).toMatch(/O=Vautn, CN=Vautn Root CA .*active +offline/);
    expect(shown.out).toMatch(/└─ O=/);
    expect(shown.out).not.toContain("waiting");
  });

  it("rotates a tenant's authority through the root, and ends the old one by force only", async () => {
    const rotated = await done("pki", "rotate-ca", "--tenant", "acme");
    expect(rotated.err).toContain("waits for the offline root");
    await done("pki", "request", "-o", file("second.json"));
    const passphrase = ["--passphrase-env", "ROOT_PASSPHRASE", "--yes"];
    const sign = ["--root", file("root"), "-o", file("second-signed.json"), ...passphrase];
    await done("pki", "sign-bundle", file("second.json"), ...sign);
    await done("pki", "import", file("second-signed.json"));
    const { out } = await done("pki", "show", "--tenant", "acme", "--json");
    const { authorities } = JSON.parse(out);
    const old = authorities.find((one: { status: string }) => one.status === "retiring");
    expect(old.liveCertificates).toBe(1);
    const kept = await run("pki", "end-ca", old.id, "--tenant", "acme");
    expect([kept.status, kept.err]).toEqual([1, expect.stringContaining("1 certificates")]);
    const ended = await done("pki", "end-ca", old.id, "--tenant", "acme", "--force");
    expect(ended.out).toContain("1 certificates were cut off");
    expect((await run("pki", "rotate-ca")).status).toBe(2);
  });

  it("follows to another root that the old one has signed", async () => {
    const passphrase = ["--passphrase-env", "ROOT_PASSPHRASE"];
    await done("pki", "init", "--offline-root", file("next"), ...passphrase);
    const cross = ["--root", file("root"), "-o", file("cross.pem"), ...passphrase];
    await done("pki", "cross-sign", file("next/root.pem"), ...cross);
    const given = ["--certificate", file("next/root.pem"), "--cross", file("cross.pem")];
    await done("pki", "rotate-ca", "--root", ...given, "--yes");
    const { out } = await done("pki", "show");
    expect(out.match(/CN=Vautn Root CA/g)).toHaveLength(2);
    expect(out).toContain("(servers)");
  });

  it("lets nobody but administrators near", async () => {
    const key = await test.keyOf("acme", "fleet-engineer");
    const engineer = { ...environment, VAUTN_API_KEY: key };
    for (const argv of [
      ["pki", "show"],
      ["pki", "request"],
      ["pki", "rotate-ca", "--server"],
      ["pki", "rotate-ca", "--tenant", "acme"],
      ["pki", "rotate-ca", "--tenant", "globex"],
    ]) {
      const { status, err } = await runInPipe(argv, engineer);
      expect([status, /code: (forbidden|not-found)/.test(err)], argv.join(" ")).toEqual([1, true]);
    }
    const { out } = await runInPipe(["pki", "show", "--tenant", "acme"], engineer);
    expect(out).toContain("acme Issuing CA");
    const administrator = { ...environment, VAUTN_API_KEY: test.acme };
    const token = ["pki", "rotate-ca", "--tenant", "acme", "--pkcs11", "pkcs11:token=a;object=b"];
    expect((await runInPipe(token, administrator)).err).toContain("code: forbidden");
    await expect(
      runInPipe(["pki", "rotate-ca", "--tenant", "acme"], administrator),
    ).resolves.toMatchObject({ status: 0 });
  });

  it("names what is wrong with a PKCS#11 URI, and takes no PIN in one", async () => {
    for (const [uri, message] of [
      ["pkcs11:token=a;object=b?pin-value=1234", "VAUTN_PKCS11_PIN_FILE"],
      ["pkcs11:object=b", "names no token"],
      ["token=a", "pkcs11:token="],
    ] as const) {
      const { status, err } = await run("pki", "rotate-ca", "--server", "--pkcs11", uri);
      expect([status, err]).toEqual([1, expect.stringContaining(message)]);
    }
    const none = await run("pki", "rotate-ca", "--server", "--pkcs11", "pkcs11:token=a;object=b");
    expect(none.err).toContain("VAUTN_PKCS11_MODULE");
  });

  it("issues nothing for a key that is known to be in other hands", async () => {
    const key = newKey();
    const pem = key.export({ type: "pkcs8", format: "pem" }) as string;
    const { createPublicKey } = await import("node:crypto");
    fs.writeFileSync(
      file("leaked.pem"),
      createPublicKey(pem).export({ type: "spki", format: "pem" }),
    );
    await done("pki", "block-key", file("leaked.pem"), "--reason", "found on the internet");
    const { createCertificateRequest, toPem } = await import("../../src/protocol/index.ts");
    const der = createCertificateRequest({
      privateKey: key,
      commonName: "globex/d-9",
      organization: "globex",
    });
    fs.writeFileSync(file("leaked.csr"), toPem("CERTIFICATE REQUEST", der));
    const enrol = ["device", "enroll", "d-9", "--tenant", "globex", "--csr", file("leaked.csr")];
    const attributes = ["--product", "hub", "--hardware", "a", "--out", file("d-9")];
    const refused = await run(...enrol, ...attributes);
    expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("in other hands")]);
    const [blocked] = JSON.parse((await done("pki", "blocked-keys", "--json")).out).items;
    await done("pki", "unblock-key", blocked.publicKeySha256);
    await done(...enrol, ...attributes);
  });

  it("sets how long certificates last, from an hour to two years", async () => {
    const set = (hours: string) =>
      run("tenant", "set", `certificateLifetimeHours=${hours}`, "--tenant", "globex");
    for (const wrong of ["0", "17521", "1.5", "x"]) expect((await set(wrong)).status).not.toBe(0);
    expect((await set("1")).out).toMatch(/certificateLifetimeHours +1\n/);
    const enrol = ["device", "enroll", "d-10", "--tenant", "globex", "--out", file("d-10")];
    await done(...enrol, "--product", "hub", "--hardware", "a");
    const [certificate] = (await test.modules.identity.certificates("globex", "d-10")) as {
      notBefore: Date;
      notAfter: Date;
    }[];
    const lifetimeMs = Number(certificate?.notAfter) - Number(certificate?.notBefore);
    expect(lifetimeMs).toBeGreaterThanOrEqual(3_600_000);
    expect(lifetimeMs).toBeLessThan(3_600_000 + 10 * 60_000);
  });
});
