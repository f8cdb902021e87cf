import { once } from "node:events";
import fs from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AcmeCertificates } from "../../src/identity/acme/acme.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { forge } from "../support/pki.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

describe("an ACME authority that means no good", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-acme-"));
  const clock = new VirtualClock(Date.now());
  let test: TestDatabase;
  let authority: https.Server;
  let elsewhere: http.Server;
  let visits: string[];
  let handle: Handler;
  let base: string;
  let plain: string;

  beforeAll(async () => {
    test = await createTestDatabase();
    const root = await forge({ subject: "CN=Root", authority: true });
    const { keyPem, certificatePem } = await forge({
      ...{ subject: "CN=localhost", dns: ["localhost"], issuer: root },
      usage: ["1.3.6.1.5.5.7.3.1"],
    });
    fs.writeFileSync(path.join(folder, "root.pem"), root.certificatePem);
    authority = https.createServer({ key: keyPem, cert: certificatePem }, (...given) =>
      handle(...given),
    );
    elsewhere = http.createServer((request, response) => {
      visits.push(request.url ?? "");
      response.end("{}");
    });
    for (const server of [authority, elsewhere]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    base = `https://localhost:${(authority.address() as AddressInfo).port}`;
    plain = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    for (const server of [authority, elsewhere]) {
      server?.close();
      server?.closeAllConnections();
    }
    await test?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    visits = [];
  });

  let names = 0;
  /** What is written down of an order that came to nothing. */
  async function failureOf(answer: Handler) {
    handle = answer;
    names += 1;
    const acme = new AcmeCertificates({
      ...{ db: test.db, clock, sealer: createSealer(Buffer.alloc(32, 1)), announce() {} },
      logger: createLogger({ level: "silent" }),
      acme: {
        directoryUrl: `${base}/directory`,
        names: [`n${names}.example.com`],
        listeners: ["api"],
        caFile: path.join(folder, "root.pem"),
        pollMs: 1,
      },
    });
    await acme.renewIfDue();
    const status = await acme.status();
    expect(status).toMatchObject({ state: "failing", failures: 1 });
    expect(status?.nextAttemptAt?.getTime()).toBeGreaterThan(clock.now());
    return status;
  }

  const directory = (nonce = `${base}/nonce`) => ({
    ...{ newNonce: nonce, newAccount: `${base}/account`, newOrder: `${base}/order` },
    meta: {},
  });
  const json = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { "content-type": "application/json", "replay-nonce": "bm9uY2U" });
    response.end(JSON.stringify(body));
  };

  it("is not followed to an address without TLS", async () => {
    const status = await failureOf((_request, response) =>
      json(response, 200, directory(`${plain}/nonce`)),
    );
    expect(status?.lastError).toContain("without TLS");
    expect(visits).toEqual([]);
  });

  it("is not followed where it redirects", async () => {
    const status = await failureOf((_request, response) => {
      response.writeHead(302, { location: `${plain}/redirected` }).end();
    });
    expect(status?.lastStep).toBe("account");
    expect(visits).toEqual([]);
  });

  it("has its words written down, whatever they are made of", async () => {
    const detail = `no\0pe\r\n\u001b[31m ${"x".repeat(5_000)} \ud800`;
    const status = await failureOf((request, response) => {
      if (request.url === "/directory") return json(response, 200, directory());
      if (request.method === "HEAD") return json(response, 200, {});
      return json(response, 403, { type: "urn:ietf:params:acme:error:unauthorized", detail });
    });
    expect(status?.lastStep).toBe("account");
    expect(status?.lastError).toContain("no");
    expect(status?.lastError).not.toMatch(/\p{Cc}/u);
    expect(status?.lastError?.length).toBeLessThanOrEqual(1_000);
  });

  it("does not fill the memory with an answer without end", async () => {
    const status = await failureOf((_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, 32);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.writeHead(200, { "content-type": "application/json" });
      response.on("drain", more);
      more();
    });
    expect(status?.lastError).toContain("too large");
  });

  it("is not believed with nonsense for a directory", async () => {
    for (const body of [null, [], "x", { newNonce: 7 }, { newNonce: "file:///etc/passwd" }]) {
      const status = await failureOf((_request, response) => json(response, 200, body));
      expect(status?.lastStep).toBe("account");
    }
  });
});
