import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  isPermission,
  PERMISSIONS,
  type Permission,
  TENANT_ROLES,
  type TenantRole,
} from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { apiRoutes, refusalOf } from "../support/api-routes.ts";

const routes = apiRoutes();
const guarded = routes.filter((route) => !route.isPublic);
const tenantRoutes = routes.filter((route) => route.hasTenant);
const gives = (role: TenantRole, access: Permission) =>
  (PERMISSIONS[access] as readonly TenantRole[]).includes(role);
const adminOnly = ["deleteTenant", "restoreTenant", "moveTenantStorage"];

/** These take a plan's body and change nothing. */
const READ_BY_POST = [
  "planRollout",
  "listRolloutPlanDevices",
  "previewAlertRule",
  "estimateTelemetryRetention",
  "prometheusQueryByForm",
  "prometheusQueryRangeByForm",
  "prometheusSeriesByForm",
  "prometheusLabelsByForm",
];

describe("who may call the API", () => {
  let test: TestApi;
  let viewer: string;
  beforeAll(async () => {
    test = await startTestApi();
    viewer = await test.keyOf("acme", "viewer");
    await test.call("POST", "/tenants/acme/devices", {
      body: { id: "hub-1", product: "hub", hardwareRevision: "a" },
    });
  });
  afterAll(() => test.close());

  const send = (route: (typeof routes)[number], tenant: string, key: string | null) =>
    test.call(route.method, route.url(tenant), { key, ...(route.body ? { body: {} } : {}) });

  it("knows every route of the committed description", () => {
    expect(routes.length).toBeGreaterThan(60);
    expect(routes.filter((route) => route.isPublic).map((route) => route.operationId)).toEqual([
      "getHealth",
      "getReadiness",
      "getMetrics",
      "signIn",
      "listOfferedProviders",
      "startProviderSignIn",
      "finishProviderSignIn",
      "beginPasskeySignIn",
      "signInWithPasskey",
      "exchangeToken",
    ]);
  });

  it.each(guarded.map((route) => [route.operationId, route] as const))(
    "%s refuses those without credentials and with wrong ones",
    async (_name, route) => {
      const wrong = `vk_${"A".repeat(43)}`;
      for (const key of [null, "nonsense", wrong]) {
        const { status, body } = await send(route, "acme", key);
        const { code } = refusalOf(body);
        expect([status, code], String(key)).toEqual([401, "unauthenticated"]);
      }
    },
  );

  it.each(tenantRoutes.map((route) => [route.operationId, route] as const))(
    "%s hides a foreign tenant as if it did not exist",
    async (_name, route) => {
      if (adminOnly.includes(route.operationId)) {
        expect((await send(route, "acme", test.globex)).status).toBe(403);
        return;
      }
      const foreign = await send(route, "acme", test.globex);
      const missing = await send(route, "no-such-tenant", test.globex);
      const { code, detail } = refusalOf(foreign.body);
      expect([foreign.status, code]).toEqual([404, "not-found"]);
      expect(detail).toBeDefined();
      expect([missing.status, refusalOf(missing.body)]).toEqual([404, { code, detail }]);
    },
  );

  it.each(
    tenantRoutes
      .filter((route) => route.method !== "GET" && !READ_BY_POST.includes(route.operationId))
      .map((route) => [route.operationId, route] as const),
  )("%s refuses a viewer", async (_name, route) => {
    const { status, body } = await send(route, "acme", viewer);
    expect([status, body.code]).toEqual([403, "forbidden"]);
  });

  it.each(TENANT_ROLES)(
    "%s may call what the table says, and is refused the rest",
    async (role) => {
      const key = await test.keyOf("acme", role);
      const lacking = tenantRoutes.filter(
        ({ access }) => isPermission(access) && !gives(role, access),
      );
      for (const route of lacking) {
        const { status, body } = await send(route, "acme", key);
        expect([route.operationId, status, refusalOf(body).code]).toEqual([
          route.operationId,
          403,
          "forbidden",
        ]);
      }
      // The control: what reads and asks for nothing else is answered.
      const given = ["getTenant", "listDevices", "listReleases", "listRollouts", "listAlerts"];
      for (const route of tenantRoutes.filter(({ operationId }) => given.includes(operationId))) {
        expect((await send(route, "acme", key)).status).toBe(200);
      }
    },
  );

  describe("with a key that has scopes", () => {
    const make = (body: object, key = test.acme) =>
      test.call("POST", "/tenants/acme/keys", { key, body: { name: "scoped", ...body } });

    it("lets it do those and nothing else of its role, on every route", async () => {
      const made = await make({ role: "administrator", scopes: ["tenant.read", "tenant.read"] });
      expect(made.status).toBe(201);
      for (const route of tenantRoutes) {
        const { status, body } = await send(route, "acme", made.body.key);
        const expected = route.access === "tenant.read" ? [200, undefined] : [403, "forbidden"];
        const { code } = refusalOf(body);
        expect([route.operationId, status, code]).toEqual([route.operationId, ...expected]);
      }
      const listed = await test.call("GET", "/tenants/acme/keys", { key: test.acme });
      const own = listed.body.items.find(({ id }: { id: string }) => id === made.body.id);
      expect(own).toMatchObject({ role: "administrator", scopes: ["tenant.read"] });
      const audit = await test.call(
        "GET",
        "/tenants/acme/audit?action=key.create&outcome=done&limit=1",
      );
      expect(audit.body.items[0].details).toMatchObject({ scopes: ["tenant.read"] });
    });

    it("lets it make nothing that can do more than itself", async () => {
      const scopes = ["tenancy.manage", "tenancy.read", "devices.read"];
      const { key } = (await make({ role: "administrator", scopes })).body;
      const forbidden = [
        await make({ role: "administrator" }, key),
        await make({ role: "viewer" }, key),
        await make({ role: "administrator", scopes: ["devices.read", "audit.read"] }, key),
        await test.call("PUT", "/tenants/acme/users", {
          key,
          body: { email: "admin@example.com", role: "administrator" },
        }),
        await test.call("POST", "/tenants/acme/application-certificates", {
          key,
          body: { name: "app", role: "operator" },
        }),
      ];
      for (const { status, body } of forbidden) {
        expect([status, body.code, body.detail]).toEqual([
          403,
          "forbidden",
          expect.stringContaining("you cannot give"),
        ]);
      }
      expect((await make({ role: "viewer", scopes: ["devices.read"] }, key)).status).toBe(201);
    });

    it("is not made with scopes that are none, or that its role does not have", async () => {
      expect((await make({ role: "viewer", scopes: ["everything"] })).status).toBe(400);
      expect((await make({ role: "viewer", scopes: [] })).status).toBe(400);
      const more = await make({ role: "viewer", scopes: ["commands.send"] });
      expect([more.status, more.body.code]).toEqual([422, "invalid-content"]);
    });
  });

  it("does not reach another tenant's things through ids of one's own tenant", async () => {
    const options = { key: test.globex };
    const device = await test.call("GET", "/tenants/globex/devices/hub-1", options);
    expect(device.status).toBe(404);
    const bulk = await test.call("POST", "/tenants/globex/commands", {
      ...options,
      body: { devices: ["hub-1"], name: "ping" },
    });
    expect(bulk.status).toBe(404);
    const byQuery = await test.call("POST", "/tenants/globex/commands", {
      ...options,
      body: { query: 'id = "hub-1"', name: "ping" },
    });
    expect(byQuery.body.items ?? []).toEqual([]);
    const sent = await test.call("GET", "/tenants/acme/commands");
    expect(sent.body.items).toEqual([]);
  });

  it("shows each caller only the tenants that are theirs", async () => {
    const { body } = await test.call("GET", "/tenants", { key: test.globex });
    expect(body.items.map((tenant: { id: string }) => tenant.id)).toEqual(["globex"]);
  });

  it("writes an attempt on a foreign tenant into the platform's log, not into the tenant's", async () => {
    const before = await test.modules.tenancy.audit.list("acme");
    await test.call("DELETE", "/tenants/acme/devices/hub-1", { key: test.globex });
    const after = await test.modules.tenancy.audit.list("acme");
    expect(after.items.length).toBe(before.items.length);
    const platform = await test.call("GET", "/api/v1/audit?action=device.remove");
    expect(platform.body.items[0]).toMatchObject({
      outcome: "refused",
      targetId: "hub-1",
      details: { tenant: "acme", status: 404 },
    });
    expect((await test.call("GET", "/tenants/acme/devices/hub-1")).status).toBe(200);
  });

  it("writes a member's refused write into the tenant's log and keeps the chain whole", async () => {
    await test.call("DELETE", "/tenants/acme/devices/hub-1", { key: viewer });
    const { body } = await test.call("GET", "/tenants/acme/audit?outcome=refused&limit=1");
    expect(body.items[0]).toMatchObject({ action: "device.remove", details: { status: 403 } });
    const proof = await test.call("GET", "/tenants/acme/audit/verify");
    expect(proof.body.intact).toBe(true);
  });
});
