import { once } from "node:events";
import net from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";

const LIMIT_MS = 300;
/** How late an end may come: the clock of the limit, the interval of its check, a busy machine. */
const PATIENCE_MS = 5_000;

describe("slow clients of the operators' API", () => {
  let test: TestApi;
  let port: number;
  const sockets: net.Socket[] = [];
  beforeAll(async () => {
    test = await startTestApi({
      limits: { headersTimeoutMs: LIMIT_MS, bodyTimeoutMs: LIMIT_MS, lingerMs: LIMIT_MS },
    });
    port = Number(new URL(await test.listen()).port);
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  afterAll(() => test.close());

  /** Sends `head` and then a byte now and then; resolves with what came back when it is ended. */
  async function dribble(head: string): Promise<string> {
    const socket = net.connect({ port, host: "127.0.0.1" });
    sockets.push(socket);
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(head);
    const drip = setInterval(() => socket.writable && socket.write("a"), 200);
    const timeout = setTimeout(() => socket.destroy(new Error("never ended")), PATIENCE_MS);
    const startedAt = Date.now();
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(drip);
    clearTimeout(timeout);
    expect(Date.now() - startedAt, "until the server ended it").toBeLessThan(PATIENCE_MS);
    return received;
  }

  const post = (path: string, headers: string) =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n${headers}\r\n`;
  const image = "Content-Type: application/octet-stream\r\n";

  it("are ended when their header does not come to its end", async () => {
    expect(await dribble("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")).toMatch(
      /^(|HTTP\/1.1 408)/,
    );
  });

  it("are ended when nothing comes at all", async () => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    sockets.push(socket.resume());
    await once(socket, "close");
  });

  it("are ended when their body trickles in, though they are known", async () => {
    const headers = `Content-Type: application/json\r\nAuthorization: Bearer ${test.acme}\r\n`;
    await dribble(post("/api/v1/tenants/acme/groups", headers));
    expect((await test.call("GET", "/tenants/acme/groups")).body.items).toEqual([]);
  });

  it.each([
    ["without credentials", "/api/v1/tenants/acme/releases", image, 401],
    ["to a path that is not there", "/api/v1/nothing", image, 404],
    ["to a path of the console", "/", image, 404],
    [
      "of a type that is not taken",
      "/api/v1/auth/sign-in",
      "Content-Type: application/xml\r\n",
      415,
    ],
  ])("are ended soon after their refusal, whatever they still send: %s", async (...row) => {
    const [, path, headers, status] = row;
    expect(await dribble(post(path, headers))).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  it("stand in nobody's way", async () => {
    const slow = Array.from({ length: 100 }, () => dribble("GET /healthz HTTP/1.1\r\nHost: l"));
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
    expect(answer.status).toBe(200);
    await Promise.all(slow);
  });

  it("whose bodies come in time are served", async () => {
    const body = JSON.stringify({ name: "berlin", query: "online" });
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/tenants/acme/groups`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", authorization: `Bearer ${test.acme}` },
    });
    expect(answer.status).toBe(201);
  });
});

describe("one address that asks without end", () => {
  it("is told to wait, whether or not anyone knows it, before anything is looked up", async () => {
    const test = await startTestApi({ requestsPerMinute: 5 });
    try {
      const statuses = [];
      for (let i = 0; i < 7; i++) {
        const { status } = await test.call("GET", "/tenants/acme/groups", { key: "vtk_unknown" });
        statuses.push(status);
      }
      expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
      const { body } = await test.call("GET", "/tenants/acme/groups");
      expect(body).toMatchObject({ status: 429, code: "rate-limited" });
    } finally {
      await test.close();
    }
  });
});
