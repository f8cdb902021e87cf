import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateSigningKey } from "../../src/firmware/index.ts";
import { isConfigurationEnvelope } from "../../src/protocol/index.ts";
import { fitKeyNode, readKeyCertificate, readSigner } from "../../src/secureboot/index.ts";
import { runInPipe } from "../support/run-cli.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
const file = (...names: string[]) => path.join(folder, ...names);
const keys = file("keys");
const environment = { PASSPHRASE: "correct horse", VAUTN_TENANT: "acme" };
const LOCKED = ["--keys", keys, "--passphrase-env", "PASSPHRASE"];

const run = (...argv: string[]) => runInPipe(["secureboot", ...argv], environment);

beforeAll(async () => {
  const made = await run("keys", keys, "--name", "Acme hub", "--passphrase-env", "PASSPHRASE");
  expect(made.status, made.err).toBe(0);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

describe("vautn secureboot keys", () => {
  it("makes encrypted keys with certificates and the files that firmware enrols", () => {
    const names = fs.readdirSync(keys).sort();
    const expected = ["PK", "KEK", "db"].flatMap((name) =>
      ["key", "crt", "esl", "auth"].map((extension) => `${name}.${extension}`),
    );
    expect(names).toEqual([...expected, "floor.crt", "floor.key", "owner.txt"].sort());
    for (const name of names.filter((one) => one.endsWith(".key"))) {
      expect(fs.readFileSync(file("keys", name), "utf8")).toContain("ENCRYPTED");
      expect(fs.statSync(file("keys", name)).mode & 0o077).toBe(0);
    }
    const { subject } = new X509Certificate(fs.readFileSync(file("keys/db.crt")));
    expect(subject).toBe("CN=Acme hub db");
    expect(() => readSigner(keys, "db", "wrong")).toThrow(/passphrase/);
  });

  it("writes over nothing, and leaves no key readable by accident", async () => {
    const again = await run("keys", keys, "--name", "x", "--passphrase-env", "PASSPHRASE");
    expect(again).toMatchObject({ status: 1, err: expect.stringContaining("is not empty") });
    const open = await run("keys", file("open"), "--name", "x");
    expect(open).toMatchObject({ status: 2, err: expect.stringContaining("--passphrase-env") });
    expect(fs.existsSync(file("open"))).toBe(false);
    const unset = await run("keys", file("open"), "--name", "x", "--passphrase-env", "NOT_SET");
    expect(unset).toMatchObject({ status: 2, err: expect.stringContaining("NOT_SET is not set") });
  });
});

describe("vautn secureboot sign, revoke and floor", () => {
  it("refuse what is no EFI program, and leave it as it was", async () => {
    fs.writeFileSync(file("text"), "not a program");
    const signed = await run("sign", file("text"), ...LOCKED);
    expect(signed).toMatchObject({ status: 1, err: expect.stringContaining("no EFI program") });
    expect(fs.readFileSync(file("text"), "utf8")).toBe("not a program");
    expect((await run("sign", file("missing"), ...LOCKED)).status).toBe(2);
    const revoked = await run("revoke", file("text"), ...LOCKED, "--out", file("dbx.auth"));
    expect(revoked.status).toBe(1);
    expect(fs.existsSync(file("dbx.auth"))).toBe(false);
  });

  it("say how to make keys where there are none", async () => {
    const missing = ["--keys", file("nowhere"), "--security", "1", "--configuration", "1"];
    const refused = await run("floor", ...missing, "--out", file("floor.auth"));
    expect(refused).toMatchObject({ status: 1, err: expect.stringContaining("secureboot keys") });
  });

  it("make the write that raises floors, within bounds", async () => {
    const floors = ["--security", "3", "--configuration", "12", "--out", file("floor.auth")];
    const made = await run("floor", ...LOCKED, ...floors, "--json");
    expect(JSON.parse(made.out)).toMatchObject({ security: 3, configuration: 12 });
    const auth = fs.readFileSync(file("floor.auth"));
    expect([auth.readUInt32LE(auth.length - 8), auth.readUInt32LE(auth.length - 4)]).toEqual([
      3, 12,
    ]);
    const low = ["--security", "-1", "--configuration", "1", "--out", file("x")];
    expect((await run("floor", ...LOCKED, ...low)).status).toBe(2);
  });
});

describe("vautn secureboot configuration", () => {
  const common = (out: string) => ["--product", "hub", "--version", "12", "--out", file(out)];

  it("makes one document of settings, scripts and firmware writes, signed by release keys", async () => {
    fs.writeFileSync(file("hub.yaml"), "interval: 30\nserver:\n  host: a.example\n");
    fs.writeFileSync(file("tune.sh"), "echo tuned\n");
    fs.writeFileSync(file("release.key"), generateSigningKey({}).privateKeyPem);
    const parts = ["--boot", file("tune.sh"), "--variable", `VautnFloor=${file("floor.auth")}`];
    const signing = ["--key", file("release.key")];
    const made = await run(
      "configuration",
      file("hub.yaml"),
      ...common("c.json"),
      ...parts,
      ...signing,
    );
    expect(made.status, made.err).toBe(0);
    const envelope = JSON.parse(fs.readFileSync(file("c.json"), "utf8"));
    expect(isConfigurationEnvelope(envelope)).toBe(true);
    expect(envelope.signed).toMatchObject({
      ...{ tenant: "acme", product: "hub", version: 12 },
      settings: { interval: 30, server: { host: "a.example" } },
      scripts: [{ name: "tune.sh", run: "boot", content: "echo tuned\n" }],
      firmwareVariables: [{ name: "VautnFloor", attributes: 0x27 }],
    });
    expect(envelope.signatures).toHaveLength(1);
  });

  it.each([
    ["settings that are a list", "- a\n", [], /names with their values/],
    ["settings that are no YAML", "a: [", [], /neither JSON nor YAML/],
    ["a fraction", "a: 1.5\n", ["--key", "release.key"], /fractions as text/],
    [
      "a variable that is not for configurations",
      "a: 1\n",
      ["--variable", "PK=x"],
      /takes VautnFloor/,
    ],
    ["a write that is not there", "a: 1\n", ["--variable", "dbx=nowhere"], /cannot be read/],
  ])("refuses %s", async (_, settings, extra, message) => {
    fs.writeFileSync(file("bad.yaml"), settings);
    const located = extra.map((one) => (one === "release.key" ? file(one) : one));
    const refused = await run("configuration", file("bad.yaml"), ...common("bad.json"), ...located);
    expect(refused.status).not.toBe(0);
    expect(refused.err).toMatch(message);
    expect(fs.existsSync(file("bad.json"))).toBe(false);
  });
});

describe("vautn secureboot image and fit-*", () => {
  it("name what is missing before anything is built", async () => {
    const needed = ["--kernel", file("nokernel"), "--modules", folder, "--root", folder];
    const out = ["--version", "1.0.0", "--out", file("images")];
    const wrong = await run("image", "no/name", ...LOCKED, ...needed, ...out);
    expect(wrong).toMatchObject({ status: 2, err: expect.stringContaining("is no name") });
    const modules = [...needed.slice(0, 3), file("nowhere"), ...needed.slice(4)];
    const refused = await run("image", "hub", ...LOCKED, ...modules, ...out);
    expect(refused).toMatchObject({ status: 2, err: expect.stringContaining("is no folder") });
  });

  it("write the key for U-Boot with constants that hold", async () => {
    const made = await run("fit-key", file("key.dtsi"), "--keys", keys);
    expect(made.status, made.err).toBe(0);
    const node = fs.readFileSync(file("key.dtsi"), "utf8");
    expect(node).toBe(fitKeyNode(readKeyCertificate(keys, "db"), "vautn"));
    const cells = (name: string) =>
      (new RegExp(`rsa,${name} = <([^>]+)>`).exec(node)?.[1] ?? "")
        .split(" ")
        .reduce((value, cell) => (value << 32n) | BigInt(cell), 0n);
    const modulus = cells("modulus");
    const { publicKey } = readKeyCertificate(keys, "db");
    const jwk = publicKey.export({ format: "jwk" });
    expect(modulus).toBe(BigInt(`0x${Buffer.from(jwk.n ?? "", "base64url").toString("hex")}`));
    // n0-inverse is -1/n modulo 2^32, r-squared is R^2 modulo n for R = 2^2048.
    expect((cells("n0-inverse") * (modulus % 2n ** 32n)) % 2n ** 32n).toBe(2n ** 32n - 1n);
    expect(cells("r-squared")).toBe(2n ** 4096n % modulus);
    expect(() => fitKeyNode(readKeyCertificate(keys, "db"), "No Name")).toThrow(
      /no name for a key/,
    );
  });
});
