import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createSignIn, type SignIn } from "../../src/sign-in/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { silentLogger } from "../support/timeseries.ts";

const PASSWORD = "correct horse battery";

describe("tenancy", () => {
  let test: TestDatabase;
  let clock: VirtualClock;
  let tenancy: Tenancy;
  let access: SignIn;
  let next = 0;

  beforeAll(async () => {
    test = await createTestDatabase();
    clock = new VirtualClock();
    tenancy = createTenancy({ db: test.db, clock });
    const sealer = createSealer(Buffer.alloc(32, 7));
    access = createSignIn({ db: test.db, clock, sealer, tenancy, logger: silentLogger });
    for (const id of ["acme", "globex"])
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
  });
  afterAll(() => test.close());
  // Each test signs in from an address of its own, for the limits count by address.
  beforeEach(() => {
    next += 1;
  });

  const address = () => `192.0.2.${next}`;
  const signIn = (email: string, password = PASSWORD, from = address()) =>
    access.withPassword({ email, password, address: from });
  async function user(memberships: { tenantId: string; role: "viewer" | "administrator" }[]) {
    const email = `user-${next}@example.com`;
    return tenancy.users.create(
      { email, name: "U", password: PASSWORD, memberships },
      SYSTEM_ACTOR,
    );
  }

  describe("tenants", () => {
    it("fills in defaults and takes settings within their bounds only", async () => {
      expect(await tenancy.settings("acme")).toMatchObject({ heartbeatIntervalSeconds: 60 });
      await tenancy.tenants.updateSettings("acme", { offlineAfterMissed: 5 }, SYSTEM_ACTOR);
      expect((await tenancy.settings("acme")).offlineAfterMissed).toBe(5);
      expect((await tenancy.settings("globex")).offlineAfterMissed).toBe(3);
      for (const patch of [{ maxDevices: 0 }, { maxDevices: 1.5 }, { toString: 1 }, { other: 1 }]) {
        const update = tenancy.tenants.updateSettings("acme", patch as never, SYSTEM_ACTOR);
        await expect(update).rejects.toMatchObject({ code: "invalid-content" });
      }
    });

    it("tells listeners of a new tenant, once it can be seen", async () => {
      const seen: string[] = [];
      const other = createTenancy({ db: test.db, clock });
      other.onTenantCreated(async (id) => {
        seen.push((await other.tenants.get(id)).name);
      });
      await other.tenants.create({ id: "initech", name: "Initech" }, SYSTEM_ACTOR);
      expect(seen).toEqual(["Initech"]);
    });

    it("never gives an id out twice, not even after its tenant is gone", async () => {
      await tenancy.tenants.create({ id: "hooli", name: "Hooli" }, SYSTEM_ACTOR);
      await tenancy.tenants.delete("hooli", SYSTEM_ACTOR);
      await expect(tenancy.tenants.get("hooli")).rejects.toMatchObject({ code: "not-found" });
      const again = tenancy.tenants.create({ id: "hooli", name: "Hooli" }, SYSTEM_ACTOR);
      await expect(again).rejects.toMatchObject({ code: "already-exists" });
      expect((await tenancy.audit.verify("hooli")).entries).toBe(3);
    });

    it.each(["", "_platform", "Acme", "a/b", "a".repeat(64)])("refuses the id %j", async (id) => {
      const create = tenancy.tenants.create({ id, name: "x" }, SYSTEM_ACTOR);
      await expect(create).rejects.toMatchObject({ code: "invalid-content" });
    });
  });

  describe("signing in", () => {
    it("makes one administrator at the first start, also when two processes start", async () => {
      const made = await Promise.all([
        tenancy.ensureAdministrator(),
        tenancy.ensureAdministrator(),
      ]);
      const first = made.filter((one) => one !== null);
      expect(first).toHaveLength(1);
      expect(await tenancy.ensureAdministrator()).toBeNull();
      const { email, password } = first[0] as { email: string; password: string };
      const { token } = await signIn(email, password);
      const principal = await tenancy.authenticate(token);
      expect(principal.platformRole).toBe("platform-administrator");
      expect(() => tenancy.authorize(principal, "acme", "tenancy.manage")).not.toThrow();
    });

    it("gives the same refusal for a wrong password and for nobody", async () => {
      const { email } = await user([]);
      const refusals = [signIn(email, "wrong wrong wrong"), signIn("nobody@example.com")];
      for (const outcome of await Promise.allSettled(refusals)) {
        expect(outcome).toMatchObject({ reason: { code: "invalid-credentials" } });
      }
    });

    it("locks out the address that guesses and not the person", async () => {
      const { email } = await user([]);
      const guesses = await Promise.allSettled(
        Array.from({ length: 8 }, () => signIn(email, "guess guess guess")),
      );
      const codes = guesses.map((guess) => (guess as PromiseRejectedResult).reason.code);
      expect(codes.filter((code) => code === "invalid-credentials")).toHaveLength(5);
      expect(codes.filter((code) => code === "rate-limited")).toHaveLength(3);
      await expect(signIn(email)).rejects.toMatchObject({ code: "rate-limited" });
      await expect(signIn(email, PASSWORD, "198.51.100.1")).resolves.toBeDefined();
      await clock.advance(15 * 60_000);
      await expect(signIn(email)).resolves.toBeDefined();
    });

    it("ends sessions on sign-out, on expiry, on a new password and when disabled", async () => {
      const { id, email } = await user([]);
      const refused = { code: "unauthenticated" };
      const first = await signIn(email);
      await tenancy.authenticate(first.token);
      await access.sessions.signOut(first.token);
      await expect(tenancy.authenticate(first.token)).rejects.toMatchObject(refused);

      const second = await signIn(email);
      await clock.advance(12 * 3_600_000);
      await expect(tenancy.authenticate(second.token)).rejects.toMatchObject(refused);

      const third = await signIn(email);
      await tenancy.users.setPassword(id, "another good password", SYSTEM_ACTOR);
      await expect(tenancy.authenticate(third.token)).rejects.toMatchObject(refused);

      const fourth = await signIn(email, "another good password");
      await tenancy.users.disable(id, SYSTEM_ACTOR);
      await expect(tenancy.authenticate(fourth.token)).rejects.toMatchObject(refused);
      const again = signIn(email, "another good password");
      await expect(again).rejects.toMatchObject({ code: "invalid-credentials" });
    });

    it("stores passwords as argon2id and tokens as hashes", async () => {
      const { id, email } = await user([]);
      const { token } = await signIn(email);
      const row = await test.db.platform((tx) =>
        tx.selectFrom("users").select("password_hash").where("id", "=", id).executeTakeFirst(),
      );
      expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
      const sessions = await test.db.platform((tx) =>
        tx.selectFrom("sessions").selectAll().execute(),
      );
      expect(JSON.stringify(sessions)).not.toContain(token);
    });

    it("refuses passwords that are easy to guess", async () => {
      for (const password of ["short", "aaaaaaaaaaaaaa", "same@example.com"]) {
        const create = tenancy.users.create(
          { email: "same@example.com", name: "S", password },
          SYSTEM_ACTOR,
        );
        await expect(create).rejects.toMatchObject({ code: "invalid-content" });
      }
    });
  });

  describe("keys and roles", () => {
    it("lets a tenant's key into its tenant, with its role", async () => {
      const { key } = await tenancy.keys.createTenantKey(
        "acme",
        { name: "ci", role: "viewer" },
        SYSTEM_ACTOR,
      );
      expect(key).toMatch(/^vk_/);
      const principal = await tenancy.authenticate(key);
      expect(principal).toMatchObject({ actor: { kind: "api-key", name: "ci" } });
      expect(() => tenancy.authorize(principal, "acme", "devices.read")).not.toThrow();
    });

    it("shows the key of another tenant nothing, not even that the tenant exists", async () => {
      const { key } = await tenancy.keys.createTenantKey(
        "acme",
        { name: "admin", role: "administrator" },
        SYSTEM_ACTOR,
      );
      const principal = await tenancy.authenticate(key);
      for (const tenant of ["globex", "no-such", "__proto__", "constructor", ""]) {
        expect(() => tenancy.authorize(principal, tenant, "devices.read")).toThrowError(
          expect.objectContaining({ code: "not-found" }),
        );
      }
    });

    it("refuses a viewer what would raise its own rights", async () => {
      const { id, email } = await user([{ tenantId: "acme", role: "viewer" }]);
      const principal = await tenancy.authenticate((await signIn(email)).token);
      for (const permission of ["tenancy.manage", "commands.send", "rollouts.control"] as const) {
        expect(() => tenancy.authorize(principal, "acme", permission)).toThrowError(
          expect.objectContaining({ code: "forbidden" }),
        );
      }
      const owner = "owner" as never;
      const set = tenancy.users.setMembership("acme", email, owner, SYSTEM_ACTOR);
      await expect(set).rejects.toMatchObject({ code: "invalid-content" });
      await tenancy.users.removeMembership("acme", id, SYSTEM_ACTOR);
      const { token } = await signIn(email);
      expect((await tenancy.authenticate(token)).rolesByTenant).toEqual({});
    });

    it("stops a key at once when it is revoked, and on time when it expires", async () => {
      const { id } = await user([{ tenantId: "acme", role: "viewer" }]);
      const actor = SYSTEM_ACTOR;
      const personal = await tenancy.keys.createPersonalKey(id, { name: "laptop" }, actor);
      expect((await tenancy.authenticate(personal.key)).rolesByTenant).toEqual({ acme: "viewer" });
      await tenancy.keys.revoke({ userId: id }, personal.id, actor);
      const refused = { code: "unauthenticated" };
      await expect(tenancy.authenticate(personal.key)).rejects.toMatchObject(refused);

      const expiresAt = new Date(clock.now() + 2_000);
      const brief = await tenancy.keys.createTenantKey(
        "acme",
        { name: "brief", role: "viewer", expiresAt },
        actor,
      );
      await tenancy.authenticate(brief.key);
      await clock.advance(2_000);
      await expect(tenancy.authenticate(brief.key)).rejects.toMatchObject(refused);
      const foreign = tenancy.keys.revoke({ tenantId: "globex" }, brief.id, actor);
      await expect(foreign).rejects.toMatchObject({ code: "not-found" });
    });

    it("notes when a key was last used without writing at each use", async () => {
      const key = await tenancy.keys.createTenantKey(
        "globex",
        { name: "used", role: "viewer" },
        SYSTEM_ACTOR,
      );
      const lastUsed = async () =>
        (await tenancy.keys.list({ tenantId: "globex" })).find((one) => one.id === key.id)
          ?.lastUsedAt;
      expect(await lastUsed()).toBeNull();
      await tenancy.authenticate(key.key);
      const first = await lastUsed();
      await clock.advance(30_000);
      await tenancy.authenticate(key.key);
      expect(await lastUsed()).toEqual(first);
      await clock.advance(30_000);
      await tenancy.authenticate(key.key);
      expect(await lastUsed()).toEqual(new Date(clock.now()));
    });

    it.each(["", "vk_", "vk_short", "Bearer x", `vk_${"A".repeat(43)}`])(
      "refuses the token %j",
      async (token) => {
        const refused = { code: "unauthenticated" };
        await expect(tenancy.authenticate(token)).rejects.toMatchObject(refused);
      },
    );
  });
});
