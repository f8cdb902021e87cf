import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createRoot,
  generateSigningKey,
  readSigningKey,
  tokenSigner,
} from "../../src/firmware/index.ts";
import { Tokens } from "../../src/kernel/pkcs11.ts";
import { signDocument, signingKeyOf } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createInstallation, type Installation } from "../support/installation.ts";
import { pemOf } from "../support/pki.ts";
import { runInPipe } from "../support/run-cli.ts";
import { dial, echoes, listenWith } from "../support/tls-peers.ts";

const MODULE = [
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
].find((file) => fs.existsSync(file));
const PIN = "314159";

async function isUsable(): Promise<boolean> {
  if (!MODULE || spawnSync("softhsm2-util", ["--version"]).error) return false;
  const binding: string = "pkcs11js";
  return import(binding).then(
    () => true,
    () => false,
  );
}

describe.skipIf(!(await isUsable()))(
  "SoftHSM 2 (skipped where it or pkcs11js is not installed)",
  () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-softhsm-"));
    const file = (name: string) => path.join(directory, name);
    const modulePath = MODULE as string;
    const uri = (object: string) => `pkcs11:token=vautn%20root;object=${object}`;
    let test: TestDatabase;
    let environment: Record<string, string>;

    beforeAll(async () => {
      fs.mkdirSync(file("tokens"));
      fs.writeFileSync(file("softhsm2.conf"), `directories.tokendir = ${file("tokens")}\n`);
      // The library reads where its tokens lie from the process's environment.
      process.env.SOFTHSM2_CONF = file("softhsm2.conf");
      const token = ["--init-token", "--free", "--label", "vautn root"];
      execFileSync("softhsm2-util", [...token, "--pin", PIN, "--so-pin", "27182818"]);
      fs.writeFileSync(file("pin"), `${PIN}\n`, { mode: 0o600 });
      environment = { VAUTN_PKCS11_MODULE: modulePath, VAUTN_PKCS11_PIN_FILE: file("pin") };
      test = await createTestDatabase();
    });
    afterAll(async () => {
      await test.close();
      fs.rmSync(directory, { recursive: true });
    });

    const tokens = () => new Tokens({ modulePath, pinFile: file("pin") });
    let installation: Installation;

    it("holds the root: vautn pki init makes its key in there, and it cannot be taken out", async () => {
      const argv = ["pki", "init", "--offline-root", file("root"), "--pkcs11", uri("root")];
      const { status, out, err } = await runInPipe(argv, environment);
      expect([status, err]).toEqual([0, expect.stringContaining("VAUTN_ROOT_KEY")]);
      expect(out + err).not.toContain(PIN);
      expect(fs.existsSync(file("root/root.key"))).toBe(false);
      const pem = fs.readFileSync(file("root/root.pem"), "utf8");
      const verify = ["verify", "-x509_strict", "-CAfile", file("root/root.pem")];
      expect(execFileSync("openssl", [...verify, file("root/root.pem")]).toString()).toContain(
        "OK",
      );
      expect(new X509Certificate(pem).ca).toBe(true);
      const again = await runInPipe(argv.with(3, file("second")), environment);
      expect(again.err).toContain("there is a key of that name");
    });

    it("signs for the platform: servers', and tenants' authorities, one of them in the token too", async () => {
      const certificatePem = fs.readFileSync(file("root/root.pem"), "utf8");
      installation = createInstallation(test, {
        tokens: tokens(),
        givenRoot: { certificatePem, keyUri: uri("root") },
      });
      const { identity, tenancy } = installation;
      await identity.ensurePlatform();
      await tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
      const sealed = await installation.enroll("d-sealed");
      const place = { kind: "pkcs11", uri: uri("acme") } as const;
      await identity.pki.rotate({ kind: "tenant", tenantId: "acme" }, place, SYSTEM_ACTOR);
      const { authorities } = await identity.pki.ofTenant("acme");
      expect(authorities[0]).toMatchObject({ keyKind: "pkcs11", keyUri: uri("acme") });
      const held = await installation.enroll("d-token");
      const listener = await listenWith(identity);
      for (const device of [sealed, held]) {
        const options = { ca: device.rootPem, key: pemOf(device.key), cert: device.chainPem };
        const { socket } = await dial(listener, options);
        expect(await echoes(socket)).toBe(true);
        expect(await listener.verdicts.at(-1)).toMatchObject({ deviceId: device.deviceId });
        socket.end();
      }
      listener.close();
      fs.writeFileSync(file("device.pem"), held.certificatePem);
      fs.writeFileSync(file("chain.pem"), held.chainPem);
      const chain = ["-CAfile", file("root/root.pem"), "-untrusted", file("chain.pem")];
      const options = ["verify", "-x509_strict", "-purpose", "sslclient", ...chain];
      expect(execFileSync("openssl", [...options, file("device.pem")]).toString()).toContain("OK");
    });

    it("holds a release key: one of two that a release needs, and it counts as the other does", async () => {
      const cli = async (...argv: string[]) => {
        const variables = { ...environment, VAUTN_TENANT: "acme", SOURCE_DATE_EPOCH: "1790000000" };
        const { status, out, err } = await runInPipe(["firmware", ...argv], variables);
        expect(out + err).not.toContain(PIN);
        return { status, text: out + err };
      };
      const carol = uri("carol");
      const made = await cli("keygen", carol, "--json");
      expect(made.status, made.text).toBe(0);
      expect((await cli("keygen", carol)).text).toContain("there is a key of that name");
      expect((await cli("keygen", file("dave.key"), "--scheme", "p256")).status).toBe(0);
      const dave = readSigningKey(fs.readFileSync(file("dave.key"), "utf8"));
      const released = [tokenSigner(await tokens().key(carol)).key, signingKeyOf(dave)];
      const online = signingKeyOf(readSigningKey(generateSigningKey({}).privateKeyPem));
      const root = createRoot({
        ...{ tenant: "acme", version: 1, expires: "2036-01-01T00:00:00.000Z" },
        root: { keys: [signingKeyOf(dave)], threshold: 1 },
        release: { keys: released, threshold: 2 },
        online: { director: online, repository: online },
      });
      fs.writeFileSync(file("trust.json"), JSON.stringify(signDocument(root.signed, [dave])));
      fs.writeFileSync(file("hub.bin"), "an image");
      const hub = ["--product", "hub", "--hardware", "a", "--version", "1.0.0"];
      expect((await cli("build", file("hub.bin"), ...hub)).status).toBe(0);
      const manifest = file("hub.bin.manifest.json");
      const judge = () =>
        cli("verify", manifest, "--image", file("hub.bin"), "--root", file("trust.json"));
      expect((await cli("sign", manifest, "--key", carol)).status).toBe(0);
      expect((await judge()).status).toBe(1);
      expect((await cli("sign", manifest, "--key", file("dave.key"))).status).toBe(0);
      const good = await judge();
      expect([good.status, good.text]).toEqual([0, expect.any(String)]);
      fs.writeFileSync(file("hub.bin"), "another image");
      expect((await judge()).status).toBe(1);
      const absent = await cli("sign", manifest, "--key", uri("nobody"));
      expect([absent.status, absent.text]).toEqual([1, expect.stringContaining("no private key")]);
    });

    it("takes many signatures at once, one after the other", async () => {
      const enrolled = await Promise.all(
        Array.from({ length: 24 }, (_, index) => installation.enroll(`many-${index}`)),
      );
      expect(new Set(enrolled.map(({ serial }) => serial)).size).toBe(24);
    });

    it("is not needed to start, and its absence is named when it is", async () => {
      const without = createInstallation(test);
      await without.identity.ensurePlatform();
      const refused = without.enroll("d-none");
      await expect(refused).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("VAUTN_PKCS11_MODULE"),
      });
    });

    it("answers a wrong PIN once, and is not asked again: it would lock itself", async () => {
      const script = `
        const { Tokens } = await import(${JSON.stringify(path.resolve("src/kernel/pkcs11.ts"))});
        const tokens = new Tokens({ modulePath: ${JSON.stringify(modulePath)}, pin: "000000" });
        for (let i = 0; i < 5; i += 1) {
          await tokens.key(${JSON.stringify(uri("root"))}).catch((error) => console.log(error.message));
        }`;
      const output = execFileSync(process.execPath, ["--input-type=module", "-e", script]);
      const lines = output.toString().trim().split("\n");
      expect(new Set(lines).size).toBe(1);
      expect(lines[0]).toMatch(/refuses the PIN/);
      expect(output.toString()).not.toContain("000000");
      // The token still opens with the right one.
      await expect(tokens().key(uri("root"))).resolves.toBeDefined();
    });

    it("names what it does not have", async () => {
      for (const [wrong, message] of [
        ["pkcs11:token=nobody;object=root", "no such token"],
        [uri("nobody"), "no private key"],
      ] as const) {
        await expect(tokens().key(wrong)).rejects.toThrow(message);
      }
      const nowhere = new Tokens({ modulePath: "/nonexistent.so", pin: PIN });
      await expect(nowhere.key(uri("root"))).rejects.toThrow("no PKCS#11 module");
    });
  },
);
