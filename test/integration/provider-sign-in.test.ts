import { createHmac, createPublicKey } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import {
  CLIENT_SECRET,
  type OidcServer,
  type Person,
  signingKey,
  startOidcServer,
} from "../support/oidc-server.ts";

const ORIGIN = "https://console.example.com";
const CALLBACK = "/api/v1/auth/providers/corp/callback";

describe("signing in at an OpenID provider", () => {
  let idp: OidcServer;
  let test: TestApi;

  beforeAll(async () => {
    idp = await startOidcServer({
      redirectUris: [`${ORIGIN}${CALLBACK}`],
      signOutUris: [`${ORIGIN}/sign-in`],
    });
    const signIn = { privateIssuers: [idp.issuer] };
    test = await startTestApi({ publicOrigins: [ORIGIN] }, {}, signIn);
    const body = { id: "corp", ...settings() };
    expect((await test.call("POST", "/api/v1/sign-in-providers", { body })).status).toBe(201);
  });
  afterAll(async () => {
    await test.close();
    await idp.close();
  });
  afterEach(async () => {
    idp.state.tamper = undefined;
    idp.state.cancels = false;
    await configure({});
  });

  const settings = () => ({
    name: "Corp",
    issuer: idp.issuer,
    clientId: "vautn",
    clientSecret: CLIENT_SECRET,
  });
  const configure = async (change: object) => {
    const lists = { linksByEmail: true, createsUsers: false, emailDomains: [], roleMappings: [] };
    const body = { ...settings(), ...lists, ...change };
    const answer = await test.call("PUT", "/api/v1/sign-in-providers/corp", { body });
    expect(answer.status).toBe(200);
  };
  const person = (subject: string, facts: Person) => {
    idp.state.people[subject] = facts;
    idp.state.person = subject;
  };
  const userOf = (email: string) =>
    test.modules.tenancy.users.create({ email, name: "U" }, SYSTEM_ACTOR);

  const cookieOf = (answer: Awaited<ReturnType<TestApi["call"]>>, name: string) =>
    [answer.headers["set-cookie"]]
      .flat()
      .map(String)
      .find((line) => line.startsWith(`${name}=`) && !line.startsWith(`${name}=;`));
  const get = (path: string, cookie = "") =>
    test.call("GET", path, { key: null, headers: { cookie } });

  /** To the provider and back: what the browser holds when it comes back. */
  async function visit(next = "/") {
    const query = new URLSearchParams({ next });
    const start = await get(`/api/v1/auth/providers/corp/start?${query}`);
    const flow = cookieOf(start, "vautn_flow")?.split(";")[0] ?? "";
    const { url } = await idp.browse(String(start.headers.location));
    return { start, flow, back: url.slice(ORIGIN.length) };
  }
  async function signIn(next?: string) {
    const { flow, back } = await visit(next);
    const finish = await get(back, flow);
    const session = cookieOf(finish, "vautn_session");
    return { finish, session: session?.split(";")[0], cookie: session };
  }
  const problemOf = ({ finish }: { finish: { headers: Record<string, unknown> } }) =>
    /problem=([\w-]+)/.exec(String(finish.headers.location))?.[1];
  const whoami = async (session: string | undefined) =>
    (await get("/api/v1/auth/whoami", session ?? "")).body;

  it("offers its name to everybody, and its secret to nobody", async () => {
    const offered = await test.call("GET", "/auth/providers", { key: null });
    expect(offered.body).toEqual({ items: [{ id: "corp", name: "Corp" }] });
    const listed = await test.call("GET", "/api/v1/sign-in-providers");
    expect(listed.body.items[0]).toMatchObject({ hasSecret: true, issuer: idp.issuer });
    const audit = await test.modules.tenancy.audit.list("_platform", { limit: 200 });
    expect(audit.items.map(({ action }) => action)).toContain("provider.create");
    expect(JSON.stringify([listed.body, audit.items])).not.toContain(CLIENT_SECRET);
  });

  it("tells its administrator what to register there", async () => {
    const checked = await test.call("POST", "/api/v1/sign-in-providers/corp/check");
    expect(checked.body).toMatchObject({
      issuer: idp.issuer,
      supportsPkce: true,
      redirectUri: `${ORIGIN}${CALLBACK}`,
      signOutUri: `${ORIGIN}/sign-in`,
    });
    expect(checked.body.algorithms).not.toContain("HS256");
  });

  it("asks with PKCE, state and nonce, and binds the answer to the browser", async () => {
    const { start } = await visit();
    const asked = new URL(String(start.headers.location)).searchParams;
    expect(asked.get("code_challenge_method")).toBe("S256");
    for (const name of ["state", "nonce", "code_challenge"]) {
      expect(String(asked.get(name)).length).toBeGreaterThan(40);
    }
    expect(cookieOf(start, "vautn_flow")).toMatch(/HttpOnly.*SameSite=Lax/);
  });

  it("signs in the user with the verified e-mail address, and the subject from then on", async () => {
    const user = await userOf("ursula@example.com");
    person("ursula", { email: "Ursula@Example.com", email_verified: true });
    const first = await signIn("/t/acme/fleet?q=online");
    expect([first.finish.status, first.finish.headers.location]).toEqual([
      302,
      "/t/acme/fleet?q=online",
    ]);
    expect(first.cookie).toMatch(/HttpOnly.*SameSite=Strict/);
    expect((await whoami(first.session)).actor.id).toBe(user.id);

    person("ursula", { email: "married@example.com", email_verified: false });
    const second = await signIn();
    expect((await whoami(second.session)).actor.id).toBe(user.id);
    expect(second.session).not.toBe(first.session);
    const sessions = await get("/api/v1/auth/sessions", second.session);
    expect(sessions.body.items).toHaveLength(2);
    expect(sessions.body.items[0]).toMatchObject({ method: "oidc", provider: "corp" });
    const entries = await test.modules.tenancy.audit.list("_platform", { limit: 50 });
    expect(entries.items.map(({ action }) => action)).toContain("identity.link");
  });

  it("signs in who was named beforehand, whatever the e-mail address", async () => {
    const user = await userOf("named@example.com");
    const path = `/api/v1/users/${user.id}/identities/corp`;
    const set = await test.call("PUT", path, { body: { subject: "subject-7" } });
    expect(set.status).toBe(204);
    person("subject-7", { email: "other@elsewhere.org", email_verified: false });
    const { session } = await signIn();
    expect((await whoami(session)).actor.id).toBe(user.id);
    await test.call("DELETE", path);
    expect((await get("/api/v1/auth/whoami", session)).status).toBe(401);
    expect(problemOf(await signIn())).toBe("unverified-email");
  });

  it.each([
    [
      "somebody without a user",
      "no-account",
      { email: "nobody@example.com", email_verified: true },
    ],
    ["an unverified address", "unverified-email", { email: "admin@example.com" }],
    [
      "an address that is verified in words",
      "unverified-email",
      {
        email: "admin@example.com",
        email_verified: "true",
      },
    ],
    ["no address at all", "no-account", {}],
  ])("refuses %s", async (name, problem, facts) => {
    person(name.replaceAll(" ", "-"), facts as Person);
    const answer = await signIn();
    expect([problemOf(answer), answer.session]).toEqual([problem, undefined]);
  });

  it("refuses who has an address that was another's, of another domain, or of a disabled user", async () => {
    await userOf("reused@example.com");
    const gone = await userOf("gone@example.com");
    await test.modules.tenancy.users.disable(gone.id, SYSTEM_ACTOR);
    person("first-owner", { email: "reused@example.com", email_verified: true });
    expect((await signIn()).session).toBeDefined();
    person("next-owner", { email: "reused@example.com", email_verified: true });
    expect(problemOf(await signIn())).toBe("other-subject");
    person("gone", { email: "gone@example.com", email_verified: true });
    expect(problemOf(await signIn())).toBe("disabled");
    await configure({ emailDomains: ["corp.example"] });
    person("stranger", { email: "stranger@example.com", email_verified: true });
    expect(problemOf(await signIn())).toBe("foreign-domain");
    await configure({ linksByEmail: false });
    await userOf("unlinked@example.com");
    person("unlinked", { email: "unlinked@example.com", email_verified: true });
    expect(problemOf(await signIn())).toBe("no-account");
  });

  it("gives the roles that its groups are mapped to, and takes those away again", async () => {
    const mapping = (value: string, tenantId: string, role: string) => ({
      ...{ claim: "groups", value, tenantId, role },
    });
    const roleMappings = [
      mapping("fleet", "acme", "fleet-engineer"),
      mapping("all", "acme", "viewer"),
      mapping("all", "globex", "viewer"),
    ];
    const rolesOf = async (session: string | undefined) =>
      Object.fromEntries(
        (await whoami(session)).tenants.map((one: { id: string; role: string }) => [
          one.id,
          one.role,
        ]),
      );
    const facts = { email: "gretel@example.com", email_verified: true };
    await configure({ createsUsers: true, roleMappings });
    person("gretel", facts);
    expect(problemOf(await signIn())).toBe("no-account");
    person("gretel", { ...facts, groups: ["fleet", "all"] });
    expect(await rolesOf((await signIn()).session)).toEqual({
      acme: "fleet-engineer",
      globex: "viewer",
    });
    // What a person has set is not the provider's to change.
    const member = { email: facts.email, role: "auditor" };
    await test.call("PUT", "/tenants/globex/users", { body: member });
    person("gretel", { ...facts, groups: ["all"] });
    expect(await rolesOf((await signIn()).session)).toEqual({ acme: "viewer", globex: "auditor" });
    person("gretel", { ...facts, groups: [] });
    expect(await rolesOf((await signIn()).session)).toEqual({ globex: "auditor" });
    const audit = await test.modules.tenancy.audit.list("acme", { limit: 10 });
    expect(audit.items.map(({ action }) => action).slice(0, 3)).toEqual([
      "member.remove",
      "member.set",
      "member.set",
    ]);
  });

  describe("believes no answer", () => {
    beforeAll(async () => {
      await userOf("target@example.com");
    });
    const claimsOf = (token: unknown) =>
      JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());
    const unsigned = (header: object, claims: object) =>
      [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    const hmac = (secret: string, claims: object) => {
      const parts = unsigned({ alg: "HS256", kid: "key-1" }, claims).join(".");
      return `${parts}.${createHmac("sha256", secret).update(parts).digest("base64url")}`;
    };
    const publicPem = () =>
      createPublicKey(idp.keys[0]?.privateKey as never).export({ type: "spki", format: "pem" });
    type Forge = (claims: Record<string, unknown>) => Promise<string> | string | undefined;
    const forgeries: [string, Forge][] = [
      ["without a signature (alg none)", (c) => `${unsigned({ alg: "none" }, c).join(".")}.`],
      ["signed with the client's secret (HS256)", (c) => hmac(CLIENT_SECRET, c)],
      ["signed with the public key as a secret", (c) => hmac(String(publicPem()), c)],
      ["signed by another key", (c) => idp.sign(c, { key: signingKey("key-1").privateKey })],
      [
        "signed by a key that is not published",
        (c) => idp.sign(c, { kid: "key-9", key: signingKey("key-9").privateKey }),
      ],
      ["for another audience", (c) => idp.sign({ ...c, aud: "somebody-else" })],
      [
        "for several audiences, by another party",
        (c) => idp.sign({ ...c, aud: ["vautn", "other"], azp: "other" }),
      ],
      ["of another issuer", (c) => idp.sign({ ...c, iss: "https://issuer.example" })],
      ["with another nonce", (c) => idp.sign({ ...c, nonce: "another" })],
      ["without a nonce", ({ nonce: _, ...c }) => idp.sign(c)],
      ["that has expired", (c) => idp.sign({ ...c, exp: Math.floor(Date.now() / 1000) - 3_600 })],
      ["that never expires", ({ exp: _, ...c }) => idp.sign(c)],
      ["about nobody", ({ sub: _, ...c }) => idp.sign(c)],
      ["about somebody else than the user information", (c) => idp.sign({ ...c, sub: "admin" })],
      ["without an ID token", () => undefined],
    ];
    it.each(forgeries)("%s", async (_name, forge) => {
      person("target", { email: "target@example.com", email_verified: true });
      idp.state.tamper = async (body) => {
        const token = await forge(claimsOf(body.id_token));
        if (token === undefined) delete body.id_token;
        else body.id_token = token;
      };
      const answer = await signIn();
      expect([problemOf(answer), answer.session]).toEqual(["bad-answer", undefined]);
    });

    it("but the control: the same token, signed as it should be", async () => {
      person("target", { email: "target@example.com", email_verified: true });
      idp.state.tamper = async (body) => {
        body.id_token = await idp.sign(claimsOf(body.id_token));
      };
      expect((await signIn()).session).toBeDefined();
    });

    it("with another state, to another browser, or a second time", async () => {
      person("target", { email: "target@example.com", email_verified: true });
      const { flow, back } = await visit();
      const other = await visit();
      const forged = back.replace(/state=[^&]+/, "state=forged");
      const attempts: [string, string, string][] = [
        [forged, flow, "bad-answer"],
        [back.replace(/&?state=[^&]+/, ""), flow, "bad-answer"],
        [back, other.flow, "bad-answer"],
        [back, "", "expired"],
        [back, `${flow.slice(0, 60)}${flow[60] === "A" ? "B" : "A"}${flow.slice(61)}`, "expired"],
        [back, "vautn_flow=AAAA", "expired"],
        [back.replace(/code=[^&]+/, "code=guessed"), flow, "bad-answer"],
        [`${back}&iss=https%3A%2F%2Fother.example`, flow, "bad-answer"],
      ];
      for (const [path, cookie, problem] of attempts) {
        const finish = await get(path, cookie);
        expect([path.slice(0, 80), problemOf({ finish })]).toEqual([path.slice(0, 80), problem]);
        expect(cookieOf(finish, "vautn_session")).toBeUndefined();
      }
      expect(cookieOf(await get(other.back, other.flow), "vautn_session")).toBeDefined();
      expect(problemOf({ finish: await get(other.back, other.flow) })).toBe("bad-answer");
    });

    it("of a provider for another one", async () => {
      const second = { id: "second", ...settings(), name: "Second" };
      await test.call("POST", "/api/v1/sign-in-providers", { body: second });
      const { flow, back } = await visit();
      const finish = await get(back.replace("/corp/", "/second/"), flow);
      expect(problemOf({ finish })).toBe("expired");
    });

    it("that says that the person did not agree", async () => {
      idp.state.cancels = true;
      expect(problemOf(await signIn())).toBe("cancelled");
    });
  });

  it.each(["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "x"])(
    "sends nobody on to %j",
    async (next) => {
      person("admin-1", { email: "admin@example.com", email_verified: true });
      const { finish } = await signIn(next);
      expect(finish.headers.location).toBe("/");
    },
  );

  it("ends the session that the browser brought along", async () => {
    person("admin-1", { email: "admin@example.com", email_verified: true });
    const planted = (await signIn()).session;
    const { flow, back } = await visit();
    const finish = await get(back, `${flow}; ${planted}`);
    expect(cookieOf(finish, "vautn_session")).toBeDefined();
    expect((await get("/api/v1/auth/whoami", planted)).status).toBe(401);
  });

  it("leads out of the provider too", async () => {
    person("admin-1", { email: "admin@example.com", email_verified: true });
    const { session } = await signIn();
    const { body } = await get("/api/v1/auth/provider-sign-out", session);
    const url = new URL(body.url);
    expect(url.origin).toBe(idp.issuer);
    expect(url.searchParams.get("post_logout_redirect_uri")).toBe(`${ORIGIN}/sign-in`);
    expect(url.searchParams.get("id_token_hint")?.split(".")).toHaveLength(3);
    const { page } = await idp.browse(body.url);
    expect(page).toContain("/session/end/confirm");
    const byKey = await test.call("GET", "/auth/provider-sign-out");
    expect(byKey.body).toEqual({ url: null });
  });

  it("is reached at no private address, unless the installation names it", async () => {
    const create = (id: string, issuer: string) =>
      test.call("POST", "/api/v1/sign-in-providers", { body: { ...settings(), id, issuer } });
    expect((await create("metadata", "http://169.254.169.254")).body.code).toBe("invalid-content");
    for (const issuer of ["https://127.0.0.1:1", "https://localhost", "https://[::1]"]) {
      const id = `p${issuer.replaceAll(/[^a-z0-9]/g, "")}`;
      expect((await create(id, issuer)).status).toBe(201);
      const { headers } = await get(`/api/v1/auth/providers/${id}/start`);
      expect(headers.location).toBe("/sign-in?problem=provider-unavailable");
      const checked = await test.call("POST", `/api/v1/sign-in-providers/${id}/check`);
      expect([checked.status, checked.body.detail]).toEqual([
        502,
        expect.stringContaining("private, loopback or link-local"),
      ]);
    }
  });

  it("keeps its secret for its own issuer, and takes everything along when it goes", async () => {
    const { clientSecret: _, ...rest } = settings();
    const body = { ...rest, issuer: "https://other.example" };
    const moved = await test.call("PUT", "/api/v1/sign-in-providers/corp", { body });
    expect(moved.body.code).toBe("invalid-content");
    const unknown = [{ claim: "g", value: "v", tenantId: "no-such", role: "viewer" }];
    const mapped = await test.call("PUT", "/api/v1/sign-in-providers/corp", {
      body: { ...rest, roleMappings: unknown },
    });
    expect(mapped.status).toBe(404);
    person("admin-1", { email: "admin@example.com", email_verified: true });
    const { session } = await signIn();
    await configure({ enabled: false });
    expect((await get("/api/v1/auth/whoami", session)).status).toBe(401);
    expect((await get("/api/v1/auth/providers/corp/start")).headers.location).toBe(
      "/sign-in?problem=not-found",
    );
    await configure({ enabled: true });
    const again = (await signIn()).session;
    expect((await whoami(again)).actor.name).toBe("admin@example.com");
    expect((await test.call("DELETE", "/api/v1/sign-in-providers/corp")).status).toBe(204);
    expect((await get("/api/v1/auth/whoami", again)).status).toBe(401);
    await test.call("POST", "/api/v1/sign-in-providers", { body: { id: "corp", ...settings() } });
  });

  it("is set up by administrators of the platform alone", async () => {
    for (const key of [test.acme, null]) {
      const answers = await Promise.all([
        test.call("GET", "/api/v1/sign-in-providers", { key }),
        test.call("POST", "/api/v1/sign-in-providers", { key, body: { id: "x", ...settings() } }),
        test.call("DELETE", "/api/v1/sign-in-providers/corp", { key }),
      ]);
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([key ? 403 : 401]));
    }
  });
});
