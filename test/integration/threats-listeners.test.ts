import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { gzipSync } from "node:zlib";
import { encode } from "cborg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { createCertificateRequest, decodePayload } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createGatewayFixture, type GatewayFixture, RawClient } from "../support/gateway.ts";

const HOST = "Host: localhost\r\n";
const CLOSE = "Connection: close\r\n\r\n";
const SECRET = "no page of the console";

let test: TestApi;
let directory: string;
let apiPort: number;
let devices: DeviceHttp;
let rootPem: string;

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-threats-"));
  const web = path.join(directory, "web");
  fs.mkdirSync(path.join(web, "assets"), { recursive: true });
  fs.writeFileSync(path.join(web, "index.html"), "the console");
  fs.writeFileSync(path.join(web, "assets", "app.js"), "a script");
  fs.writeFileSync(path.join(directory, "secret.txt"), SECRET);
  test = await startTestApi({ webDirectory: web });
  apiPort = Number(new URL(await test.listen()).port);
  devices = await startDeviceHttp({
    ...test.modules,
    port: 0,
    bindAddress: "127.0.0.1",
    mqttUrl: "mqtts://localhost:8883",
    httpsUrl: "https://localhost:8443",
  });
  rootPem = await test.modules.identity.rootCertificatePem();
});
afterAll(async () => {
  await devices?.close();
  await test?.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

const ports = {
  api: async () => {
    const socket = net.connect(apiPort, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  },
  "device-http": async () => {
    const socket = tls.connect({ port: devices.port, host: "localhost", ca: rootPem });
    await once(socket, "secureConnect");
    return socket;
  },
};

/** What comes back for bytes that are sent as they are. */
async function raw(port: keyof typeof ports, bytes: string | Buffer): Promise<string> {
  const socket = await ports[port]();
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk;
  });
  socket.on("error", () => {});
  socket.setTimeout(3_000, () => socket.destroy());
  socket.write(bytes);
  await new Promise((resolve) => socket.once("close", resolve));
  return received;
}

const statusOf = (answer: string) => Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1] ?? 0);

describe.each(["api", "device-http"] as const)("broken HTTP on the port of %s", (port) => {
  const alive = async () =>
    expect(statusOf(await raw(port, `GET /healthz HTTP/1.1\r\n${HOST}${CLOSE}`))).toBe(200);

  it.each([
    ["a path that decodes to nothing", `GET /%zz HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["a NUL in the path", `GET /a%00b HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["an escape out of the root", `GET /../../etc/passwd HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["a broken parameter", `GET /api/v1/tenants/%E0%A4%A HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["a tenant that is no text", `GET /.well-known/est/%ff/cacerts HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["TRACE", `TRACE / HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["CONNECT", `CONNECT 10.0.0.1:80 HTTP/1.1\r\n${HOST}${CLOSE}`],
    ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${HOST}${CLOSE}`],
    [
      "a protocol to change to",
      `GET / HTTP/1.1\r\n${HOST}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n`,
    ],
    ["no host", "GET /api/v1/none HTTP/1.1\r\nConnection: close\r\n\r\n"],
    ["two lengths", `POST /a HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
    [
      "a length and chunks",
      `POST /a HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ["a line break in a header", `GET /a HTTP/1.1\r\n${HOST}X: a\nSet-Cookie: b\r\n${CLOSE}`],
    ["a header that never ends", `GET /a HTTP/1.1\r\n${HOST}X: ${"a".repeat(20_000)}\r\n${CLOSE}`],
    ["no HTTP at all", Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3, 13, 10, 13, 10])],
  ])("is refused or not found, and the next one is served: %s", async (_what, bytes) => {
    const answer = await raw(port, bytes);
    const status = statusOf(answer);
    const isPage = status === 200 && answer.includes("the console");
    expect(isPage || status === 0 || (status >= 400 && status < 500), answer.slice(0, 300)).toBe(
      true,
    );
    expect(answer).not.toMatch(/root:|node_modules|at \w+ \(/);
    await alive();
  });

  it("is no second request behind the first one's back", async () => {
    const smuggled = `GET /healthz HTTP/1.1\r\n${HOST}\r\n`;
    const head = `POST /none HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: ${smuggled.length}\r\n\r\n`;
    const answer = await raw(port, `${head}${smuggled}`);
    expect(answer.match(/HTTP\/1.1 200/g)).toBeNull();
    await alive();
  });

  it("is a connection that breaks off at any place", async () => {
    const whole = `POST /none HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nab`;
    for (let length = 0; length < whole.length; length += 7) {
      const socket = await ports[port]();
      socket.on("error", () => {});
      socket.write(whole.slice(0, length));
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (socket instanceof tls.TLSSocket) socket.destroy();
      else socket.resetAndDestroy();
    }
    await alive();
  });
});

describe("paths that lead out of their folder", () => {
  it.each([
    "/assets/../../secret.txt",
    "/assets/..%2f..%2fsecret.txt",
    "/assets/%2e%2e/%2e%2e/secret.txt",
    "/assets/..%5c..%5csecret.txt",
    "/assets/....//....//secret.txt",
    "/assets/%00/../../secret.txt",
    "/..%2fsecret.txt",
    "//secret.txt",
    "/secret.txt",
  ])("find nothing in the console: %s", async (target) => {
    const answer = await raw("api", `GET ${target} HTTP/1.1\r\n${HOST}${CLOSE}`);
    expect(answer).not.toContain(SECRET);
    const control = await raw("api", `GET /assets/app.js HTTP/1.1\r\n${HOST}${CLOSE}`);
    expect(control).toContain("a script");
  });

  it.each(["..%2f..%2fsecret.txt", "%2e%2e", `${"a".repeat(63)}%2f`, "A".repeat(64)])(
    "find nothing among the artifacts: %s",
    async (name) => {
      const answer = await raw("device-http", `GET /artifacts/${name} HTTP/1.1\r\n${HOST}${CLOSE}`);
      // Without a certificate nobody learns whether there is such a thing.
      expect([403, 404]).toContain(statusOf(answer));
    },
  );
});

describe("bodies that unpack to more than they are", () => {
  const bomb = gzipSync(Buffer.alloc(50_000_000, 0x20));

  it.each(["gzip", "deflate", "br", "zstd"])("are not unpacked: %s", async (encoding) => {
    const before = process.memoryUsage().rss;
    const answer = await fetch(`http://127.0.0.1:${apiPort}/api/v1/tenants/acme/groups`, {
      method: "POST",
      body: bomb,
      headers: {
        "content-type": "application/json",
        "content-encoding": encoding,
        authorization: `Bearer ${test.acme}`,
      },
    });
    expect([400, 415]).toContain(answer.status);
    expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000);
  });

  it.each([
    ["JSON that is nested too deeply", Buffer.from("[".repeat(200_000))],
    ["JSON within its depth and closed", Buffer.from("[".repeat(1_000) + "]".repeat(1_000))],
    ["CBOR that is nested too deeply", Buffer.alloc(200_000, 0x81)],
    ["CBOR maps within maps", Buffer.alloc(200_000, 0xa1)],
    ["CBOR that claims four billion members", Buffer.from([0x9a, 0xff, 0xff, 0xff, 0xff, 0x01])],
    [
      "CBOR that claims a text of exabytes",
      Buffer.from([0x7b, 0, 255, 255, 255, 255, 255, 255, 255]),
    ],
    ["CBOR of endless parts", Buffer.alloc(100_000, 0x9f)],
    ["CBOR with a key twice", Buffer.from([0xa2, 0x61, 0x61, 1, 0x61, 0x61, 2])],
    ["a text that is no UTF-8", Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ])("are refused within a moment: %s", (_what, payload) => {
    const before = process.cpuUsage();
    expect(() => decodePayload(payload)).toThrow(
      expect.objectContaining({ code: "message-invalid" }),
    );
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
    expect(decodePayload(encode({ ts: 1 }))).toEqual({ ts: 1 });
  });
});

describe("a device that plays the platform", () => {
  it("is believed by no other device, though the same root stands above both", async () => {
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const csr = createCertificateRequest({
      privateKey: key,
      commonName: "acme/localhost",
      organization: "acme",
    });
    const { chainPem } = await test.modules.identity.enroll({
      tenantId: "acme",
      csr,
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId: "localhost" },
      device: { product: "hub", hardwareRevision: "a" },
    });
    const own = await test.modules.identity.serverCredentials();
    const connectTo = async (cert: string, keyPem: string) => {
      const server = tls.createServer({ cert, key: keyPem }, (socket) => socket.end());
      server.on("tlsClientError", () => {});
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as net.AddressInfo;
      const socket = tls.connect({ port, host: "localhost", ca: rootPem });
      try {
        await once(socket, "secureConnect");
        return "believed";
      } catch (error) {
        return String((error as { code?: string }).code);
      } finally {
        socket.destroy();
        server.close();
      }
    };
    const pem = key.export({ type: "pkcs8", format: "pem" }) as string;
    expect(await connectTo(chainPem, pem)).toMatch(/INVALID_PURPOSE|ALTNAME|PERMITTED/);
    expect(await connectTo(own.certificatePem, own.keyPem)).toBe("believed");
  });
});

describe("MQTT from those who break off", () => {
  let fixture: GatewayFixture;
  beforeAll(async () => {
    fixture = await createGatewayFixture();
  });
  afterAll(() => fixture.close());

  it("harms nobody at any place: in the handshake, in CONNECT, in a message", async () => {
    const { port } = fixture.gateway;
    const device = await fixture.pki.device("acme", "d-1");
    const reset = async (bytes: Buffer) => {
      const socket = net.connect(port, "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.write(bytes);
      await new Promise((resolve) => setTimeout(resolve, 2));
      socket.resetAndDestroy();
    };
    const hello = Buffer.from("16030100c8010000c40303", "hex");
    for (let length = 0; length <= hello.length; length += 1)
      await reset(hello.subarray(0, length));
    for (const bytes of [[0x10], [0x10, 0x0d, 0, 4, 0x4d], [0x10, 0xff, 0x7f, 0, 4]]) {
      const client = await RawClient.open(port, device);
      client.write(Buffer.from(bytes));
      client.destroy();
    }
    for (let round = 0; round < 20; round += 1) {
      const client = await RawClient.connect(port, device);
      client.write(Buffer.from([0x32, 0x40, 0, 5, 0x74]));
      client.destroy();
    }
    const client = await RawClient.connect(port, device);
    client.send({ cmd: "pingreq" });
    expect(await client.next("pingresp")).toBeDefined();
    client.destroy();
  });

  it("is bounded in names and values that only cost to read", async () => {
    const device = await fixture.pki.device("acme", "d-2");
    const userProperties = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, index) => [`__proto__${index}`, "x"]),
    );
    const client = await RawClient.connect(fixture.gateway.port, device);
    client.send({
      cmd: "publish",
      topic: "tenants/acme/devices/d-2/telemetry",
      payload: '{"ts":1,"seq":1,"values":{"a":1}}',
      qos: 1,
      dup: false,
      retain: false,
      messageId: 1,
      properties: {
        userProperties: { ...userProperties, ["__proto__"]: "x", traceparent: "nonsense" },
      },
    });
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
    expect(({} as { x?: string }).x).toBeUndefined();
    client.destroy();
  });
});
