import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";

const reason = "ticket 4711: their devices are offline";

describe("an operator of the platform", () => {
  let test: TestApi;
  let operator: string;

  beforeAll(async () => {
    test = await startTestApi();
    const { users, keys } = test.modules.tenancy;
    const user = await users.create(
      {
        email: "ops@example.com",
        name: "Ops",
        password: PASSWORD,
        platformRole: "platform-operator",
      },
      SYSTEM_ACTOR,
    );
    operator = (await keys.createPersonalKey(user.id, { name: "ops" }, SYSTEM_ACTOR)).key;
  });
  afterAll(() => test.close());

  const by = (method: string, url: string, body?: unknown) =>
    test.call(method, url, { key: operator, ...(body === undefined ? {} : { body }) });
  const open = (tenant: string, more: object = {}) =>
    by("POST", `/tenants/${tenant}/break-glass`, { reason, ...more });

  it("sees which tenants there are, and nothing that a tenant holds", async () => {
    const { body } = await by("GET", "/tenants");
    expect(body.items.map(({ id }: { id: string }) => id)).toEqual(["acme", "globex"]);
    for (const what of ["", "/devices", "/logs?q=x", "/audit", "/rollouts", "/break-glass"]) {
      expect((await by("GET", `/tenants/acme${what}`)).status, what).toBe(404);
    }
    const figures = await by("GET", "/tenants/acme/figures");
    expect([figures.status, figures.body.items[0].quota]).toEqual([200, "devices"]);
    expect((await by("GET", "/tenants/nobody/figures")).status).toBe(404);
    for (const [key, status] of [[test.acme, 403] as const, [test.globex, 404] as const]) {
      expect((await test.call("GET", "/tenants/acme/figures", { key })).status).toBe(status);
    }
    expect((await by("POST", "/tenants", { id: "mine", name: "Mine" })).status).toBe(403);
    expect((await by("GET", "/api/v1/users")).status).toBe(403);
    expect((await by("GET", "/api/v1/audit")).status).toBe(403);
  });

  it("comes in for a reason, as what was asked for; both audit logs and an alert say so", async () => {
    const opened = await open("acme", { role: "operator", minutes: 15 });
    expect([opened.status, opened.body.role]).toEqual([201, "operator"]);
    expect((await by("GET", "/tenants/acme/devices")).status).toBe(200);
    expect((await by("GET", "/tenants/acme/users")).status).toBe(403);
    expect((await by("GET", "/tenants/globex/devices")).status).toBe(404);
    const own = await test.call("GET", "/tenants/acme/audit?action=break-glass.open");
    const platform = await test.call("GET", "/api/v1/audit?action=break-glass.open");
    const entry = { outcome: "done", actor: { name: "ops@example.com" }, details: { reason } };
    expect([own.body.items[0], platform.body.items[0]]).toMatchObject([entry, entry]);
    const alerts = await test.call("GET", "/tenants/acme/alerts", { key: test.acme });
    expect(alerts.body.items[0]).toMatchObject({ kind: "break-glass", details: { reason } });
    const list = await test.call("GET", "/tenants/acme/break-glass", { key: test.acme });
    expect(list.body.items).toMatchObject([{ by: "ops@example.com", reason, endedAt: null }]);
    // Where the alert cannot be written there is no entry either.
    const { breakGlass } = test.modules.tenancy;
    const principal = await test.modules.tenancy.authenticate(operator);
    const untold = breakGlass.open(
      "globex",
      { role: "viewer", reason, minutes: 15 },
      principal,
      principal.actor,
      () => Promise.reject(new Error("no room for alerts")),
    );
    await expect(untold).rejects.toThrow("no room for alerts");
    expect((await by("GET", "/tenants/globex/devices")).status).toBe(404);
    const untouched = await test.call("GET", "/tenants/globex/audit?action=break-glass.open");
    expect(untouched.body.items).toEqual([]);
    const foreign = await test.call("GET", "/tenants/acme/break-glass", { key: test.globex });
    expect(foreign.status).toBe(404);
  });

  it("is out again when they leave, and when the time is over", async () => {
    expect((await open("acme")).status).toBe(201);
    expect((await by("DELETE", "/tenants/acme/break-glass")).status).toBe(200);
    expect((await by("GET", "/tenants/acme/devices")).status).toBe(404);
    expect((await by("DELETE", "/tenants/acme/break-glass")).status).toBe(404);
    const again = await open("acme");
    const { db, tenancy } = test.modules;
    await db.platform((tx) =>
      tx
        .updateTable("break_glass")
        .set({ opened_at: new Date(Date.now() - 7_200_000), expires_at: new Date(Date.now() - 1) })
        .where("id", "=", again.body.id)
        .execute(),
    );
    // What another process decided is believed for five seconds; here the cache is emptied instead.
    await tenancy.users.setMembership("globex", "ops@example.com", "viewer", SYSTEM_ACTOR);
    expect((await by("GET", "/tenants/acme/devices")).status).toBe(404);
    expect((await by("GET", "/tenants/globex/devices")).status).toBe(200);
  });

  it.each([
    [{ reason: "because" }, 400],
    [{ reason: "          \n   " }, 422],
    [{ role: "administrator" }, 400],
    [{ minutes: 1 }, 400],
    [{ minutes: 100_000 }, 400],
  ])("is refused with %j", async (more, status) => {
    const refused = await open("acme", more);
    expect(refused.status, JSON.stringify(refused.body)).toBe(status);
    expect((await by("GET", "/tenants/acme/devices")).status).toBe(404);
  });

  it("is the only one who breaks it, and only of tenants that are there", async () => {
    const url = "/tenants/acme/break-glass";
    const member = await test.call("POST", url, { key: test.acme, body: { reason } });
    expect(member.status).toBe(403);
    expect((await test.call("POST", url, { body: { reason } })).status).toBe(403);
    expect((await open("nobody")).status).toBe(404);
    const entry = { action: "break-glass.open", outcome: "refused" };
    const audit = await test.call("GET", "/api/v1/audit?outcome=refused&limit=20");
    expect(audit.body.items).toEqual(
      expect.arrayContaining([expect.objectContaining({ ...entry })]),
    );
  });
});
