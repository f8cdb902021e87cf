import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateRequest, toPem } from "../../src/protocol/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTestCli } from "../support/cli.ts";
import { newKey, pemOf } from "../support/enrolment.ts";
import { forge } from "../support/pki.ts";
import { readZip } from "../support/zip.ts";

describe("enrolment on the command line", () => {
  let test: TestApi;
  let cli: ReturnType<typeof createTestCli>;
  let folder: string;
  let url: string;
  beforeAll(async () => {
    test = await startTestApi();
    url = await test.listen();
    cli = createTestCli(url, test.acme);
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-enrolment-"));
  });
  afterAll(async () => {
    cli?.close();
    await test?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const file = (name: string, text?: string) => {
    const full = path.join(folder, name);
    if (text !== undefined) fs.writeFileSync(full, text);
    return full;
  };

  describe("of many devices", () => {
    it("writes a folder for each, with a key that was made here", async () => {
      const csv = file(
        "ok.csv",
        'id,product,hardware,region,tag.site\nb-1,hub,a,eu,"bon""n, west"\nb-2,hub,b,,\n\n',
      );
      const out = file("ok.zip");
      const done = await cli.json("device", "enroll", "--csv", csv, "--out", out, "--tag", "lot=7");
      expect(done).toMatchObject({ devices: 2, resumed: 0, failed: [] });
      const entries = readZip(fs.readFileSync(out));
      expect([...entries.keys()].sort()).toEqual(
        ["b-1", "b-2"].flatMap((id) =>
          ["agent.json", "certificate.pem", "device.json", "key.pem", "root.pem"].map(
            (name) => `${id}/${name}`,
          ),
        ),
      );
      const certificate = new X509Certificate(entries.get("b-1/certificate.pem")?.text as string);
      expect(certificate.subject).toBe("O=acme\nCN=acme/b-1");
      const key = entries.get("b-1/key.pem");
      expect(certificate.checkPrivateKey(createPrivateKey(key?.text as string))).toBe(true);
      expect(key?.mode).toBe(0o600);
      const device = await cli.json("device", "show", "b-1");
      expect(device).toMatchObject({ region: "eu", tags: { site: 'bon"n, west', lot: "7" } });
      expect(fs.existsSync(`${out}.journal`)).toBe(false);
      const again = await cli.run("device", "enroll", "--csv", csv, "--out", out);
      expect([again.status, again.err]).toEqual([2, expect.stringContaining("is there already")]);
    });

    it("lists what is wrong by line, keeps what is done, and goes on from there", async () => {
      const rows = ["c-1,hub", "no id,hub", "c-2,", "c-1,hub", "c-3,hub"];
      const csv = file("bad.csv", `id,product\n${rows.join("\n")}\n`);
      const out = file("bad.zip");
      const run = () => cli.run("device", "enroll", "--csv", csv, "--out", out, "--hardware", "a");
      const first = await run();
      expect(first.status).toBe(1);
      expect(first.err).toContain('bad.csv:3: no id: "no id" is no device id');
      expect(first.err).toContain("bad.csv:4: c-2: the product is missing");
      expect(first.err).toContain("bad.csv:5: c-1: the device stands in line 2 already");
      expect(first.err).toContain("3 rows were not enrolled");
      const before = readZip(fs.readFileSync(out));
      expect(fs.statSync(`${out}.journal`).mode & 0o777).toBe(0o600);
      file("bad.csv", "id,product\nc-1,hub\nc-2,hub\nc-3,hub\n");
      const second = await run();
      expect([second.status, second.err]).toEqual([0, expect.stringContaining("2 devices were")]);
      const after = readZip(fs.readFileSync(out));
      expect(after.get("c-1/key.pem")?.text).toBe(before.get("c-1/key.pem")?.text);
      expect(after.has("c-2/certificate.pem")).toBe(true);
      expect(fs.existsSync(`${out}.journal`)).toBe(false);
    });

    it("goes on with the same keys where it was cut off", async () => {
      const out = file("cut.zip");
      const csv = file("cut.csv", "id\nd-1\nd-2\n");
      const key = pemOf(newKey());
      const head = { version: 1, tenant: "acme", url };
      const lines = [head, { id: "d-1", key }].map((line) => JSON.stringify(line));
      file("cut.zip.journal", `${lines.join("\n")}\n{"id":"d-2","ke`);
      const options = ["--product", "hub", "--hardware", "a"];
      const done = await cli.json("device", "enroll", "--csv", csv, "--out", out, ...options);
      expect(done).toMatchObject({ devices: 2, failed: [] });
      const entries = readZip(fs.readFileSync(out));
      expect(entries.get("d-1/key.pem")?.text).toBe(key);
      expect(entries.has("d-2/key.pem")).toBe(true);
      file("cut2.zip.journal", `${JSON.stringify({ ...head, tenant: "globex" })}\n`);
      const other = await cli.run(
        ...["device", "enroll", "--csv", csv, "--out", file("cut2.zip"), ...options],
      );
      expect(other.err).toContain("of another enrolment");
    });

    it("takes requests of keys that are elsewhere, and says which were refused", async () => {
      const requests = path.join(folder, "requests");
      fs.mkdirSync(requests);
      const write = (name: string, deviceId: string, asDer = false) => {
        const der = createCertificateRequest({
          privateKey: newKey(),
          commonName: `acme/${deviceId}`,
          organization: "acme",
        });
        const content = asDer ? der : toPem("CERTIFICATE REQUEST", der);
        fs.writeFileSync(path.join(requests, name), content);
      };
      write("e-1.csr", "e-1");
      write("e-2.der", "e-2", true);
      write("e-3.csr", "somebody-else");
      const out = file("csrs.zip");
      const options = ["--product", "hub", "--hardware", "a", "--out", out];
      const run = await cli.run("device", "enroll", "--csrs", requests, ...options, "--json");
      expect(run.status).toBe(1);
      expect(run.err).toContain("e-3.csr: e-3: the request names someone else");
      expect(JSON.parse(run.out).devices).toBe(2);
      const entries = readZip(fs.readFileSync(out));
      expect(entries.has("e-1/key.pem")).toBe(false);
      expect(entries.get("e-2/certificate.pem")?.text).toContain("BEGIN CERTIFICATE");
      const audit = await cli.json("audit", "list", "--limit", "5");
      expect(JSON.stringify(audit)).toContain("e-3");
    });

    it("writes archives that others read", async () => {
      const csv = file("zip.csv", "id\nz-1\n");
      const out = file("z.zip");
      await cli.json(
        "device",
        "enroll",
        "--csv",
        csv,
        "--out",
        out,
        "--product",
        "h",
        "--hardware",
        "a",
      );
      const script =
        "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(len(z.namelist()))";
      try {
        const count = execFileSync("python3", ["-c", script, out], { encoding: "utf8" });
        expect(count.trim()).toBe("5");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    });
  });

  it("makes claims of every kind", async () => {
    const common = ["--devices", "k-*", "--product", "hub", "--hardware", "a"];
    const secret = await cli.json("claim", "create", "cmp", "--kind", "secret", ...common);
    expect(secret.reference).toMatch(/^acme\.[0-9a-f-]{36}$/);
    const out = path.join(folder, "line");
    const made = await cli.json(
      ...["claim", "create", "line", "--kind", "certificate", "--out", out, ...common],
    );
    expect(made.keyPem).toBeNull();
    expect(fs.statSync(path.join(out, "claim-key.pem")).mode & 0o777).toBe(0o600);
    const hook = await cli.run(
      ...["claim", "create", "hook", "--webhook", "https://example.com/x", ...common],
    );
    expect(hook.err).toContain("whsec_");
    const private_ = await cli.run(...["claim", "create", "odd", "--kind", "nothing", ...common]);
    expect(private_.status).toBe(2);
    const listed = await cli.json("claim", "list");
    expect(listed.items.map((item: { kind: string }) => item.kind).sort()).toEqual([
      "certificate",
      "shared-secret",
      "token",
    ]);
    expect((await cli.run("claim", "revoke", secret.id)).status).toBe(0);
  });

  it("keeps the list of expected devices", async () => {
    const key = "a".repeat(64);
    const csv = file(
      "expected.csv",
      `id,product,serial,key\nx-1,hub,42,${key.toUpperCase()}\nx-2,hub,,zz\n`,
    );
    const run = await cli.run("preauthorised", "add", "--csv", csv, "--hardware", "a", "--json");
    expect(run.status).toBe(1);
    expect(run.err).toMatch(/publicKeySha256|pattern|refused/);
    file("expected.csv", `id,product,serial,key\nx-1,hub,42,${key}\nx-2,hub,,\n`);
    const added = await cli.json("preauthorised", "add", "--csv", csv, "--hardware", "a");
    expect(added).toMatchObject({ added: 2, changed: 0 });
    const listed = await cli.json("preauthorised", "list");
    expect(listed.items[0]).toMatchObject({ deviceId: "x-1", serialNumber: "42" });
    expect((await cli.run("preauthorised", "remove", "x-2")).status).toBe(0);
    expect((await cli.run("preauthorised", "remove", "x-2")).status).toBe(1);
  });

  it("shows who waits, accepts and rejects", async () => {
    const { identity } = test.modules;
    const actor = { kind: "system" as const, id: "t", name: "t" };
    const { token } = await identity.claimTokens.create(
      "acme",
      {
        name: "line",
        devicePattern: "*",
        product: "hub",
        hardwareRevision: "a",
        maxUses: 9,
        expiresAt: new Date(Date.now() + 60_000),
        approval: "pending",
      },
      actor,
    );
    for (const deviceId of ["w-1", "w-2"]) {
      const csr = createCertificateRequest({
        privateKey: newKey(),
        commonName: `acme/${deviceId}`,
        organization: "acme",
      });
      const asked = identity.enroll({
        tenantId: "acme",
        csr,
        via: "est",
        authority: { kind: "claim", token },
      });
      await expect(asked).rejects.toMatchObject({ code: "enrolment-pending" });
    }
    const { items } = await cli.json("enrolment", "list");
    expect(items).toHaveLength(2);
    expect((await cli.json("enrolment", "accept", items[0].id)).status).toBe("accepted");
    expect((await cli.json("enrolment", "reject", items[1].id, "--reason", "no")).status).toBe(
      "rejected",
    );
    expect((await cli.run("enrolment", "list")).out).toContain("Nobody waits");
  });

  it("registers and proves an authority", async () => {
    const issuer = await forge({ subject: "CN=Plant 7", authority: true });
    const certificate = file("ca.pem", issuer.certificatePem);
    const { authority } = await cli.json(
      ...["authority", "register", "plant 7", "--certificate", certificate, "--product", "hub"],
      ...["--hardware", "a", "--map", "p7-{cn}", "--field", "cn=dev {}"],
    );
    expect(authority.mapping).toEqual({ template: "p7-{cn}", fields: { cn: "dev {}" } });
    const proof = await forge({ subject: `CN=${authority.code}`, issuer });
    const pem = file("proof.pem", proof.certificatePem);
    const proved = await cli.json("authority", "prove", authority.id, "--certificate", pem);
    expect(proved.status).toBe("active");
    expect((await cli.run("authority", "list")).out).toContain("plant 7");
    expect((await cli.run("authority", "disable", authority.id)).status).toBe(0);
  });
});
