import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateRequest, toPem } from "../../src/protocol/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { publishRelease } from "../support/api-release.ts";

describe("what is done through the API", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
  });
  afterAll(() => test.close());

  /** The audit entries that `act` adds to a chain, oldest first. */
  async function entriesOf(url: string, act: () => Promise<unknown>): Promise<string[]> {
    const read = async () => (await test.call("GET", `${url}?limit=500`)).body.items;
    // The first reading is itself recorded, once it has been answered.
    await read();
    const before = (await read()).length;
    await act();
    const items = (await read()) as { action: string; outcome: string; actor: { name: string } }[];
    return items
      .slice(0, items.length - before)
      .map(({ action, outcome, actor }) => `${actor.name} ${outcome} ${action}`)
      .reverse();
  }
  /** The newest entry of an action. */
  async function newest(action: string) {
    return (await test.call("GET", `/tenants/acme/audit?action=${action}&limit=1`)).body.items[0];
  }
  const inTenant = (act: () => Promise<unknown>) => entriesOf("/tenants/acme/audit", act);
  const onPlatform = (act: () => Promise<unknown>) => entriesOf("/api/v1/audit", act);

  async function done(method: string, url: string, body?: unknown) {
    const answer = await test.call(method, url, body === undefined ? {} : { body });
    expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
    return answer.body;
  }
  const byAdmin = (actions: string[]) =>
    actions.map((action) => `admin@example.com done ${action}`);

  function hub(id: string) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const subject = { privateKey, commonName: `acme/${id}`, organization: "acme" };
    const csr = toPem("CERTIFICATE REQUEST", createCertificateRequest(subject));
    return { id, product: "hub", hardwareRevision: "a", csr };
  }

  it("says what was there before a change and after it, and nothing that stayed as it was", async () => {
    await done("POST", "/tenants/acme/devices", { ...hub("changed"), csr: undefined });
    await done("PATCH", "/tenants/acme/devices/changed", { region: "eu", tags: { site: "a" } });
    await done("PATCH", "/tenants/acme/devices/changed", { region: "eu", tags: { site: "b" } });
    expect((await newest("device.update")).details).toEqual({
      before: { tags: { site: "a" } },
      after: { tags: { site: "b" } },
    });
    await done("PATCH", "/tenants/acme", { settings: { heartbeatIntervalSeconds: 90 } });
    expect((await newest("tenant.update-settings")).details).toEqual({
      before: { heartbeatIntervalSeconds: 60 },
      after: { heartbeatIntervalSeconds: 90 },
    });
  });

  it("names who reads the audit log, the members and log lines, once an hour", async () => {
    const key = await test.keyOf("acme", "auditor");
    const entries = await inTenant(async () => {
      for (let time = 0; time < 3; time += 1) {
        for (const what of ["audit", "users", "logs"]) {
          const answer = await test.call("GET", `/tenants/acme/${what}`, { key });
          expect(answer.status).toBe(200);
        }
      }
    });
    expect(entries.slice(-3)).toEqual(
      ["audit.read", "member.read", "log.read"].map((action) => `auditor done ${action}`),
    );
  });

  it("stands once in the tenant's audit log: devices, commands, groups, claims", async () => {
    const entries = await inTenant(async () => {
      await done("POST", "/tenants/acme/devices", { ...hub("plain"), csr: undefined });
      await done("PATCH", "/tenants/acme/devices/plain", { region: "eu" });
      const { items } = await done("POST", "/tenants/acme/commands", {
        devices: ["plain"],
        name: "ping",
      });
      await done("POST", `/tenants/acme/commands/${items[0].id}/cancel`);
      await done("POST", "/tenants/acme/groups", { name: "all", query: "" });
      await done("DELETE", "/tenants/acme/groups/all");
      const claim = await done("POST", "/tenants/acme/claim-tokens", {
        name: "line 1",
        devicePattern: "x-*",
        product: "hub",
        hardwareRevision: "a",
        maxUses: 1,
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      });
      await done("DELETE", `/tenants/acme/claim-tokens/${claim.id}`);
      await done("DELETE", "/tenants/acme/devices/plain");
    });
    expect(entries).toEqual(
      byAdmin([
        "device.register",
        "device.update",
        "command.send",
        "command.cancel",
        "group.create",
        "group.delete",
        "claim-token.create",
        "claim-token.revoke",
        "device.remove",
      ]),
    );
  });

  it("stands once: trust root, release, and every step of a rollout that a person takes", async () => {
    await done("POST", "/tenants/acme/devices", hub("hub-1"));
    let releaseId = "";
    const published = await inTenant(async () => {
      releaseId = await publishRelease(test, "acme");
    });
    expect(published).toEqual(byAdmin(["trust-root.set", "release.publish"]));

    const steered = await inTenant(async () => {
      const body = { name: "next", releaseId, query: "" };
      const { id } = await done("POST", "/tenants/acme/rollouts", body);
      const steer = (verb: string) => done("POST", `/tenants/acme/rollouts/${id}/${verb}`, {});
      await steer("pause");
      await steer("resume");
      await steer("cancel");
      await steer("rollback");
      await done("POST", `/tenants/acme/releases/${releaseId}/yank`, { reason: "smoke" });
    });
    expect(steered).toEqual(
      byAdmin([
        "rollout.create",
        "rollout.pause",
        "rollout.resume",
        "rollout.cancel",
        "rollout.rollback",
        "release.yank",
      ]),
    );
  });

  it("stands once: keys, members, webhooks, settings", async () => {
    const entries = await inTenant(async () => {
      const key = await done("POST", "/tenants/acme/keys", { name: "ci", role: "operator" });
      await done("DELETE", `/tenants/acme/keys/${key.id}`);
      const hook = await done("POST", "/tenants/acme/webhooks", {
        url: "http://127.0.0.1:9/hook",
        eventTypes: ["vautn.rollout.paused"],
      });
      await done("DELETE", `/tenants/acme/webhooks/${hook.id}`);
      const grace = {
        email: "grace@example.com",
        name: "Grace",
        password: "correct horse battery",
      };
      const { id } = await done("POST", "/api/v1/users", grace);
      await done("PUT", "/tenants/acme/users", { email: grace.email, role: "operator" });
      await done("DELETE", `/tenants/acme/users/${id}`);
      await done("PATCH", "/tenants/acme", { settings: { heartbeatIntervalSeconds: 120 } });
    });
    expect(entries).toEqual(
      byAdmin([
        "key.create",
        "key.revoke",
        "webhook.create",
        "webhook.delete",
        "member.set",
        "member.remove",
        "tenant.update-settings",
      ]),
    );
  });

  it("stands once in the platform's audit log: people, tenants, personal keys", async () => {
    const entries = await onPlatform(async () => {
      await done("POST", "/api/v1/tenants", { id: "initech", name: "Initech" });
      const user = await done("POST", "/api/v1/users", {
        email: "ada@example.com",
        name: "Ada",
        password: "correct horse battery staple",
      });
      await done("PUT", `/api/v1/users/${user.id}/password`, {
        password: "another horse battery staple",
      });
      await done("POST", `/api/v1/users/${user.id}/disable`);
      const key = await done("POST", "/auth/keys", { name: "laptop" });
      await done("DELETE", `/auth/keys/${key.id}`);
      await done("DELETE", "/api/v1/tenants/initech?confirm=initech");
    });
    expect(entries).toEqual(
      byAdmin([
        "tenant.create",
        "user.create",
        "user.set-password",
        "user.disable",
        "key.create",
        "key.revoke",
        "tenant.schedule-deletion",
      ]),
    );
  });
});
