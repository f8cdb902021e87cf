import { Secret, TOTP } from "otpauth";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { type Answer, PASSWORD, startTestApi, type TestApi } from "../support/api.ts";
import { type AuthenticatorFaults, SoftwareAuthenticator } from "../support/authenticator.ts";

const ORIGIN = "https://console.example.com";

describe("second factors", () => {
  let test: TestApi;
  let count = 0;
  beforeAll(async () => {
    test = await startTestApi({ publicOrigins: [ORIGIN], trustProxy: true });
  });
  afterAll(() => test.close());

  const cookieOf = (answer: Answer, name: string) =>
    [answer.headers["set-cookie"]]
      .flat()
      .map(String)
      .find((line) => line.startsWith(`${name}=`))
      ?.split(";")[0] ?? "";
  /** Each person comes from an address of their own. */
  function browserAt(address: string) {
    return (method: string, url: string, body?: unknown, cookie = "") =>
      test.call(method, url, {
        key: null,
        headers: { cookie, "x-forwarded-for": address, origin: ORIGIN },
        ...(body === undefined ? {} : { body }),
      });
  }

  async function person() {
    count += 1;
    const email = `person-${count}@example.com`;
    const { id } = await test.modules.tenancy.users.create(
      { email, name: "P", password: PASSWORD },
      SYSTEM_ACTOR,
    );
    const address = `198.51.100.${count}`;
    const call = browserAt(address);
    const enter = (code?: string, cookie = "", password = PASSWORD) =>
      call("POST", "/auth/sign-in", { email, password, ...(code ? { code } : {}) }, cookie);
    return { id, email, call, enter };
  }
  type Somebody = Awaited<ReturnType<typeof person>>;

  const codeOf = (secret: string, steps = 0) =>
    new TOTP({ secret: Secret.fromBase32(secret) }).generate({
      timestamp: Date.now() + steps * 30_000,
    });
  /** With an authenticator app set up by a code of the step before, so that this one's is fresh. */
  async function withApp(somebody: Somebody) {
    const session = cookieOf(await somebody.enter(), "vautn_session");
    const begun = await somebody.call("POST", "/auth/totp", undefined, session);
    const { secret } = begun.body;
    const body = { code: codeOf(secret, -1) };
    const confirmed = await somebody.call("POST", "/auth/totp/confirm", body, session);
    expect([begun.status, confirmed.status]).toEqual([200, 200]);
    return { session, secret: secret as string, codes: confirmed.body.recoveryCodes as string[] };
  }
  const factorsOf = async (somebody: Somebody, session: string) =>
    (await somebody.call("GET", "/auth/factors", undefined, session)).body;

  describe("of an authenticator app", () => {
    it("are asked for once set up, and each code opens once", async () => {
      const ursula = await person();
      const { session, secret, codes } = await withApp(ursula);
      expect(codes).toHaveLength(10);
      expect(new Set(codes).size).toBe(10);
      const without = await ursula.enter();
      expect([without.status, without.body.code, without.body.details.methods]).toEqual([
        401,
        "second-factor-needed",
        ["totp", "recovery"],
      ]);
      const code = codeOf(secret);
      const good = await ursula.enter(code);
      expect(good.status).toBe(200);
      const sessions = await ursula.call("GET", "/auth/sessions", undefined, session);
      expect(sessions.body.items[0].method).toBe("password+totp");
      // Within its own step even, and by whoever looked over the shoulder (RFC 6238 §5.2).
      expect((await ursula.enter(code)).body.code).toBe("invalid-credentials");
      expect((await ursula.enter(codeOf(secret, -1))).body.code).toBe("invalid-credentials");
      expect((await ursula.enter(codeOf(secret, 5))).body.code).toBe("invalid-credentials");
    });

    it("open once even where one code is shown many times at once", async () => {
      const ursula = await person();
      const { secret } = await withApp(ursula);
      const code = codeOf(secret);
      const answers = await Promise.all([1, 2, 3, 4].map(() => ursula.enter(code)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    });

    it("can be done without by each recovery code once, and by new ones after that", async () => {
      const ursula = await person();
      const { session, secret, codes } = await withApp(ursula);
      const [first = "", second = ""] = codes;
      const typed = first.toUpperCase().replace("-", " ");
      expect((await ursula.enter(typed)).status).toBe(200);
      expect((await ursula.enter(first)).status).toBe(401);
      expect(await factorsOf(ursula, session)).toMatchObject({ recoveryCodesLeft: 9 });
      const renewed = await ursula.call(
        "POST",
        "/auth/recovery-codes",
        { code: codeOf(secret) },
        session,
      );
      expect(renewed.body.recoveryCodes).toHaveLength(10);
      expect((await ursula.enter(second)).status).toBe(401);
      expect((await ursula.enter(renewed.body.recoveryCodes[3])).status).toBe(200);
      const strangers = await withApp(await person());
      expect((await ursula.enter(strangers.codes[0])).status).toBe(401);
    });

    it("are set up by a person in a browser alone, and taken away by a code alone", async () => {
      const ursula = await person();
      expect((await test.call("POST", "/auth/totp")).body.code).toBe("sign-in-again");
      expect((await test.call("POST", "/auth/totp", { key: test.acme })).status).toBe(403);
      const { session, secret } = await withApp(ursula);
      const begin = await ursula.call("POST", "/auth/totp", undefined, session);
      expect(begin.body.code).toBe("already-exists");
      const remove = (code: string) => ursula.call("POST", "/auth/totp/remove", { code }, session);
      expect((await remove("000000")).status).toBe(401);
      expect((await remove(codeOf(secret))).status).toBe(204);
      expect((await ursula.enter()).status).toBe(200);
      expect(await factorsOf(ursula, session)).toMatchObject({ totp: null, recoveryCodesLeft: 0 });
    });

    it("leave no secret behind in the audit log, in lists or in the clear", async () => {
      const ursula = await person();
      const { session, secret, codes } = await withApp(ursula);
      const { items } = await test.modules.tenancy.audit.list("_platform", { limit: 50 });
      expect(items.map(({ action }) => action)).toContain("factor.add");
      const rows = await test.modules.db.platform((tx) =>
        tx.selectFrom("user_totp").selectAll().where("user_id", "=", ursula.id).execute(),
      );
      const seen = JSON.stringify([items, rows, await factorsOf(ursula, session)]);
      for (const hidden of [secret, codes[0] as string, codes[0]?.replace("-", "") as string]) {
        expect(seen).not.toContain(hidden);
      }
      const raw = Buffer.from(Secret.fromBase32(secret).buffer);
      expect(rows[0]?.secret_sealed.includes(raw)).toBe(false);
    });
  });

  describe("that are required", () => {
    it("of everybody, let a session set one up and do nothing else", async () => {
      const ursula = await person();
      const path = "/api/v1/sign-in-policy";
      await test.call("PUT", path, { body: { secondFactor: "everybody" } });
      try {
        const entered = await ursula.enter();
        expect([entered.status, entered.body.mustEnrol]).toEqual([200, true]);
        const session = cookieOf(entered, "vautn_session");
        const get = (url: string) => ursula.call("GET", url, undefined, session);
        expect((await get("/auth/whoami")).body.mustEnrol).toBe(true);
        for (const url of ["/auth/keys", "/auth/sessions", "/tenants/acme", "/api/v1/users"]) {
          expect([url, (await get(url)).body.code]).toEqual([url, "second-factor-required"]);
        }
        const key = { name: "a way round" };
        const made = await ursula.call("POST", "/auth/keys", key, session);
        expect(made.body.code).toBe("second-factor-required");
        const { body } = await ursula.call("POST", "/auth/totp", undefined, session);
        const code = codeOf(body.secret);
        await ursula.call("POST", "/auth/totp/confirm", { code }, session);
        expect((await get("/auth/sessions")).status).toBe(200);
        const remove = { code: codeOf(body.secret, 1) };
        const removed = await ursula.call("POST", "/auth/totp/remove", remove, session);
        expect(removed.body.code).toBe("conflict");
      } finally {
        await test.call("PUT", path, { body: { secondFactor: "optional" } });
      }
    });

    it("of one person, and given up for who has lost everything, by an administrator", async () => {
      const ursula = await person();
      const path = `/api/v1/users/${ursula.id}`;
      const body = { isRequired: true };
      expect(
        (await test.call("PUT", `${path}/second-factor`, { body, key: test.acme })).status,
      ).toBe(403);
      await test.call("PUT", `${path}/second-factor`, { body });
      expect((await ursula.enter()).body.mustEnrol).toBe(true);
      const { session } = await withApp(ursula);
      expect((await ursula.enter()).status).toBe(401);
      expect((await test.call("DELETE", `${path}/factors`)).status).toBe(204);
      expect((await ursula.call("GET", "/auth/whoami", undefined, session)).status).toBe(401);
      expect((await ursula.enter()).body.mustEnrol).toBe(true);
      const { items } = await test.modules.tenancy.audit.list("_platform", { limit: 3 });
      expect(items.map(({ action }) => action)).toContain("factor.reset");
    });
  });

  describe("and guessing", () => {
    it("at codes is bounded for the account, and locks no browser out that it knows", async () => {
      const ursula = await person();
      const own = await ursula.enter();
      const known = cookieOf(own, "vautn_browser");
      expect(known).not.toBe("");
      const { secret } = await withApp(ursula);
      // Somebody who has the password, at more and more addresses.
      let refusals = 0;
      for (let index = 0; index < 12; index += 1) {
        const elsewhere = browserAt(`203.0.113.${index}`);
        const body = { email: ursula.email, password: PASSWORD, code: "000000" };
        const { status } = await elsewhere("POST", "/auth/sign-in", body);
        if (status === 429) refusals += 1;
        else expect(status).toBe(401);
      }
      expect(refusals).toBe(2);
      const body = { email: ursula.email, password: PASSWORD, code: codeOf(secret) };
      const stranger = await browserAt("203.0.113.99")("POST", "/auth/sign-in", body);
      expect(stranger.status).toBe(429);
      expect((await ursula.enter(codeOf(secret), known)).status).toBe(200);
    });

    it("at passwords behind one's own address locks the guesser out, not the known browser", async () => {
      const ursula = await person();
      const known = cookieOf(await ursula.enter(), "vautn_browser");
      for (let index = 0; index < 6; index += 1) await ursula.enter(undefined, "", "wrong one");
      expect((await ursula.enter()).status).toBe(429);
      expect((await ursula.enter(undefined, known)).status).toBe(200);
      // The note is about one person, and no licence to guess: it has a bound of its own.
      const other = await person();
      expect((await other.enter(undefined, known)).status).toBe(200);
      for (let index = 0; index < 5; index += 1) await ursula.enter(undefined, known, "wrong one");
      expect((await ursula.enter(undefined, known)).status).toBe(429);
    });

    it("tells no unknown person from a known one", async () => {
      const ursula = await person();
      const stranger = { email: "nobody@example.com", password: "wrong one", code: "000000" };
      const unknown = await ursula.call("POST", "/auth/sign-in", stranger);
      await withApp(ursula);
      const wrong = await ursula.enter("000000", "", "wrong one");
      const strip = ({ body }: Answer) => ({ ...body, traceId: "" });
      expect(strip(wrong)).toEqual(strip(unknown));
    });
  });

  describe("by passkey", () => {
    async function withPasskey(somebody: Somebody, faults: AuthenticatorFaults = {}) {
      const session = cookieOf(await somebody.enter(), "vautn_session");
      const begun = await somebody.call("POST", "/auth/passkeys/challenge", undefined, session);
      const device = new SoftwareAuthenticator(ORIGIN);
      const answer = {
        challenge: begun.body.challenge,
        name: "Laptop",
        response: device.register(begun.body.options.challenge, faults),
      };
      const added = await somebody.call("POST", "/auth/passkeys", answer, session);
      return { session, device, added, answer };
    }
    async function enter(device: SoftwareAuthenticator, faults: AuthenticatorFaults = {}) {
      const call = browserAt("192.0.2.200");
      const { body } = await call("POST", "/auth/passkey-sign-in/challenge");
      const response = device.assert(body.options.challenge, faults);
      const answer = { challenge: body.challenge, response };
      return { answer, entered: await call("POST", "/auth/passkey-sign-in", answer) };
    }

    it("sign in without a password, several of one person, until they are removed", async () => {
      const ursula = await person();
      const first = await withPasskey(ursula);
      const second = await withPasskey(ursula);
      expect([first.added.status, second.added.status]).toEqual([201, 201]);
      for (const { device } of [first, second, first]) {
        const { entered } = await enter(device);
        expect([entered.status, entered.body.user?.email]).toEqual([200, ursula.email]);
      }
      const listed = await factorsOf(ursula, first.session);
      expect(listed.passkeys.map(({ name }: { name: string }) => name)).toEqual([
        "Laptop",
        "Laptop",
      ]);
      const path = `/auth/passkeys/${first.added.body.id}`;
      const other = await withPasskey(await person());
      expect((await ursula.call("DELETE", path, undefined, other.session)).status).toBe(404);
      expect((await ursula.call("DELETE", path, undefined, first.session)).status).toBe(204);
      expect((await enter(first.device)).entered.status).toBe(401);
      expect((await enter(second.device)).entered.status).toBe(200);
    });

    const faults: [string, AuthenticatorFaults][] = [
      ["of another site", { origin: "https://console.example.com.evil.example" }],
      ["of another host", { rpId: "evil.example" }],
      ["without PIN or finger", { isUnverified: true }],
      ["without a touch", { isAbsent: true }],
      ["of another kind of answer", { type: "webauthn.other" }],
      ["to another challenge", { challenge: "AAAA" }],
    ];
    it.each(faults)("are refused %s, when made and when used", async (_name, fault) => {
      const ursula = await person();
      expect((await withPasskey(ursula, fault)).added.status).toBe(401);
      const { device, added } = await withPasskey(ursula);
      expect(added.status).toBe(201);
      expect((await enter(device, fault)).entered.body.code).toBe("invalid-credentials");
      expect((await enter(device)).entered.status).toBe(200);
    });

    it("are refused from a copy, by another key, unknown, and a second time", async () => {
      const ursula = await person();
      const { device, answer, session } = await withPasskey(ursula);
      const { answer: used } = await enter(device);
      const call = browserAt("192.0.2.201");
      const again = await call("POST", "/auth/passkey-sign-in", used);
      expect(again.body.code).toBe("invalid-credentials");
      await enter(device);
      expect((await enter(device, { counter: 1 })).entered.status).toBe(401);
      const stranger = new SoftwareAuthenticator(ORIGIN);
      expect((await enter(device, { key: stranger.key })).entered.status).toBe(401);
      expect((await enter(stranger)).entered.status).toBe(401);
      expect((await enter(device)).entered.status).toBe(200);
      const twice = await ursula.call("POST", "/auth/passkeys", answer, session);
      expect(twice.status).toBe(401);
      // A challenge for signing in is none for registering, nor one person's another's.
      const { body } = await call("POST", "/auth/passkey-sign-in/challenge");
      const mixed = {
        ...answer,
        challenge: body.challenge,
        response: stranger.register(body.options.challenge),
      };
      expect((await ursula.call("POST", "/auth/passkeys", mixed, session)).status).toBe(401);
      const other = await person();
      const others = cookieOf(await other.enter(), "vautn_session");
      const begun = await ursula.call("POST", "/auth/passkeys/challenge", undefined, session);
      const stolen = {
        ...answer,
        challenge: begun.body.challenge,
        response: stranger.register(begun.body.options.challenge),
      };
      expect((await other.call("POST", "/auth/passkeys", stolen, others)).status).toBe(401);
    });

    it("sign nobody in who is disabled, and are a second factor where one is required", async () => {
      const ursula = await person();
      const { device } = await withPasskey(ursula);
      await test.call("PUT", `/api/v1/users/${ursula.id}/second-factor`, {
        body: { isRequired: true },
      });
      const byPassword = await ursula.enter();
      expect([byPassword.body.code, byPassword.body.details.methods]).toEqual([
        "second-factor-needed",
        ["passkey"],
      ]);
      expect((await enter(device)).entered.status).toBe(200);
      await test.modules.tenancy.users.disable(ursula.id, SYSTEM_ACTOR);
      expect((await enter(device)).entered.status).toBe(401);
    });

    it("are refused as nonsense with a clear word", async () => {
      const call = browserAt("192.0.2.202");
      const { body } = await call("POST", "/auth/passkey-sign-in/challenge");
      const device = new SoftwareAuthenticator(ORIGIN);
      const good = device.assert(body.options.challenge);
      const bodies = [
        {},
        { challenge: body.challenge, response: {} },
        { challenge: "made up", response: good },
        { challenge: body.challenge, response: { ...good, id: "!" } },
        { challenge: body.challenge, response: { ...good, rawId: "AAAA" } },
        {
          challenge: body.challenge,
          response: { ...good, response: { ...good.response, authenticatorData: "AAAA" } },
        },
      ];
      for (const one of bodies) {
        const { status } = await call("POST", "/auth/passkey-sign-in", one);
        expect([400, 401]).toContain(status);
      }
    });
  });
});
