import { execFile } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NewClaim } from "../../src/identity/index.ts";
import { context, membersOf, oid, readDer, sequence, TAG } from "../../src/kernel/der.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import {
  encryptingRequestFor,
  keyIdentifier,
  newKey,
  pemOf,
  startEnrolment,
} from "../support/enrolment.ts";

const run = promisify(execFile);

async function has(...command: [string, ...string[]]): Promise<boolean> {
  const [name, ...args] = command;
  return run(name, args).then(
    () => true,
    () => false,
  );
}

const available = (await has("curl", "--version")) && (await has("openssl", "version"));

describe.skipIf(!available)("curl and openssl as a client of EST", () => {
  let stage: Awaited<ReturnType<typeof startEnrolment>>;
  let folder: string;
  let est: string;

  beforeAll(async () => {
    stage = await startEnrolment();
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-est-"));
    fs.writeFileSync(path.join(folder, "root.pem"), stage.rootPem);
    est = `https://localhost:${stage.server.port}/.well-known/est/acme`;
  });
  afterAll(async () => {
    await stage?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const read = (name: string) => fs.readFileSync(path.join(folder, name), "utf8");
  /** A shell script in the test's folder, as one would type it. */
  async function shell(script: string): Promise<string> {
    const env = { PATH: process.env.PATH, EST: est, HOME: folder };
    const { stdout } = await run("sh", ["-ec", script], { cwd: folder, env });
    return stdout;
  }
  const token = async (change: Partial<NewClaim> = {}) =>
    (await stage.identity.claimTokens.create("acme", stage.claim(change), SYSTEM_ACTOR)).token;
  const request = (name: string, subject: string) =>
    shell(`openssl ecparam -name prime256v1 -genkey -noout -out ${name}.key
      openssl req -new -key ${name}.key -subj "${subject}" -outform DER | openssl base64 -out ${name}.b64`);
  const POST = `curl -s --cacert root.pem -H Content-Type:application/pkcs10`;
  const DECODE = `openssl base64 -d | openssl pkcs7 -inform DER -print_certs`;

  it("learns the authorities, and what a request should look like", async () => {
    await shell(`curl -s --cacert root.pem $EST/cacerts | ${DECODE} -out cas.pem`);
    expect(read("cas.pem").match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const attributes = await shell(
      `curl -s --cacert root.pem $EST/csrattrs | openssl base64 -d | openssl asn1parse -inform DER`,
    );
    expect(attributes).toMatch(/prime256v1[\s\S]*ecdsa-with-SHA256[\s\S]*acme/);
  });

  it("enrols by a token, renews by the certificate, and both verify strictly", async () => {
    const secret = await token();
    await request("dev", "/O=acme/CN=acme\\/curl-1");
    await shell(`${POST} -u claim:${secret} --data-binary @dev.b64 $EST/simpleenroll | ${DECODE} -out dev.crt
      openssl verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted cas.pem dev.crt`);
    expect(new X509Certificate(read("dev.crt")).subject).toBe("O=acme\nCN=acme/curl-1");
    await request("next", "/O=acme/CN=acme\\/curl-1");
    await shell(`cat dev.crt cas.pem > dev.chain
      ${POST} --cert dev.chain --key dev.key --data-binary @next.b64 $EST/simplereenroll | ${DECODE} -out next.crt
      openssl verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted cas.pem next.crt`);
    const [old, renewed] = [read("dev.crt"), read("next.crt")].map(
      (pem) => new X509Certificate(pem),
    );
    expect(renewed?.serialNumber).not.toBe(old?.serialNumber);
  });

  it("enrols by a claim certificate", async () => {
    const { identity, claim } = stage;
    const made = await identity.claimCertificates.create("acme", claim(), SYSTEM_ACTOR);
    fs.writeFileSync(path.join(folder, "claim.pem"), made.chainPem);
    fs.writeFileSync(path.join(folder, "claim.key"), made.keyPem as string);
    await request("line", "/O=acme/CN=curl-line");
    await shell(
      `${POST} --cert claim.pem --key claim.key --data-binary @line.b64 $EST/simpleenroll | ${DECODE} -out line.crt`,
    );
    expect(new X509Certificate(read("line.crt")).subject).toBe("O=acme\nCN=acme/curl-line");
  });

  it("is given a key where it cannot make one", async () => {
    const secret = await token();
    await request("poor", "/O=acme/CN=curl-poor");
    await shell(`${POST} -u claim:${secret} --data-binary @poor.b64 $EST/serverkeygen > answer.mime
      sed -n '/application\\/pkcs8/,/^--/p' answer.mime | sed '1,/^\\r*$/d;/^--/d' | openssl base64 -d | openssl pkey -inform DER -out given.key
      sed -n '/pkcs7-mime/,/^--/p' answer.mime | sed '1,/^\\r*$/d;/^--/d' | ${DECODE} -out given.crt`);
    const keys = await shell(
      `openssl pkey -in given.key -pubout; openssl x509 -in given.crt -noout -pubkey`,
    );
    const [own, certified] = keys.match(/-----BEGIN[\s\S]+?-----END [^-]+-----/g) ?? [];
    expect(own).toBe(certified);
  });

  it("is given its key encrypted for one that it has, and openssl opens it", async () => {
    const own = newKey();
    fs.writeFileSync(path.join(folder, "sealed.key"), pemOf(own));
    const wanted = [{ kind: "asymmetric" as const, identifier: keyIdentifier(own) }];
    fs.writeFileSync(
      path.join(folder, "sealed.b64"),
      encryptingRequestFor(own, "curl-sealed", wanted),
    );
    await shell(`${POST} -u claim:${await token()} --data-binary @sealed.b64 $EST/serverkeygen > answer.mime
      grep -q 'application/pkcs7-mime; smime-type=server-generated-key' answer.mime
      sed -n '/server-generated-key/,/^--/p' answer.mime | sed '1,/^\r*$/d;/^--/d' | openssl base64 -d > sealed.p7
      sed -n '/certs-only/,/^--/p' answer.mime | sed '1,/^\r*$/d;/^--/d' | ${DECODE} -out sealed.crt
      openssl cms -decrypt -binary -inform DER -in sealed.p7 -inkey sealed.key -out signed.der`);
    // What comes out is SignedData as it stands; the tool wants to be told so.
    const signed = fs.readFileSync(path.join(folder, "signed.der"));
    const content = sequence(oid("1.2.840.113549.1.7.2"), context(0, signed));
    fs.writeFileSync(path.join(folder, "signed.p7"), content);
    // Signed by who speaks for our authorities, and with all that is between it and the root.
    await shell(
      "openssl cms -verify -binary -inform DER -in signed.p7 -CAfile root.pem -purpose any -out package.der",
    );
    const [key] = membersOf(
      readDer(fs.readFileSync(path.join(folder, "package.der"))),
      TAG.sequence,
    );
    const given = createPrivateKey({ key: key?.raw as Buffer, format: "der", type: "pkcs8" });
    const certified = new X509Certificate(read("sealed.crt"));
    expect(certified.checkPrivateKey(given)).toBe(true);
    expect(certified.checkPrivateKey(own)).toBe(false);
    fs.writeFileSync(path.join(folder, "other.key"), pemOf(newKey()));
    await expect(
      shell("openssl cms -decrypt -inform DER -in sealed.p7 -inkey other.key -out nothing"),
    ).rejects.toThrow();
  });

  it("waits with 202 until a person accepts", async () => {
    const secret = await token({ approval: "pending" });
    await request("wait", "/O=acme/CN=curl-wait");
    const ask = () =>
      shell(
        `${POST} -u claim:${secret} --data-binary @wait.b64 -D headers -o body -w '%{http_code}' $EST/simpleenroll`,
      );
    expect(await ask()).toBe("202");
    expect(read("headers")).toMatch(/retry-after: 1\r/i);
    expect(read("body")).toContain("a person has to accept");
    const [waiting] = await stage.identity.pendingEnrolments.list("acme", "pending");
    await stage.identity.pendingEnrolments.accept("acme", waiting?.id as string, SYSTEM_ACTOR);
    expect(await ask()).toBe("200");
  });

  it("is told in plain text why it is refused", async () => {
    const secret = await token({ devicePattern: "only-*" });
    const ask = (options: string, operation = "simpleenroll") =>
      shell(
        `${POST} ${options} -D headers -o body -w '%{http_code}' $EST/${operation}; echo; cat body`,
      );
    await request("odd", "/O=acme/CN=curl-odd");
    expect(await ask("--data-binary @odd.b64")).toMatch(/^401\n/);
    expect(read("headers")).toMatch(/www-authenticate: Basic/i);
    expect(await ask(`-u claim:guess --data-binary @odd.b64`)).toMatch(/^401\n/);
    const refused = await ask(`-u claim:${secret} --data-binary @odd.b64`);
    expect(refused).toMatch(/^403\nthe claim is not for this device id \(refused at step: right\)/);
    expect(await ask(`-u claim:${secret} -d x`)).toMatch(/^400\n/);
    const typed = `curl -s --cacert root.pem -H Content-Type:text/plain -u claim:${secret}`;
    expect(await shell(`${typed} -d x -o body -w '%{http_code}' $EST/simpleenroll`)).toBe("415");
    await shell("head -c 1000000 /dev/zero | openssl base64 -out large.b64");
    expect(await ask(`-u claim:${secret} --data-binary @large.b64`)).toMatch(/^413\n/);
  });
});
