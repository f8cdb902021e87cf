import { execFile } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FAILURE } from "../../src/identity/cmp/failures.ts";
import { readMessage } from "../../src/identity/cmp/message.ts";
import type { NewClaim } from "../../src/identity/index.ts";
import { membersOf, TAG } from "../../src/kernel/der.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { newKey, pemOf, startEnrolment } from "../support/enrolment.ts";

const run = promisify(execFile);

async function canSpeakCmp(): Promise<boolean> {
  try {
    await run("openssl", ["cmp", "-help"]);
    return true;
  } catch {
    return false;
  }
}

const available = await canSpeakCmp();

describe.skipIf(!available)("openssl cmp", () => {
  let stage: Awaited<ReturnType<typeof startEnrolment>>;
  let folder: string;
  let next = 0;

  beforeAll(async () => {
    stage = await startEnrolment();
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-cmp-"));
    fs.writeFileSync(file("root.pem"), stage.rootPem);
  });
  afterAll(async () => {
    await stage?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const file = (name: string) => path.join(folder, name);
  const keyFile = (name: string) => {
    fs.writeFileSync(file(name), pemOf(newKey()));
    return file(name);
  };
  const read = (name: string) => new X509Certificate(fs.readFileSync(file(name)));

  /** Runs the client; resolves with what it said, and whether it was content. */
  async function cmp(...args: string[]): Promise<{ done: boolean; output: string }> {
    const tenant = args.includes("-path") ? [] : ["-path", ".well-known/cmp/p/acme"];
    const all = [
      ...["cmp", "-config", "", "-server", `https://localhost:${stage.server.port}`],
      ...["-tls_used", "-tls_trusted", file("root.pem"), "-total_timeout", "20"],
      ...tenant,
      ...args,
    ];
    try {
      const { stdout, stderr } = await run("openssl", all);
      return { done: true, output: stdout + stderr };
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      return { done: false, output: `${stdout}${stderr}` };
    }
  }
  async function secret(change: Partial<NewClaim> = {}) {
    const claim = stage.claim(change);
    const made = await stage.identity.claimTokens.createSharedSecret("acme", claim, SYSTEM_ACTOR);
    return { ...made, args: ["-ref", made.reference, "-secret", `pass:${made.secret}`] };
  }
  /** A device that was enrolled with a MAC: the files of its key and certificate. */
  async function enrolled(deviceId: string) {
    const { args } = await secret();
    const [key, cert] = [keyFile(`${deviceId}.key`), `${deviceId}.crt`];
    const answer = await cmp(
      ...["-cmd", "ir", ...args, "-newkey", key, "-subject", `/O=acme/CN=acme\\/${deviceId}`],
      ...["-certout", file(cert)],
    );
    expect(answer.done, answer.output).toBe(true);
    return {
      key,
      cert: file(cert),
      own: ["-cert", file(cert), "-key", key, "-trusted", file("root.pem")],
    };
  }

  it.each([
    ["the MAC of SHA-1 that it takes by itself", []],
    ["a MAC of SHA-256", ["-mac", "hmacWithSHA256"]],
    ["a MAC of SHA-512, confirmed at once", ["-mac", "hmacWithSHA512", "-implicit_confirm"]],
  ])("gets its first certificate by %s", async (_, options) => {
    const { id, args } = await secret({ maxUses: 1 });
    next += 1;
    const answer = await cmp(
      ...["-cmd", "ir", ...args, ...options, "-newkey", keyFile("ir.key")],
      ...["-subject", `/O=acme/CN=cmp-${next}`],
      ...[
        "-certout",
        file("ir.crt"),
        "-chainout",
        file("chain.crt"),
        "-cacertsout",
        file("ca.crt"),
      ],
    );
    expect(answer.done, answer.output).toBe(true);
    const certificate = read("ir.crt");
    expect(certificate.subject).toBe(`O=acme\nCN=acme/cmp-${next}`);
    expect(certificate.checkPrivateKey(privateKeyIn(file("ir.key")))).toBe(true);
    expect(read("ca.crt").fingerprint256).toBe(new X509Certificate(stage.rootPem).fingerprint256);
    const used = (await stage.identity.claimTokens.list("acme")).find((one) => one.id === id);
    expect(used).toMatchObject({ kind: "shared-secret", usedCount: 1 });
    const states = await stage.database.db.tenant("acme", (tx) =>
      tx
        .selectFrom("cmp_transactions")
        .select("status")
        .where("device_id", "=", `cmp-${next}`)
        .execute(),
    );
    expect(states).toEqual([{ status: "confirmed" }]);
  });

  it("finds its tenant by the reference where the path names none", async () => {
    const { args } = await secret();
    const answer = await cmp(
      ...["-path", ".well-known/cmp", "-cmd", "cr", ...args, "-newkey", keyFile("cr.key")],
      ...["-subject", "/CN=acme\\/cmp-cr", "-certout", file("cr.crt")],
    );
    expect(answer.done, answer.output).toBe(true);
    expect(read("cr.crt").subject).toBe("O=acme\nCN=acme/cmp-cr");
    const elsewhere = await cmp(
      ...["-path", ".well-known/cmp/p/globex", "-cmd", "cr", ...args],
      ...["-newkey", keyFile("x.key"), "-subject", "/CN=x", "-certout", file("x.crt")],
      "-unprotected_errors",
    );
    expect(elsewhere.done).toBe(false);
    expect(elsewhere.output).toContain("wrongAuthority");
  });

  it("brings a PKCS#10 request", async () => {
    const { args } = await secret();
    const key = keyFile("p10.key");
    await run("openssl", [
      ...[
        "req",
        "-new",
        "-key",
        key,
        "-subj",
        "/O=acme/CN=acme\\/cmp-p10",
        "-out",
        file("p10.csr"),
      ],
    ]);
    const answer = await cmp(
      ...["-cmd", "p10cr", ...args, "-csr", file("p10.csr"), "-certout", file("p10.crt")],
    );
    expect(answer.done, answer.output).toBe(true);
    expect(read("p10.crt").checkPrivateKey(privateKeyIn(key))).toBe(true);
  });

  it.each([[[]], [["-implicit_confirm"]]])(
    "updates its key, signed by the old one (%j)",
    async (options) => {
      next += 1;
      const { own } = await enrolled(`kur-${next}`);
      const answer = await cmp(
        ...["-cmd", "kur", ...own, ...options, "-newkey", keyFile("kur.key")],
        ...["-certout", file("kur.crt")],
      );
      expect(answer.done, answer.output).toBe(true);
      expect(read("kur.crt").subject).toBe(`O=acme\nCN=acme/kur-${next}`);
      expect(read("kur.crt").checkPrivateKey(privateKeyIn(file("kur.key")))).toBe(true);
    },
  );

  it("gets another certificate by signature, but no other device's", async () => {
    const { own } = await enrolled("cmp-sig");
    const key = keyFile("sig.key");
    const same = await cmp(
      ...["-cmd", "cr", ...own, "-newkey", key, "-subject", "/O=acme/CN=cmp-sig"],
      ...["-certout", file("sig.crt")],
    );
    expect(same.done, same.output).toBe(true);
    const other = await cmp(
      ...["-cmd", "cr", ...own, "-newkey", keyFile("sig2.key"), "-subject", "/O=acme/CN=cmp-oth"],
      ...["-certout", file("no.crt")],
    );
    expect(other.done).toBe(false);
    expect(other.output).toMatch(/badCertTemplate|names someone else/);
  });

  it("enrols by a claim certificate", async () => {
    const claim = stage.claim({ devicePattern: "claimed-*" });
    const made = await stage.identity.claimCertificates.create("acme", claim, SYSTEM_ACTOR);
    fs.writeFileSync(file("claim.key"), made.keyPem as string);
    fs.writeFileSync(file("claim.crt"), made.certificatePem);
    const answer = await cmp(
      ...["-cmd", "ir", "-cert", file("claim.crt"), "-key", file("claim.key")],
      ...["-trusted", file("root.pem"), "-newkey", keyFile("cl.key")],
      ...["-subject", "/O=acme/CN=claimed-1", "-certout", file("cl.crt")],
    );
    expect(answer.done, answer.output).toBe(true);
    expect(read("cl.crt").subject).toBe("O=acme\nCN=acme/claimed-1");
  });

  it("revokes its own certificate and no other", async () => {
    const [own, other] = [await enrolled("rr-1"), await enrolled("rr-2")];
    const foreign = await cmp("-cmd", "rr", ...own.own, "-oldcert", other.cert, "-revreason", "4");
    expect(foreign.done).toBe(false);
    expect(foreign.output).toContain("badCertId");
    const hold = await cmp("-cmd", "rr", ...own.own, "-oldcert", own.cert, "-revreason", "2");
    expect(hold.output).toContain("badRequest");
    const answer = await cmp("-cmd", "rr", ...own.own, "-oldcert", own.cert, "-revreason", "1");
    expect(answer.done, answer.output).toBe(true);
    const [row] = await stage.identity.certificates("acme", "rr-1");
    expect(row).toMatchObject({ status: "revoked", revocationCode: "keyCompromise" });
    const again = await cmp(
      "-cmd",
      "kur",
      ...own.own,
      "-newkey",
      keyFile("z.key"),
      "-certout",
      file("z.crt"),
    );
    expect(again.done).toBe(false);
    expect(again.output).toContain("certRevoked");
  });

  it("polls until a person has accepted", async () => {
    const { args } = await secret({ approval: "pending" });
    const waiting = cmp(
      ...["-cmd", "ir", ...args, "-newkey", keyFile("w.key"), "-subject", "/O=acme/CN=cmp-wait"],
      ...["-certout", file("w.crt")],
    );
    const { pendingEnrolments } = stage.identity;
    const find = async () =>
      (await pendingEnrolments.list("acme", "pending")).find((one) => one.deviceId === "cmp-wait");
    await expect.poll(find, { timeout: 10_000 }).toBeDefined();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await pendingEnrolments.accept("acme", (await find())?.id as string, SYSTEM_ACTOR);
    const answer = await waiting;
    expect(answer.done, answer.output).toBe(true);
    expect(answer.output).toContain("poll");
    expect(read("w.crt").subject).toBe("O=acme\nCN=acme/cmp-wait");
  });

  it("gives back a certificate that it cannot verify, and it is revoked", async () => {
    const { args } = await secret();
    await run("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", file("other.key"), "-out", file("other.pem"), "-subj", "/CN=other"],
    ]);
    const answer = await cmp(
      ...["-cmd", "ir", ...args, "-newkey", keyFile("g.key"), "-subject", "/O=acme/CN=cmp-back"],
      ...["-certout", file("g.crt"), "-out_trusted", file("other.pem")],
    );
    expect(answer.done).toBe(false);
    const [certificate] = await stage.identity.certificates("acme", "cmp-back");
    expect(certificate?.status).toBe("revoked");
  });

  it("cannot repeat another's messages", async () => {
    const { args } = await secret();
    const request = [
      "-cmd",
      "ir",
      ...args,
      "-newkey",
      keyFile("e.key"),
      "-subject",
      "/CN=cmp-echo",
    ];
    const first = await cmp(
      ...[...request, "-certout", file("e.crt"), "-reqout", `${file("e1.der")},${file("e2.der")}`],
    );
    expect(first.done, first.output).toBe(true);
    const post = (name: string) =>
      stage.call("/.well-known/cmp/p/acme", {
        method: "POST",
        body: fs.readFileSync(file(name)),
        headers: { "content-type": "application/pkixcmp" },
      });
    for (const [name, failure] of [
      ["e1.der", FAILURE.transactionIdInUse],
      ["e2.der", FAILURE.certConfirmed],
    ] as const) {
      const answer = await post(name);
      expect(answer.status).toBe(200);
      expect(failureIn(answer.body)).toBe(failure);
    }
    expect(await stage.identity.certificates("acme", "cmp-echo")).toHaveLength(1);
  });

  it("is told why it is refused, and the tenant reads it in the audit log", async () => {
    const { reference, args } = await secret({ maxUses: 1, devicePattern: "only-*" });
    const ask = (deviceId: string, credentials: string[], ...more: string[]) =>
      cmp(
        ...["-cmd", "ir", ...credentials, "-newkey", keyFile("r.key"), ...more],
        ...["-subject", `/O=acme/CN=${deviceId}`, "-certout", file("r.crt")],
      );
    const wrong = await ask(
      "only-1",
      ["-ref", reference, "-secret", "pass:guess"],
      "-unprotected_errors",
    );
    expect(wrong.output).toContain("badMessageCheck");
    expect((await stage.refusals())[0]).toMatchObject({
      details: { reason: "mac", step: "right" },
    });
    const name = await ask("other", args);
    expect(name.output).toContain("notAuthorized");
    expect((await stage.refusals())[0]).toMatchObject({ details: { reason: "pattern" } });
    const unproved = await ask("only-1", args, "-popo", "-1");
    expect(unproved.output).toContain("badPOP");
    expect((await stage.refusals())[0]).toMatchObject({
      details: { reason: "signature", step: "request", via: "cmp-ir" },
    });
    fs.writeFileSync(file("rsa.key"), (await run("openssl", ["genrsa", "2048"])).stdout);
    const weak = await ask("only-1", args, "-newkey", file("rsa.key"));
    expect(weak.output).toContain("badAlg");
    expect((await ask("only-1", args)).done).toBe(true);
    const used = await ask("only-2", args);
    expect(used.output).toContain("used as often");
    const unknown = await ask("x", ["-ref", "nobody", "-secret", "pass:x"], "-unprotected_errors");
    expect(unknown.output).toContain("badMessageCheck");
  });

  it.each(["caCerts", "certReqTemplate", "signKeyPairTypes"])(
    "asks for %s with a secret, with its certificate and, before it has anything, with neither",
    async (name) => {
      const question = ["-cmd", "genm", "-infotype", name];
      const { args } = await secret();
      const device = await enrolled(`genm-${name.toLowerCase()}`);
      const nothing = ["-unprotected_requests", "-trusted", file("root.pem")];
      for (const who of [args, device.own, [...nothing, "-subject", "/CN=new"]]) {
        const answer = await cmp(...question, ...who);
        expect(answer.done, answer.output).toBe(true);
        expect(answer.output).toContain(`id-it-${name}`);
      }
      const elsewhere = ["-path", ".well-known/cmp/p/nobody", "-subject", "/CN=new"];
      const refused = await cmp(...question, ...nothing, ...elsewhere);
      expect(refused.done).toBe(false);
      // Without the tenant in the path nobody can say whose authorities are meant.
      const nowhere = ["-path", ".well-known/cmp", "-subject", "/CN=new"];
      expect((await cmp(...question, ...nothing, ...nowhere)).done).toBe(false);
    },
  );

  it("is refused where the clocks are more than a day apart", async () => {
    const { args } = await secret({ expiresAt: new Date(Date.now() + 9 * 86_400_000) });
    stage.wait(2 * 86_400_000);
    try {
      const answer = await cmp(
        ...["-cmd", "ir", ...args, "-newkey", keyFile("t.key"), "-subject", "/O=acme/CN=late"],
        ...["-certout", file("t.crt"), "-unprotected_errors"],
      );
      expect(answer.output).toContain("badTime");
    } finally {
      stage.wait(-2 * 86_400_000);
    }
  });
});

/** The bit that an error message sets in PKIFailureInfo. */
function failureIn(message: Buffer): number {
  const { body } = readMessage(message);
  const [status] = membersOf(body, TAG.sequence);
  const bits = membersOf(status, TAG.sequence).at(-1)?.content as Buffer;
  return (bits.length - 1) * 8 - 1 - (bits[0] as number);
}

function privateKeyIn(name: string) {
  return createPrivateKey(fs.readFileSync(name));
}
