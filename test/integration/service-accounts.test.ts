import { createHmac, createPublicKey, randomUUID } from "node:crypto";
import type { JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { type OidcServer, signingKey, startOidcServer } from "../support/oidc-server.ts";

const GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT = "urn:ietf:params:oauth:token-type:jwt";
const seconds = () => Math.floor(Date.now() / 1000);

describe("a service account", () => {
  let idp: OidcServer;
  let test: TestApi;
  beforeAll(async () => {
    idp = await startOidcServer({ redirectUris: [] });
    test = await startTestApi({}, {}, { privateIssuers: [idp.issuer] });
    expect((await create({})).status).toBe(201);
  });
  afterAll(async () => {
    await test.close();
    await idp.close();
  });

  const create = (change: object, key = test.acme, tenant = "acme") =>
    test.call("POST", `/tenants/${tenant}/service-accounts`, {
      key,
      body: {
        name: "ci",
        issuer: idp.issuer,
        audience: "https://vautn.example",
        conditions: [
          { claim: "repository", value: "acme/firmware" },
          { claim: "ref", value: "refs/tags/*" },
        ],
        role: "fleet-engineer",
        scopes: ["firmware.read", "firmware.publish"],
        lifetimeSeconds: 300,
        ...change,
      },
    });
  const FITTING = { repository: "acme/firmware", ref: "refs/tags/v2.4.0" };
  const claims = (change: JWTPayload = {}): JWTPayload => ({
    ...FITTING,
    sub: "repo:acme/firmware:ref:refs/tags/v2.4.0",
    aud: "https://vautn.example",
    iat: seconds(),
    exp: seconds() + 300,
    jti: randomUUID(),
    ...change,
  });
  const exchange = (token: string, audience = "acme/ci", headers: Record<string, string> = {}) =>
    test.call("POST", "/api/v1/token", {
      key: null,
      headers,
      body: { grant_type: GRANT, subject_token: token, subject_token_type: JWT, audience },
    });

  it("gets a key for a token of the issuer's own making, which is soon over", async () => {
    const token = await idp.machineToken("https://vautn.example", FITTING);
    const form = new URLSearchParams({
      grant_type: GRANT,
      subject_token: token,
      subject_token_type: JWT,
      audience: "acme/ci",
    });
    const response = await test.api.inject({
      method: "POST",
      url: "/api/v1/token",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      payload: form.toString(),
    });
    expect(response.json()).toMatchObject({
      access_token: expect.stringMatching(/^vk_/),
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      token_type: "Bearer",
      expires_in: 300,
      scope: "firmware.publish firmware.read",
    });
    const key = response.json().access_token;
    expect((await test.call("GET", "/tenants/acme/releases", { key })).status).toBe(200);
    expect((await test.call("GET", "/tenants/acme/devices", { key })).status).toBe(403);
    expect((await test.call("GET", "/tenants/globex/releases", { key })).status).toBe(404);
    const keys = await test.call("GET", "/tenants/acme/keys");
    const made = keys.body.items.find(({ name }: { name: string }) => name.startsWith("ci ("));
    expect(Date.parse(made.expiresAt) - Date.parse(made.createdAt)).toBe(300_000);
    const audit = await test.modules.tenancy.audit.list("acme", { limit: 1 });
    expect(audit.items[0]).toMatchObject({ action: "service-account.exchange", outcome: "done" });
    expect(JSON.stringify(audit.items)).not.toContain(key);
  });

  const hmac = (secret: string) => (payload: JWTPayload) => {
    const parts = [
      { alg: "HS256", kid: "key-1" },
      { iss: idp.issuer, ...payload },
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    return `${parts}.${createHmac("sha256", secret).update(parts).digest("base64url")}`;
  };
  type Forge = (payload: JWTPayload) => Promise<string> | string;
  const forgeries: [string, Forge][] = [
    [
      "without a signature (alg none)",
      (c) => {
        const parts = [{ alg: "none" }, { iss: idp.issuer, ...c }];
        return `${parts.map((p) => Buffer.from(JSON.stringify(p)).toString("base64url")).join(".")}.`;
      },
    ],
    [
      "signed with the public key as a secret (HS256)",
      (c) =>
        hmac(
          String(
            createPublicKey(idp.keys[0]?.privateKey as never).export({
              type: "spki",
              format: "pem",
            }),
          ),
        )(c),
    ],
    [
      "signed by another key under a known kid",
      (c) => idp.sign(c, { key: signingKey("key-1").privateKey }),
    ],
    [
      "with a kid that is not published",
      (c) => idp.sign(c, { kid: "key-9", key: signingKey("key-9").privateKey }),
    ],
    [
      "with a kid that is a path",
      (c) => idp.sign(c, { kid: "../../etc/passwd", key: signingKey("x").privateKey }),
    ],
    ["for another audience", (c) => idp.sign({ ...c, aud: "https://other.example" })],
    ["without an audience", ({ aud: _, ...c }) => idp.sign(c)],
    ["of another issuer", (c) => idp.sign({ ...c, iss: "https://token.example" })],
    ["that has expired", (c) => idp.sign({ ...c, exp: seconds() - 120 })],
    ["that never expires", ({ exp: _, ...c }) => idp.sign(c)],
    ["that is not valid yet", (c) => idp.sign({ ...c, nbf: seconds() + 300 })],
    ["about nobody", ({ sub: _, ...c }) => idp.sign(c)],
    ["of another repository", (c) => idp.sign({ ...c, repository: "mallory/firmware" })],
    ["of a repository whose name goes on", (c) => idp.sign({ ...c, repository: "acme/firmware2" })],
    ["of a branch instead of a tag", (c) => idp.sign({ ...c, ref: "refs/heads/main" })],
    ["with a claim that is a list", (c) => idp.sign({ ...c, repository: ["acme/firmware"] })],
    ["without the claim", ({ ref: _, ...c }) => idp.sign(c)],
    ["that is no token", () => "not.a.token"],
  ];
  it.each(forgeries)("gets none for a token %s", async (_name, forge) => {
    expect((await exchange(await idp.sign(claims()))).status).toBe(200);
    const { status, body } = await exchange(await forge(claims()));
    expect([status, body.code, body.detail]).toEqual([
      401,
      "invalid-credentials",
      "the token gives nobody a key here",
    ]);
  });

  it("tells strangers nothing, and its tenant why a genuine token was refused", async () => {
    const token = await idp.sign(claims());
    const answers = [
      await exchange(token, "acme/no-such"),
      await exchange(token, "globex/ci"),
      await exchange(token, "no-such-tenant/ci"),
      await exchange(await idp.sign(claims({ ref: "refs/heads/main" }))),
    ];
    const strip = ({ status, body }: { status: number; body: object }) => [
      status,
      { ...body, traceId: "" },
    ];
    expect(new Set(answers.map((one) => JSON.stringify(strip(one)))).size).toBe(1);
    const audit = await test.modules.tenancy.audit.list("acme", { limit: 1 });
    expect(audit.items[0]).toMatchObject({
      outcome: "refused",
      details: { reason: "the claim ref does not fit" },
    });
  });

  it("gets one key for one token, whoever shows it how often, and one for the next", async () => {
    const token = await idp.sign(claims());
    const answers = await Promise.all([token, token, token].map((each) => exchange(each)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401]);
    const again = await exchange(token);
    expect([again.status, again.body.code]).toEqual([401, "invalid-credentials"]);
    const audit = await test.modules.tenancy.audit.list("acme", { limit: 1 });
    expect(audit.items[0]).toMatchObject({
      outcome: "refused",
      details: { reason: "the token has been exchanged before" },
    });
    // Some signatures have a second form: what was signed is what counts.
    const [header, payload, signature = ""] = token.split(".");
    const end = signature.slice(-1) === "A" ? "B" : "A";
    const other = [header, payload, signature.slice(0, -1) + end].join(".");
    expect((await exchange(other)).status).toBe(401);
    expect((await exchange(await idp.sign(claims()))).status).toBe(200);
  });

  it("is refused in any other form than the standard's", async () => {
    const token = await idp.sign(claims());
    const good = { grant_type: GRANT, subject_token: token, subject_token_type: JWT };
    const bodies = [
      { ...good },
      { ...good, audience: "acme" },
      { ...good, audience: "acme/ci/more" },
      { ...good, audience: "acme/ci", grant_type: "password" },
      { ...good, audience: "acme/ci", subject_token_type: "urn:x" },
      { ...good, audience: "acme/ci", subject_token: "x".repeat(20_000) },
    ];
    for (const body of bodies) {
      expect((await test.call("POST", "/api/v1/token", { key: null, body })).status).toBe(400);
    }
    const twice = await test.api.inject({
      method: "POST",
      url: "/api/v1/token",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      payload: "audience=acme%2Fci&audience=globex%2Fci",
    });
    expect(twice.statusCode).toBe(400);
    const elsewhere = await test.api.inject({
      method: "POST",
      url: "/api/v1/auth/sign-in",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      payload: "email=a%40example.com&password=x",
    });
    expect(elsewhere.statusCode).toBe(415);
  });

  it("ends with its keys, and is its own tenant's alone", async () => {
    const made = await create({ name: "short-lived" });
    const path = `/tenants/acme/service-accounts/${made.body.id}`;
    const { body } = await exchange(await idp.sign(claims()), "acme/short-lived");
    const key = body.access_token;
    expect((await test.call("GET", "/tenants/acme/releases", { key })).status).toBe(200);
    const foreign = path.replace("acme", "globex");
    expect((await test.call("DELETE", foreign, { key: test.globex })).status).toBe(404);
    expect((await test.call("DELETE", path, { key: test.globex })).status).toBe(404);
    const listed = await test.call("GET", "/tenants/globex/service-accounts", { key: test.globex });
    expect(listed.body.items).toEqual([]);
    expect((await test.call("DELETE", path, { key: test.acme })).status).toBe(204);
    expect((await test.call("GET", "/tenants/acme/releases", { key })).status).toBe(401);
    expect((await exchange(await idp.sign(claims()), "acme/short-lived")).status).toBe(401);
  });

  it("holds somebody back, gives nothing that its maker lacks, and asks no private address", async () => {
    const conditions = (value: string, claim = "repository") => [{ claim, value }];
    const github = "https://token.actions.githubusercontent.com";
    const refused: [object, number][] = [
      [{ conditions: [] }, 400],
      [{ conditions: conditions("*") }, 422],
      [{ conditions: conditions("**a") }, 422],
      [{ issuer: github, conditions: conditions("refs/tags/*", "ref") }, 422],
      [{ issuer: github, conditions: conditions("*/firmware") }, 422],
      [{ issuer: "http://169.254.169.254" }, 422],
      [{ issuer: "https://user:pass@ci.example" }, 422],
      [{ lifetimeSeconds: 86_400 }, 400],
      [{ name: "ci" }, 409],
      [{ role: "owner" }, 400],
    ];
    for (const [change, status] of refused) {
      const answer = await create({ name: "other", ...change });
      expect([change, answer.status]).toEqual([change, status]);
    }
    const scoped = await test.call("POST", "/tenants/acme/keys", {
      key: test.acme,
      body: { name: "s", role: "administrator", scopes: ["tenancy.manage"] },
    });
    const greater = await create({ name: "greater" }, scoped.body.key);
    expect([greater.status, greater.body.code]).toEqual([403, "forbidden"]);
    const inside = await create({ name: "inside", issuer: "https://127.0.0.1:1" });
    expect(inside.status).toBe(201);
    const token = await idp.sign(claims({ iss: "https://127.0.0.1:1" }));
    expect((await exchange(token, "acme/inside")).status).toBe(401);
    const ours = await create({ name: "github", issuer: github });
    expect(ours.status).toBe(201);
  });
});
