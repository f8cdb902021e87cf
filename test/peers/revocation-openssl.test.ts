import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeviceHttp } from "../../src/device-http/index.ts";
import { toPem } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { until } from "../support/gateway.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";

const isPresent = spawnSync("openssl", ["version"]).error === undefined;
const run = promisify(execFile);

describe.skipIf(!isPresent)("OpenSSL (skipped where it is not installed)", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-openssl-"));
  const file = (name: string) => path.join(directory, name);
  let real: RealModules;
  let base: string;
  let relayUrl: string;
  let good: EnrolledDevice;
  let bad: EnrolledDevice;
  let held: EnrolledDevice;
  let authorityId: string;
  const stops: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    real = await createRealModules(undefined, { VAUTN_PUBLIC_HOST: "platform.test" });
    const listen = { port: 0, bindAddress: "127.0.0.1" };
    const urls = { mqttUrl: "mqtts://localhost", httpsUrl: "https://localhost" };
    const server = await startDeviceHttp({ ...real.modules, ...listen, ...urls });
    stops.push(() => server.close());
    base = `https://localhost:${server.port}`;
    good = await real.enroll("good");
    bad = await real.enroll("bad");
    held = await real.enroll("held");
    const { revocations } = real.modules.identity;
    const revoke = (serial: string, reason: "keyCompromise" | "certificateHold") =>
      revocations.revoke("acme", { serials: [serial] }, { reason }, SYSTEM_ACTOR);
    await revoke(bad.serial, "keyCompromise");
    await revoke(held.serial, "certificateHold");
    authorityId = (await real.modules.identity.certificate("acme", good.serial)).authorityId;
    const [authority, root] = await real.modules.identity.authorityCertificates("acme");
    fs.writeFileSync(file("ca.pem"), authority as string);
    fs.writeFileSync(file("root.pem"), root as string);
    for (const [name, device] of Object.entries({ good, bad, held })) {
      const leaf = device.cert.slice(0, device.cert.indexOf("-----END") + 26);
      fs.writeFileSync(file(`${name}.pem`), leaf);
    }
    await fetchList();
    const relay = http.createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const headers = { "content-type": String(request.headers["content-type"]) };
      const body = Buffer.concat(chunks);
      const answer = await get(base + request.url, { method: "POST", headers, body });
      response.writeHead(answer.status, { "content-type": answer.type });
      response.end(answer.body);
    });
    relay.listen(0, "127.0.0.1");
    await once(relay, "listening");
    relayUrl = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    stops.push(async () => void relay.close());
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
    await real?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  function get(url: string, options: https.RequestOptions & { body?: Buffer } = {}) {
    const { body, ...rest } = options;
    return new Promise<{ status: number; type: string; body: Buffer }>((resolve, reject) => {
      const request = https.request(url, { ...rest, ca: good.ca, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            type: String(response.headers["content-type"]),
            body: Buffer.concat(chunks),
          }),
        );
      });
      request.once("error", reject);
      request.end(body);
    });
  }

  /** The size of the list that is published now. */
  async function fetchList(): Promise<number> {
    const { status, body } = await get(`${base}/crl/${authorityId}.crl`);
    expect(status).toBe(200);
    fs.writeFileSync(file("list.der"), body);
    fs.writeFileSync(file("list.pem"), toPem("X509 CRL", body));
    return body.length;
  }

  const verify = (name: string, ...more: string[]) =>
    run("openssl", [
      ...["verify", "-x509_strict", "-crl_check", "-CAfile", file("root.pem")],
      ...["-untrusted", file("ca.pem"), "-CRLfile", file("list.pem"), ...more],
      file(`${name}.pem`),
    ]);

  it("reads the list, finds its signature right, and its reasons", async () => {
    const args = ["crl", "-inform", "DER", "-in", file("list.der"), "-noout", "-text"];
    const { stdout, stderr } = await run("openssl", [...args, "-CAfile", file("ca.pem")]);
    expect(stderr).toContain("verify OK");
    expect(stdout).toContain(bad.serial.toUpperCase());
    expect(stdout).toContain("Key Compromise");
    expect(stdout).toContain("Certificate Hold");
    expect(stdout).toContain("X509v3 CRL Number");
    expect(stdout).not.toContain(good.serial.toUpperCase());
  });

  it("finds in a certificate where its list and the responder are", async () => {
    const { stdout } = await run("openssl", ["x509", "-in", file("good.pem"), "-noout", "-text"]);
    expect(stdout).toContain(`URI:https://platform.test:8443/crl/${authorityId}.crl`);
    expect(stdout).toContain("OCSP - URI:https://platform.test:8443/ocsp");
  });

  it("accepts what is good by the list, and refuses what is revoked or held", async () => {
    expect((await verify("good")).stdout).toContain("OK");
    for (const name of ["bad", "held"]) {
      await expect(verify(name)).rejects.toMatchObject({
        stderr: expect.stringContaining("certificate revoked"),
      });
    }
  });

  it("accepts the whole chain by the lists of the authority and of the root", async () => {
    const identifiers = await real.test.db.platform((tx) =>
      tx.selectFrom("certificate_authorities").select(["id", "kind"]).execute(),
    );
    const root = identifiers.find((one) => one.kind === "root")?.id;
    const { body } = await get(`${base}/crl/${root}.crl`);
    const lists = fs.readFileSync(file("list.pem"), "utf8") + toPem("X509 CRL", body);
    fs.writeFileSync(file("lists.pem"), lists);
    const { stdout } = await run("openssl", [
      ...["verify", "-x509_strict", "-crl_check_all", "-CAfile", file("root.pem")],
      ...["-untrusted", file("ca.pem"), "-CRLfile", file("lists.pem"), file("good.pem")],
    ]);
    expect(stdout).toContain("OK");
  });

  /** Asks the responder by way of a relay, for `openssl ocsp` speaks no TLS of this kind itself. */
  async function ask(name: string, ...options: string[]) {
    return run("openssl", [
      ...["ocsp", ...options, "-issuer", file("ca.pem"), "-cert", file(`${name}.pem`)],
      ...["-url", `${relayUrl}/ocsp`, "-CAfile", file("root.pem")],
    ]);
  }

  it("is told by the responder what is good, revoked and why, and what is not known", async () => {
    const answer = await ask("good", "-nonce");
    expect(answer.stdout).toContain("good.pem: good");
    expect(answer.stderr).toContain("Response verify OK");
    // RFC 6960 §4.2.2.2: by a signer that the tenant's authority has named for that alone.
    const { stdout: text } = await ask("good", "-resp_text", "-nonce");
    expect(text).toMatch(/Issuer: O ?= ?acme, CN ?= ?acme Issuing CA[\s\S]*CN ?= ?acme OCSP/);
    expect(text).toMatch(/Extended Key Usage: \n\s+OCSP Signing/);
    expect(text).toMatch(/OCSP No Check/);
    expect((await ask("good", "-sha256")).stdout).toContain("good.pem: good");
    const revoked = await ask("bad", "-nonce");
    expect(revoked.stdout).toContain("bad.pem: revoked");
    expect(revoked.stdout).toContain("Reason: keyCompromise");
    expect((await ask("held", "-no_nonce")).stdout).toContain("Reason: certificateHold");
    const { stdout } = await run("openssl", [
      ...["ocsp", "-issuer", file("ca.pem"), "-serial", "0x4711", "-url", `${relayUrl}/ocsp`],
      ...["-CAfile", file("root.pem")],
    ]);
    expect(stdout).toContain("0x4711: unknown");
  });

  it("is answered by GET too, and refused for an issuer that is not ours", async () => {
    const request = ["-issuer", file("ca.pem"), "-cert", file("good.pem"), "-no_nonce"];
    await run("openssl", ["ocsp", ...request, "-reqout", file("req.der")]);
    const text = fs.readFileSync(file("req.der")).toString("base64");
    for (const path of [text, encodeURIComponent(text)]) {
      const { status, body } = await get(`${base}/ocsp/${path}`);
      expect(status).toBe(200);
      fs.writeFileSync(file("resp.der"), body);
      const args = ["-respin", file("resp.der"), "-CAfile", file("root.pem")];
      const checked = await run("openssl", ["ocsp", ...request, ...args]);
      expect(checked.stdout).toContain("good.pem: good");
    }
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    const made = ["-keyout", file("other.key"), "-out", file("other.pem"), "-subj", "/CN=Other"];
    await run("openssl", ["req", "-x509", ...key, ...made]);
    const foreign = ["-issuer", file("other.pem"), "-cert", file("good.pem")];
    await run("openssl", ["ocsp", ...foreign, "-reqout", file("req.der")]);
    const der = fs.readFileSync(file("req.der"));
    const headers = { "content-type": "application/ocsp-request" };
    const refused = await get(`${base}/ocsp`, { method: "POST", headers, body: der });
    // RFC 6960 §4.2.1: unauthorized (6), and malformedRequest (1).
    expect(refused.body).toEqual(Buffer.from("30030a0106", "hex"));
    const garbage = await get(`${base}/ocsp`, {
      method: "POST",
      headers,
      body: Buffer.from("hello"),
    });
    expect(garbage.body).toEqual(Buffer.from("30030a0101", "hex"));
  });

  it("finds the next list to say that a hold was lifted", async () => {
    const { revocations } = real.modules.identity;
    await revocations.restore("acme", { serials: [held.serial] }, "found", SYSTEM_ACTOR);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await fetchList();
    expect((await verify("held")).stdout).toContain("OK");
    expect((await ask("held", "-nonce")).stdout).toContain("held.pem: good");
    await expect(verify("bad")).rejects.toMatchObject({
      stderr: expect.stringContaining("certificate revoked"),
    });
  });

  it("accepts a delta list on top of a large one, with what was lifted since", async () => {
    const now = new Date();
    await real.test.db.tenant("acme", async (tx) => {
      const rows = Array.from({ length: 10_000 }, (_, index) => ({
        ...{ tenant_id: "acme", device_id: "bad", ca_id: authorityId, status: "revoked" as const },
        serial: (2n ** 126n + BigInt(index)).toString(16),
        ...{ subject: "", fingerprint: "", public_key_sha256: "", issued_via: "test" },
        ...{ not_before: now, issued_at: now, revoked_at: now, revocation_changed_at: now },
        ...{ not_after: new Date(now.getTime() + 86_400_000), revocation_code: 1 },
      }));
      for (let start = 0; start < rows.length; start += 1_000) {
        await tx
          .insertInto("certificates")
          .values(rows.slice(start, start + 1_000))
          .execute();
      }
    });
    const { revocations } = real.modules.identity;
    const hold = { reason: "certificateHold" } as const;
    await revocations.revoke("acme", { serials: [held.serial] }, hold, SYSTEM_ACTOR);
    await until(async () => (await fetchList()) > 300_000, 60_000);
    await expect(verify("held")).rejects.toThrow();
    await revocations.restore("acme", { serials: [held.serial] }, "found", SYSTEM_ACTOR);
    await revocations.revoke("acme", { serials: [good.serial] }, hold, SYSTEM_ACTOR);
    const full = fs.readFileSync(file("list.pem"), "utf8");
    const delta = ["-use_deltas", "-extended_crl"];
    await until(async () => {
      const { status, body } = await get(`${base}/crl/${authorityId}-delta.crl`);
      expect(status).toBe(200);
      fs.writeFileSync(file("list.pem"), full + toPem("X509 CRL", body));
      return verify("held", ...delta).then(
        ({ stdout }) => stdout.includes("OK"),
        () => false,
      );
    }, 60_000);
    await expect(verify("good", ...delta)).rejects.toMatchObject({
      stderr: expect.stringContaining("certificate revoked"),
    });
  });
});
