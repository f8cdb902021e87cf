import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openApiText } from "../../src/api/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";
import { publishRelease } from "../support/api-release.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const HUB = { id: "hub-1", product: "hub", hardwareRevision: "a", tags: { site: "berlin" } };

describe("the operators' API", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
    await test.call("POST", "/tenants/acme/devices", { body: HUB });
  });
  afterAll(() => test.close());

  it("is described by the committed openapi.json", async () => {
    const committed = fs.readFileSync(path.join(ROOT, "openapi.json"), "utf8");
    expect(await openApiText()).toBe(committed);
    const served = await test.call("GET", "/api/v1/openapi.json", { key: null });
    expect(served.body).toEqual(JSON.parse(committed));
  });

  it("is called by clients that are written from that description", () => {
    const script = path.join(ROOT, "tools/build-openapi.ts");
    expect(() => execFileSync(process.execPath, [script, "--check"])).not.toThrow();
  });

  it("says who the caller is and goes on with the caller's trace", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const answer = await test.call("GET", "/auth/whoami", { headers });
    expect(answer.body).toMatchObject({
      actor: { kind: "user", name: "admin@example.com" },
      platformRole: "platform-administrator",
      tenants: [{ id: "acme" }, { id: "globex" }],
    });
    expect(answer.headers["x-trace-id"]).toBe(traceId);
    expect(answer.headers.traceparent).toContain(traceId);
  });

  it.each([
    ["null for a number", { ...HUB, id: "x", hardwareRevision: null }],
    ["a number for a text", { ...HUB, id: 12 }],
    ["an unknown key", { ...HUB, id: "x", colour: "red" }],
    ["a tag that is no text", { ...HUB, id: "x", tags: { site: 1 } }],
    ["no object", []],
  ])("refuses %s in a body and names the field", async (_what, body) => {
    const answer = await test.call("POST", "/tenants/acme/devices", { body });
    expect([answer.status, answer.body.code]).toEqual([400, "invalid-request"]);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(answer.body.errors[0].path).toMatch(/^body/);
    expect(answer.body.traceId).toBe(answer.headers["x-trace-id"]);
  });

  it("refuses bodies that are not JSON, too deep, too large or of another type", async () => {
    const post = (payload: string, type = "application/json") =>
      test.call("POST", "/tenants/acme/groups", {
        headers: { "content-type": type },
        body: payload,
      });
    const deep = `${"[".repeat(100)}${"]".repeat(100)}`;
    expect((await post("{")).status).toBe(400);
    expect((await post(`{"name":"a","query":${deep}}`)).status).toBe(400);
    expect((await post('{"__proto__":{"x":1},"name":"a","query":""}')).status).toBe(400);
    expect((await post(JSON.stringify("x".repeat(1_100_000)))).body.code).toBe("payload-too-large");
    expect((await post("a: b", "text/yaml")).body.code).toBe("unsupported-media-type");
  });

  it.each(["limit=0", "limit=501", "limit=1.5", "limit=", "limit=0x10", "colour=red"])(
    "refuses the query string %s",
    async (query) => {
      const { status, body } = await test.call("GET", `/tenants/acme/devices?${query}`);
      expect([status, body.code]).toEqual([400, "invalid-request"]);
    },
  );

  it("tells where a fleet query cannot be understood", async () => {
    const url = `/tenants/acme/devices?q=${encodeURIComponent("product = ")}`;
    const { status, body } = await test.call("GET", url);
    expect([status, body.code]).toEqual([400, "invalid-query"]);
    expect(body.details.position).toBeTypeOf("number");
  });

  it("pages through a list with cursors that fit no other list", async () => {
    for (const id of ["hub-2", "hub-3"]) {
      await test.call("POST", "/tenants/acme/devices", { body: { ...HUB, id } });
    }
    const seen: string[] = [];
    let cursor = "";
    do {
      const { body } = await test.call("GET", `/tenants/acme/devices?limit=1${cursor}`);
      seen.push(body.items[0].id);
      cursor = body.nextCursor ? `&cursor=${body.nextCursor}` : "";
    } while (cursor);
    expect(seen).toEqual(["hub-1", "hub-2", "hub-3"]);
    const { body } = await test.call("GET", "/tenants/acme/devices?limit=1");
    const other = await test.call("GET", `/tenants/acme/commands?cursor=${body.nextCursor}`);
    expect(other.body.code).toBe("invalid-cursor");
  });

  it("updates only what has not changed since it was read", async () => {
    const url = "/tenants/acme/devices/hub-1";
    const { etag } = (await test.call("GET", url)).headers as { etag: string };
    const patch = (body: object, ifMatch: string) =>
      test.call("PATCH", url, { body, headers: { "if-match": ifMatch } });
    const first = await patch({ region: "eu" }, etag);
    expect([first.status, first.body.region]).toEqual([200, "eu"]);
    expect((await patch({ region: "us" }, etag)).body.code).toBe("precondition-failed");
    expect((await patch({ region: "us" }, String(first.headers.etag))).status).toBe(200);
  });

  it.each([
    ["device", "/tenants/acme/devices/hub-1", (n: number) => ({ region: `r${n}` })],
    [
      "tenant",
      "/tenants/acme",
      (n: number) => ({ settings: { heartbeatIntervalSeconds: 100 + n } }),
    ],
  ])(
    "lets one of many updates through that were made on the same state of a %s",
    async (_, url, body) => {
      const { etag } = (await test.call("GET", url)).headers as { etag: string };
      const answers = await Promise.all(
        Array.from({ length: 6 }, (_unused, index) =>
          test.call("PATCH", url, { body: body(index), headers: { "if-match": etag } }),
        ),
      );
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses).toEqual([200, 412, 412, 412, 412, 412]);
    },
  );

  it("says whether its stores answer, and prints its figures", async () => {
    const ready = await test.call("GET", "/readyz", { key: null });
    expect([ready.status, ready.body.ready]).toEqual([200, true]);
    const metrics = await test.call("GET", "/metrics", { key: null });
    expect(metrics.body).toContain("vautn_http_request_seconds_bucket");
  });

  it("sends headers that keep a page from being framed or sniffed", async () => {
    const { headers } = await test.call("GET", "/auth/whoami");
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
    expect(headers["cache-control"]).toBe("no-store");
  });

  it("answers unknown paths of the API with problem details and others with a page", async () => {
    const unknown = await test.call("GET", "/api/v1/nothing");
    expect([unknown.status, unknown.body.code]).toEqual([404, "not-found"]);
    const page = await test.call("GET", "/fleet", { key: null });
    expect(page.headers["content-type"]).toContain("text/html");
  });
});

describe("an idempotency key", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
  });
  afterAll(() => test.close());

  const post = (key: string, body: object, url = "/tenants/acme/groups", apiKey?: string) =>
    test.call("POST", url, {
      body,
      headers: { "idempotency-key": key },
      ...(apiKey ? { key: apiKey } : {}),
    });

  it("gives the first answer again and does the work once", async () => {
    const body = { name: "one", query: "online" };
    const first = await post("k-1", body);
    const second = await post("k-1", body);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body).toEqual(first.body);
    expect(second.headers["idempotency-replayed"]).toBe("true");
    expect((await test.call("GET", "/tenants/acme/groups")).body.items).toHaveLength(1);
  });

  it("of another request or another caller is refused", async () => {
    await post("k-2", { name: "two", query: "online" });
    const other = await post("k-2", { name: "three", query: "online" });
    expect(other.body.code).toBe("idempotency-key-reused");
    const stranger = await post(
      "k-2",
      { name: "two", query: "online" },
      "/tenants/acme/groups",
      test.acme,
    );
    expect(stranger.body.code).toBe("idempotency-key-reused");
  });

  it("lets of two at once only one through", async () => {
    const body = { name: "race", query: "online" };
    const answers = await Promise.all([post("k-3", body), post("k-3", body), post("k-3", body)]);
    const groups = (await test.call("GET", "/tenants/acme/groups")).body.items;
    expect(groups.filter((group: { name: string }) => group.name === "race")).toHaveLength(1);
    for (const { status } of answers) expect([201, 409]).toContain(status);
  });

  it("never keeps a secret", async () => {
    const body = { name: "ci", role: "viewer" };
    const first = await post("k-4", body, "/tenants/acme/keys");
    expect(first.body.key).toMatch(/^vk_/);
    expect((await post("k-4", body, "/tenants/acme/keys")).status).toBe(409);
    const rows = await test.modules.db.tenant("acme", (tx) =>
      tx.selectFrom("idempotency_keys").selectAll().execute(),
    );
    expect(JSON.stringify(rows)).not.toContain(first.body.key);
  });
});

describe("a session's cookie", () => {
  let test: TestApi;
  let cookie: string;
  beforeAll(async () => {
    test = await startTestApi();
    const answer = await test.call("POST", "/auth/sign-in", {
      key: null,
      body: { email: "admin@example.com", password: PASSWORD },
    });
    expect(answer.status).toBe(200);
    const set = String(answer.headers["set-cookie"]);
    expect(set).toMatch(/HttpOnly/);
    expect(set).toMatch(/SameSite=Strict/);
    cookie = set.split(";")[0] as string;
  });
  afterAll(() => test.close());

  const write = (name: string, headers: Record<string, string>) =>
    test.call("POST", "/tenants/acme/groups", {
      key: null,
      body: { name, query: "online" },
      headers: { cookie, host: "console.example", ...headers },
    });

  it("writes only from the console's own origin", async () => {
    expect((await write("a", {})).status).toBe(403);
    expect((await write("a", { origin: "https://evil.example" })).status).toBe(403);
    expect((await write("a", { origin: "null" })).status).toBe(403);
    expect((await write("a", { origin: "https://console.example" })).status).toBe(201);
    expect((await write("b", { "x-requested-with": "vautn" })).status).toBe(201);
  });

  it("works no longer after signing out", async () => {
    const headers = { cookie, "x-requested-with": "vautn" };
    expect((await test.call("GET", "/auth/whoami", { key: null, headers })).status).toBe(200);
    expect((await test.call("POST", "/auth/sign-out", { key: null, headers })).status).toBe(204);
    expect((await test.call("GET", "/auth/whoami", { key: null, headers })).status).toBe(401);
  });

  it("is not given for wrong credentials, whose refusal tells nothing", async () => {
    const signIn = (email: string) =>
      test.call("POST", "/auth/sign-in", { key: null, body: { email, password: "wrong" } });
    const [known, unknown] = [await signIn("admin@example.com"), await signIn("x@example.com")];
    expect([known.status, known.body.code]).toEqual([401, "invalid-credentials"]);
    expect(unknown.body.detail).toBe(known.body.detail);
    expect(known.headers["set-cookie"]).toBeUndefined();
  });
});

describe("a live view", () => {
  let test: TestApi;
  let url: string;
  beforeAll(async () => {
    test = await startTestApi({ streamHeartbeatMs: 100 });
    await test.call("POST", "/tenants/acme/devices", { body: HUB });
    const releaseId = await publishRelease(test, "acme");
    const body = { name: "1.1.0", releaseId, query: 'product = "hub"' };
    const created = await test.call("POST", "/tenants/acme/rollouts", { body });
    expect(created.status, JSON.stringify(created.body)).toBe(201);
    url = `${await test.listen()}/api/v1/tenants/acme/rollouts/${created.body.id}`;
  });
  afterAll(() => test.close());

  const open = (key: string) =>
    fetch(`${url}/events`, { headers: { authorization: `Bearer ${key}` } });

  it("sends the state at once and after each change", async () => {
    const response = await open(test.acme);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = textReader(response);
    expect(await reader.until(/data: .*"state":"preparing"/)).toMatch(/^event: rollout\n/);
    const cancelled = await fetch(`${url}/cancel`, {
      method: "POST",
      headers: { authorization: `Bearer ${test.acme}`, "content-type": "application/json" },
      body: "{}",
    });
    expect(cancelled.status).toBe(200);
    await reader.until(/data: .*"state":"cancelled"/);
    await reader.cancel();
  });

  it("ends when the key that opened it is revoked", async () => {
    const { keys } = test.modules.tenancy;
    const actor = { kind: "system", id: "t", name: "t" } as const;
    const made = await keys.createTenantKey("acme", { name: "w", role: "viewer" }, actor);
    const reader = textReader(await open(made.key));
    await reader.until(/revision/);
    await keys.revoke({ tenantId: "acme" }, made.id, actor);
    await reader.untilEnd();
  });

  it("is refused beyond a number for each caller", async () => {
    const key = await test.keyOf("acme", "viewer");
    const opened = await Promise.all(Array.from({ length: 20 }, () => open(key)));
    expect(opened.every(({ status }) => status === 200)).toBe(true);
    expect((await open(key)).status).toBe(429);
    for (const response of opened) await response.body?.cancel();
  });
});

function textReader(response: Response) {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = "";
  return {
    async until(pattern: RegExp): Promise<string> {
      while (!pattern.test(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`ended without ${pattern}: ${text}`);
        text += Buffer.from(value).toString();
      }
      return text;
    },
    async untilEnd(): Promise<void> {
      while (!(await reader.read()).done);
    },
    cancel: () => reader.cancel(),
  };
}
