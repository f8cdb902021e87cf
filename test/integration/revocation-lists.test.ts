import https from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { until } from "../support/gateway.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

describe("published revocation lists", () => {
  let real: RealModules;
  let server: DeviceHttp;
  let device: EnrolledDevice;
  let authorityId: string;

  beforeAll(async () => {
    real = await createRealModules();
    const listen = { port: 0, bindAddress: "127.0.0.1" };
    const urls = { mqttUrl: "mqtts://localhost", httpsUrl: "https://localhost" };
    server = await startDeviceHttp({ ...real.modules, ...listen, ...urls });
    device = await real.enroll("one");
    authorityId = (await real.modules.identity.certificate("acme", device.serial)).authorityId;
  });
  afterAll(async () => {
    await server?.close();
    await real?.close();
  });

  function get(path: string, options: https.RequestOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const url = `https://localhost:${server.port}${path}`;
      const request = https.request(url, { ...options, ca: device.ca }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, headers, body: Buffer.concat(chunks) });
        });
      });
      request.once("error", reject).end();
    });
  }

  const numberOf = async () =>
    (await real.modules.identity.revocationList(authorityId, "full"))?.number;

  it("are given to anybody, with what caches need", async () => {
    const path = `/crl/${authorityId}.crl`;
    const first = await get(path);
    expect(first.status).toBe(200);
    expect(first.headers).toMatchObject({
      "content-type": "application/pkix-crl",
      "cache-control": "public, max-age=60",
      "content-length": String(first.body.length),
    });
    const { etag, "last-modified": modified } = first.headers as Record<string, string>;
    expect((await get(path, { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await get(path, { headers: { "if-none-match": `"x", W/${etag}` } })).status).toBe(304);
    expect((await get(path, { headers: { "if-modified-since": modified } })).status).toBe(304);
    const past = new Date(0).toUTCString();
    expect((await get(path, { headers: { "if-modified-since": past } })).status).toBe(200);
    const both = { "if-none-match": '"other"', "if-modified-since": modified };
    expect((await get(path, { headers: both })).status).toBe(200);
    const head = await get(path, { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(head.headers.etag).toBe(etag);
  });

  it("are not there for who is no authority, and not as deltas while they are small", async () => {
    const nobody = "01990000-0000-4000-8000-000000000000";
    const paths = [`/crl/${nobody}.crl`, "/crl/acme.crl", `/crl/${authorityId}-delta.crl`];
    for (const path of [...paths, "/crl/%2e%2e%2fetc", `/crl/${authorityId}`]) {
      expect((await get(path)).status).toBe(404);
    }
  });

  it("are made anew after a revocation, at a bounded rate, with rising numbers", async () => {
    const before = (await numberOf()) ?? 0;
    const { revocations } = real.modules.identity;
    for (let index = 0; index < 20; index += 1) {
      const { serial } = await real.enroll(`fast-${index}`);
      const reason = { reason: "keyCompromise" } as const;
      await revocations.revoke("acme", { serials: [serial] }, reason, SYSTEM_ACTOR);
      await numberOf();
    }
    await until(async () => {
      const list = await real.modules.identity.revocationList(authorityId, "full");
      return list?.entries === 20;
    }, 20_000);
    const after = (await numberOf()) ?? 0;
    expect(after).toBeGreaterThan(before);
    expect(after - before).toBeLessThan(10);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await numberOf()).toBe(after);
  });

  it("are the same from every process, and not made twice", async () => {
    const other = real.another();
    const [here, there] = await Promise.all([
      real.modules.identity.revocationList(authorityId, "full"),
      other.identity.revocationList(authorityId, "full"),
    ]);
    expect(there?.sha256).toBe(here?.sha256);
  });

  it("go on to name a certificate whose device was removed, and the responder knows it", async () => {
    const { serial } = await real.enroll("leaves");
    await real.modules.devices.remove("acme", "leaves", SYSTEM_ACTOR);
    await until(async () => {
      const list = await real.modules.identity.revocationList(authorityId, "full");
      return list?.der.includes(Buffer.from(serial, "hex")) === true;
    }, 20_000);
  });

  it("end with the tenant, whose authorities the root then names as revoked", async () => {
    await real.modules.tenancy.tenants.create({ id: "brief", name: "brief" }, SYSTEM_ACTOR);
    const { serial } = await real.enroll("d", "brief");
    const { authorityId: brief } = await real.modules.identity.certificate("brief", serial);
    expect(await real.modules.identity.revocationList(brief, "full")).toBeDefined();
    await real.modules.tenancy.tenants.delete("brief", SYSTEM_ACTOR);
    expect(await real.another().identity.revocationList(brief, "full")).toBeUndefined();
    const rows = await real.test.db.platform((tx) =>
      tx.selectFrom("certificate_authorities").select(["id", "kind"]).execute(),
    );
    const root = rows.find((row) => row.kind === "root")?.id as string;
    expect(await real.another().identity.revocationList(root, "full")).toMatchObject({
      entries: 1,
    });
  });

  it("refuse OCSP requests that are too large or of another type", async () => {
    const post = (type: string, size: number) =>
      new Promise<number>((resolve, reject) => {
        const url = `https://localhost:${server.port}/ocsp`;
        const options = { method: "POST", ca: device.ca, headers: { "content-type": type } };
        const request = https.request(url, options, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        request.once("error", reject).end(Buffer.alloc(size));
      });
    expect(await post("application/ocsp-request", 9_000)).toBe(413);
    expect(await post("text/plain", 10)).toBe(415);
  });
});
