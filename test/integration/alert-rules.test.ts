import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTestCli } from "../support/cli.ts";

const HOT = {
  name: "Hot",
  severity: "warning",
  source: { kind: "metric", metric: "temperature", aggregate: "max", windowSeconds: 600 },
  condition: { operator: ">", threshold: 80, clearThreshold: 75 },
  collapseAbove: 5,
};

describe("alert rules", () => {
  let test: TestApi;
  const base = "/tenants/acme/alert-rules";
  const call = (method: string, url: string, body?: object, headers = {}) =>
    test.call(method, url, { key: test.acme, headers, ...(body ? { body } : {}) });
  const active = async (rule: string) =>
    (await call("GET", `/tenants/acme/alerts?state=active&rule=${rule}`)).body.items;
  const evaluate = async (rule: string) => {
    await test.modules.db.tenant("acme", (tx) =>
      tx
        .updateTable("alert_rules")
        .set({ next_evaluation_at: new Date(0) })
        .execute(),
    );
    await test.modules.alertRules.evaluateDue("acme");
    return active(rule);
  };
  const hot = async (device: string, value: number) =>
    test.modules.telemetry.ingestTelemetry(
      { tenantId: "acme", deviceId: device },
      { ts: Date.now(), seq: 1, values: { temperature: value } },
      Date.now(),
    );

  beforeAll(async () => {
    test = await startTestApi();
    for (let at = 0; at < 8; at += 1) {
      const device = {
        id: `hub-${at}`,
        product: "hub",
        hardwareRevision: "a",
        tags: { site: "b" },
      };
      await call("POST", "/tenants/acme/devices", device);
    }
  });
  afterAll(() => test.close());

  it("raise an alert for a device whose figure is too high, show what they see, and end it", async () => {
    await hot("hub-0", 90);
    await hot("hub-1", 20);
    const preview = await call("POST", `${base}/preview`, HOT);
    expect(preview.body).toMatchObject({ samples: 2, holding: 1, isCollapsed: false });
    const rule = (await call("POST", base, HOT)).body;
    const [alert, ...others] = await evaluate(rule.id);
    expect(others).toEqual([]);
    expect(alert).toMatchObject({
      title: "Hot of device hub-0: temperature is 90 (> 80)",
      subjectId: "hub-0",
      labels: { rule: "Hot", device: "hub-0", product: "hub", "tag.site": "b" },
    });
    // Looking again is no further occurrence.
    expect(await evaluate(rule.id)).toMatchObject([{ id: alert.id, occurrences: 1 }]);
    // By hand: silent until the condition has ended once.
    await call("POST", `/tenants/acme/alerts/${alert.id}/resolve`);
    expect(await evaluate(rule.id)).toEqual([]);
    for (let at = 0; at < 8; at += 1) await hot(`hub-${at}`, 95);
    const [one, ...rest] = await evaluate(rule.id);
    expect(rest).toEqual([]);
    expect(one).toMatchObject({ title: "Hot: 7 devices", subjectKind: "rule" });
    expect((await call("GET", `${base}/${rule.id}`)).body).toMatchObject({
      ...{ state: "firing", firing: 8, lastError: null },
    });
    expect((await call("DELETE", `${base}/${rule.id}`)).status).toBe(204);
    expect((await call("GET", `/tenants/acme/alerts/${one.id}`)).body.state).toBe("resolved");
  });

  it("raise an alert for a device whose health fails, and for a part of the platform, and end both", async () => {
    const devices = { kind: "devices", query: 'health = "failing"' };
    const failing = { name: "Failing devices", severity: "critical", source: devices };
    const platform = { kind: "platform", check: "clickhouse" };
    const unwell = { name: "Platform", severity: "critical", source: platform };
    const health = (await call("POST", base, failing)).body;
    const parts = (await call("POST", base, unwell)).body;
    expect(await evaluate(health.id)).toEqual([]);
    const become = (state: "failing" | "healthy") =>
      test.modules.db.tenant("acme", (tx) =>
        tx
          .updateTable("device_states")
          .set({ health: state })
          .where("device_id", "=", "hub-5")
          .execute(),
      );
    const { platformChecks } = test.modules;
    await become("failing");
    platformChecks.push({ name: "postgresql", state: "ok", reason: "" });
    platformChecks.push({ name: "clickhouse", state: "failed", reason: "no answer" });
    const [device, ...rest] = await evaluate(health.id);
    expect([device.subjectId, rest]).toEqual(["hub-5", []]);
    expect(await active(parts.id)).toMatchObject([
      { severity: "critical", subjectKind: "platform", subjectId: "clickhouse" },
    ]);
    await become("healthy");
    platformChecks.splice(0);
    expect(await evaluate(health.id)).toEqual([]);
    expect(await active(parts.id)).toEqual([]);
    for (const { id } of [health, parts]) await call("DELETE", `${base}/${id}`);
  });

  it.each([
    [{ kind: "devices", query: 'presence = "never"' }, undefined, 8],
    [
      { kind: "devices", query: 'presence = "never"', per: "fleet" },
      { operator: ">=", threshold: 8 },
      1,
    ],
    [
      { kind: "devices", query: 'presence = "offline"', per: "fleet", measure: "share" },
      { operator: ">=", threshold: 0 },
      1,
    ],
    [{ kind: "logs", words: "checksum failed", level: "error" }, undefined, 1],
    [{ kind: "logs", per: "fleet" }, { operator: ">=", threshold: 1 }, 1],
    [{ kind: "quota", resource: "devices" }, { operator: "<", threshold: 50 }, 1],
    [{ kind: "anomalies" }, undefined, 1],
    [{ kind: "rollouts", states: ["paused"] }, undefined, 0],
    [{ kind: "certificates" }, { operator: "<", threshold: 30 }, 0],
    [{ kind: "platform", check: "any" }, undefined, 0],
  ])("look at %j", async (source, condition, holding) => {
    const peer = { tenantId: "acme", deviceId: "hub-3" };
    const line = { ts: Date.now(), seq: 1, level: "error", message: "image checksum has failed" };
    await test.modules.logs.ingestDeviceLogs(peer, [line], Date.now());
    const anomaly = { key: "a", kind: "anomaly", severity: "warning" as const, title: "odd" };
    await test.modules.alerts.raise("acme", {
      ...{ ...anomaly, subjectKind: "device", subjectId: "hub-3" },
    });
    const spec = { name: "Any", severity: "info", source, ...(condition ? { condition } : {}) };
    const answer = await call("POST", `${base}/preview`, spec);
    expect(answer.body).toMatchObject({ holding });
  });

  it("are changed by who has read them, and say what is wrong with them", async () => {
    const created = await call("POST", base, { ...HOT, name: "Once" });
    const { etag } = created.headers as { etag: string };
    const url = `${base}/${created.body.id}`;
    const changed = { ...HOT, name: "Once", severity: "critical" };
    expect((await call("PUT", url, changed, { "if-match": etag })).status).toBe(200);
    expect((await call("PUT", url, changed, { "if-match": etag })).status).toBe(412);
    expect((await call("POST", base, { ...HOT, name: "Once" })).body.code).toBe("already-exists");
    const wrong = { ...HOT, source: { kind: "metric" }, forSeconds: -1 };
    expect((await call("POST", base, wrong)).body.errors).toContainEqual(
      expect.objectContaining({ path: "body/forSeconds" }),
    );
    const { body } = await call("POST", base, { ...HOT, source: { kind: "metric" } });
    expect(body.errors).toEqual([{ path: "/source/metric", message: "is missing" }]);
  });

  it("that cannot be evaluated say so and leave their alerts as they are", async () => {
    const spec = {
      name: "Broken",
      severity: "info",
      source: { kind: "devices", query: 'presence = "offline"' },
    };
    const { id } = (await call("POST", base, spec)).body;
    // As a version before this one may have taken it.
    const asked = async (query: string) => {
      const written = { ...spec, source: { ...spec.source, query } };
      await test.modules.db.tenant("acme", (tx) =>
        tx
          .updateTable("alert_rules")
          .set({ spec: JSON.stringify(written) })
          .where("id", "=", id)
          .execute(),
      );
      return evaluate(id);
    };
    const open = await asked('presence = "never"');
    expect(open).toHaveLength(8);
    expect(await asked("colour = 1")).toEqual(open);
    expect((await call("GET", `${base}/${id}`)).body).toMatchObject({
      ...{ state: "failing", lastError: expect.stringContaining('there is no field "colour"') },
    });
    expect(await asked('presence = "offline"')).toEqual([]);
  });

  it("leave a command that acts on alerts no success to tell of that is none", async () => {
    const cli = createTestCli(await test.listen(), test.acme);
    const raised = await test.modules.alerts.raise("acme", {
      ...{ key: "k", kind: "anomaly", severity: "info", title: "odd" },
      ...{ subjectKind: "device", subjectId: "hub-0" },
    });
    expect((await cli.run("alerts", "ack", raised.id)).err).toBe("acknowledged\n");
    expect((await cli.run("alerts", "resolve", raised.id)).err).toBe("resolved\n");
    expect((await cli.run("alerts", "ack", raised.id)).err).toBe("it had ended before\n");
    const file = path.join(os.tmpdir(), `vautn-channel-${process.pid}.yaml`);
    fs.writeFileSync(file, "name: pager\nkind: pagerduty\nsettings: {}\n");
    const { status, err } = await cli.run("alerts", "channels", "apply", "-f", file);
    expect([status, err]).toEqual([2, expect.stringContaining("set VAUTN_CHANNEL_SECRET")]);
    fs.rmSync(file);
    cli.close();
  });

  it("belong to their tenant, and to those who may make them", async () => {
    const { id } = (await call("POST", base, { ...HOT, name: "Mine" })).body;
    const theirs = await test.call("GET", `/tenants/globex/alert-rules/${id}`, {
      key: test.globex,
    });
    expect(theirs.status).toBe(404);
    const viewer = await test.keyOf("acme", "viewer");
    expect((await test.call("POST", base, { key: viewer, body: HOT })).status).toBe(403);
  });
});
