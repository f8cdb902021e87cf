import { generateKeyPairSync, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { subjects } from "../../src/bus/index.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR, TENANT_ROLES } from "../../src/tenancy/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";
import { publishWithSbom } from "../support/api-release.ts";
import { apiRoutes } from "../support/api-routes.ts";
import { newKey, requestFor } from "../support/enrolment.ts";
import { forge } from "../support/pki.ts";
import { tenantRows } from "../support/tenant-rows.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
/** Names that a tenant makes up: there is none that one's own tenant has not. */
const MADE_UP = ["product", "label"];
const isOfNames = ({ ids }: { ids: string[] }) => ids.every((name) => MADE_UP.includes(name));
const routes = apiRoutes().filter(
  (route) => route.hasTenant && route.ids.length > 0 && !isOfNames(route),
);

/** A body without which a route would refuse for another reason than the one that is tested. */
const BODIES: Record<string, object> = {
  updateDevice: { region: "mine" },
  patchTwin: { desired: { mine: true } },
  replaceTwin: { desired: { mine: true } },
  replaceRole: { permissions: ["devices.read"] },
  promoteRelease: { channel: "beta" },
  giveAlertFeedback: { useful: true },
  replaceLogSearch: { filter: { words: "mine" } },
  replaceAlertRule: {
    ...{ name: "mine", severity: "info", source: { kind: "devices", query: "" } },
  },
  replaceAlertChannel: { name: "mine", settings: { url: "http://127.0.0.1:9/" } },
};
const bodyOf = ({ operationId, required }: (typeof routes)[number]) =>
  BODIES[operationId] ?? Object.fromEntries(required.map((name) => [name, "mine"]));

/** A client of the tus protocol has to say that it is one. */
const TUS_HEADERS = {
  "tus-resumable": "1.0.0",
  "upload-offset": "0",
  "content-type": "application/offset+octet-stream",
};

const QUERIES: Record<string, string> = { getSeries: "?metric=temperature" };

/** Parameters of routes that mean the same in every tenant. */
const NO_IDS = ["role", "seq"];
const idsOf = (theirs: Record<string, string>) =>
  Object.entries(theirs).flatMap(([name, id]) => (NO_IDS.includes(name) ? [] : [id]));

/** The gate's first word on a rollout of globex, which can be replayed. */
async function firstVerdict({ modules }: TestApi, id: string) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    await modules.firmware.buildNextDelta("globex");
    await modules.rollouts.tick("globex");
    const { items } = await modules.rollouts.verdicts("globex", id);
    const found = items.find(({ decidedBy }) => decidedBy === "gate");
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the gate said nothing about their rollout");
}

/** One of everything that has an id, in the tenant globex. */
async function furnish(test: TestApi): Promise<Record<string, string>> {
  const call = async (method: string, path: string, body: object) => {
    const answer = await test.call(method, `/tenants/globex/${path}`, { body });
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const device = { id: "their-hub", product: "hub", hardwareRevision: "a" };
  await call("POST", "devices", device);
  await call("POST", "groups", { name: "their-group", query: 'product = "hub"' });
  const theirRule = {
    product: "their-product",
    heartbeatIntervalSeconds: 300,
    offlineAfterMissed: 3,
  };
  await call("PUT", "presence-rules", theirRule);
  for (const act of ["quarantine", "release"]) {
    await call("POST", `devices/${device.id}/${act}`, { reason: "theirs" });
  }
  const metric = { name: "heat", type: "number", decimals: 1, unit: "secret of globex" };
  await call("PATCH", "products/hub/metrics", { items: [metric] });
  await call("PATCH", `devices/${device.id}/twin`, { desired: { secret: "secret of globex" } });
  const release = await publishWithSbom(test, "globex");
  const firmware = { version: "1.0.0", hash: "a".repeat(64), slot: "a" };
  const heartbeat = { ts: Date.now(), seq: 1, bootId: "b", uptimeSeconds: 1, firmware };
  const { devices, alerts, identity, logs, tenancy } = test.modules;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const commonName = `globex/${device.id}`;
  const { serial } = await identity.enroll({
    tenantId: "globex",
    csr: createCertificateRequest({ privateKey, commonName, organization: "globex" }),
    via: "test",
    authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId: device.id },
  });
  const peer = { tenantId: "globex", deviceId: device.id };
  await devices.recordHeartbeats([{ ...peer, heartbeat, receivedAt: Date.now() }]);
  const policy = { evaluateEverySeconds: 0.5 };
  const rollout = await call("POST", "rollouts", { name: "theirs", releaseId: release, policy });
  const verdict = await firstVerdict(test, rollout.id);
  const line = { ts: Date.now(), seq: 1, level: "info", message: "secret of globex" };
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
  await logs.ingestDeviceLogs(peer, [{ ...line, traceparent }], Date.now());
  const alert = await alerts.raise("globex", {
    key: "k",
    kind: "anomaly",
    severity: "warning",
    title: "theirs",
    subjectKind: "device",
    subjectId: device.id,
  });
  const rule = await call("POST", "alert-rules", {
    ...{ name: "theirs", severity: "info", source: { kind: "devices", query: "" } },
  });
  const silence = await alerts.silences.create(
    "globex",
    { matchers: ["device=their-hub"], endsAt: new Date(Date.now() + 3_600_000), comment: "theirs" },
    SYSTEM_ACTOR,
  );
  const channel = await call("POST", "alert-channels", {
    ...{ name: "theirs", kind: "webhook", settings: { url: "http://127.0.0.1:9/" } },
  });
  const person = await tenancy.users.create(
    {
      email: "bob@globex.example",
      name: "Bob",
      password: PASSWORD,
      memberships: [{ tenantId: "globex", role: "viewer" }],
    },
    SYSTEM_ACTOR,
  );
  const { authorities } = await identity.pki.ofTenant("globex");
  const authority = authorities.find((one) => one.tenantId === "globex");
  const { claimTokens, pendingEnrolments, registeredAuthorities } = identity;
  const claim = { name: "waits", devicePattern: "*", product: "hub", hardwareRevision: "a" };
  const expiresAt = new Date("2099-01-01");
  const terms = { maxUses: 1, expiresAt, approval: "pending" as const };
  const { token } = await claimTokens.create("globex", { ...claim, ...terms }, SYSTEM_ACTOR);
  const csr = requestFor(newKey(), { tenantId: "globex", deviceId: "waits" });
  const right = { kind: "claim" as const, token };
  await identity
    .enroll({ tenantId: "globex", csr, via: "est", authority: right })
    .catch(() => undefined);
  const registered = await registeredAuthorities.register(
    "globex",
    {
      ...{ ...claim, name: "plant", maxDevices: 1, mapping: { template: "{cn}" } },
      certificatePem: (await forge({ subject: "CN=Plant", authority: true })).certificatePem,
    },
    SYSTEM_ACTOR,
  );
  const upload = await test.modules.firmware.uploads.create(
    "globex",
    { sizeBytes: 1, metadata: "", name: "theirs", expectedSha256: null },
    SYSTEM_ACTOR,
  );
  return {
    rule: rule.id,
    silence: silence.id,
    channel: channel.id,
    upload: upload.id,
    search: (
      await call("POST", "log-searches", { name: "their-search", filter: { words: "heat" } })
    ).name,
    artifact: (await test.call("GET", `/tenants/globex/releases/${release}`)).body.imageSha256,
    enrolment: (await pendingEnrolments.list("globex", "pending"))[0]?.id as string,
    registeredAuthority: registered.id,
    authority: authority?.id ?? "",
    device: device.id,
    serial,
    campaign: (await call("POST", "certificate-rotations", { devices: [device.id] })).id,
    group: "their-group",
    product: theirRule.product,
    release,
    role: "sbom",
    rollout: rollout.id,
    seq: String(verdict.seq),
    trace: TRACE,
    alert: alert.id,
    user: person.id,
    command: (await call("POST", "commands", { devices: [device.id], name: "ping" })).items[0].id,
    batch: (
      await call("POST", "commands", {
        query: 'product = "hub"',
        name: "ping",
        pace: { batchSize: 1, intervalSeconds: 60 },
      })
    ).batch.id,
    serviceAccount: (
      await call("POST", "service-accounts", {
        name: "theirs",
        issuer: "https://gitlab.example",
        audience: "https://vautn.example",
        conditions: [{ claim: "project_path", value: "globex/firmware" }],
        role: "viewer",
      })
    ).id,
    webhook: (await call("POST", "webhooks", { url: "https://example.com/" })).id,
    key: (await call("POST", "keys", { name: "theirs", role: "viewer" })).id,
    auditStream: (
      await call("POST", "audit-streams", { url: "syslog+tcp://syslog.example.com:6514" })
    ).id,
    ownRole: (await call("POST", "roles", { name: "their-role", permissions: ["devices.read"] }))
      .name,
    claimToken: (
      await call("POST", "claim-tokens", {
        name: "theirs",
        devicePattern: "*",
        product: "hub",
        hardwareRevision: "a",
        maxUses: 1,
        expiresAt: "2099-01-01T00:00:00Z",
      })
    ).id,
  };
}

describe("the ids of another tenant", () => {
  let test: TestApi;
  let theirs: Record<string, string>;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    test = await startTestApi();
    theirs = await furnish(test);
    before = await tenantRows(test.superuserUrl, "globex");
  });
  afterAll(() => test.close());

  const unchanged = async () => {
    expect(await tenantRows(test.superuserUrl, "globex")).toEqual(before);
  };
  const refusals = async () =>
    (await test.call("GET", "/tenants/acme/audit?outcome=refused&limit=500")).body.items.length;

  it("cover every parameter of every route, and globex has one of each", () => {
    for (const { ids, operationId } of routes) {
      for (const name of ids) expect(theirs[name], `${operationId} {${name}}`).toBeDefined();
    }
    const empty = ["online_keys", "trust_targets", "deltas", "device_incidents"];
    for (const [table, rows] of Object.entries(before)) {
      if (rows.length === 0) expect(table).toMatch(new RegExp(`^(${empty.join("|")}|\\w+_)`));
    }
  });

  it.each(routes.map((route) => [route.operationId, route] as const))(
    "%s finds none of them under one's own tenant",
    async (_name, route) => {
      const headers = route.url("acme").includes("/uploads/") ? TUS_HEADERS : {};
      const body = route.operationId === "appendToUpload" ? Buffer.from("x") : bodyOf(route);
      const options = { key: test.acme, headers, ...(route.body ? { body } : {}) };
      const audited = await refusals();
      const query = QUERIES[route.operationId] ?? "";
      const url = (tenant: string) => route.url(tenant, theirs) + query;
      const answer = await test.call(route.method, url("acme"), options);
      expect([answer.status, answer.body.code]).toEqual([404, "not-found"]);
      expect(JSON.stringify(answer.body)).not.toMatch(/secret of globex|bob@/);
      const writes = route.method !== "GET";
      expect((await refusals()) - audited, "entries of the audit log").toBe(writes ? 1 : 0);
      // What is only read is looked at together, below.
      if (writes) await unchanged();
      // The control: the owner is answered. A live view never ends, so it is left out.
      if (writes || route.operationId === "watchRollout") return;
      const own = await test.call("GET", url("globex"), { key: test.globex });
      expect(own.status, JSON.stringify(own.body)).toBe(200);
    },
  );

  it("have not been changed by any of these", unchanged);

  it("do not show what they declare of a product that both have, nor let it be changed", async () => {
    const options = { key: test.acme };
    const url = "/tenants/acme/products/hub/metrics";
    expect((await test.call("GET", url, options)).body.items).toEqual([]);
    const body = { items: [{ name: "heat", type: "boolean" }] };
    expect((await test.call("PUT", url, { ...options, body })).status).toBe(200);
    const all = await test.call("GET", "/tenants/acme/declared-metrics", options);
    expect(JSON.stringify(all.body)).not.toContain("globex");
    expect((await test.call("PUT", url, { ...options, body: { items: [] } })).status).toBe(200);
    await unchanged();
  });

  it("are of no use in bulk, within bodies and within queries", async () => {
    const mine = { id: "my-hub", product: "hub", hardwareRevision: "a" };
    const options = { key: test.acme };
    await test.call("POST", "/tenants/acme/devices", { ...options, body: mine });
    const post = (path: string, body: object) =>
      test.call("POST", `/tenants/acme/${path}`, { ...options, body });

    const bulk = await post("commands", { devices: ["my-hub", theirs.device], name: "ping" });
    expect([bulk.status, bulk.body.details.deviceIds]).toEqual([404, [theirs.device]]);
    expect((await test.call("GET", "/tenants/acme/commands", options)).body.items).toEqual([]);
    const twins = await post("twins", { devices: ["my-hub", theirs.device], desired: { a: 1 } });
    expect(twins.status).toBe(404);
    const every = await post("twins", { query: "", desired: { a: 1 } });
    expect(every.body).toEqual({ devices: 1, changed: 1 });
    const found = await post("commands", { query: 'product = "hub"', name: "ping" });
    const reached = found.body.items.map((item: { deviceId: string }) => item.deviceId);
    expect(reached).toEqual(["my-hub"]);

    for (const path of ["rollouts", "rollouts/plan"]) {
      const answer = await post(path, { name: "x", releaseId: theirs.release });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    for (const serial of ["4a", theirs.serial]) {
      const revoked = await post("devices/my-hub/revoke", { reason: "x", serial });
      expect(revoked.status).toBe(404);
    }
    for (const body of [{ serials: [theirs.serial] }, { devices: [theirs.device] }]) {
      const reason = "keyCompromise";
      const { body: outcome } = await post("certificates/revoke", { ...body, reason });
      expect(outcome).toMatchObject({ certificates: 0, unknownCount: 1 });
    }
    await unchanged();
  });

  it("are of no use in filters, and no list holds anything of theirs", async () => {
    const lists = apiRoutes().filter(
      ({ hasTenant, method, ids }) => hasTenant && method === "GET" && ids.length === 0,
    );
    expect(lists.length).toBeGreaterThan(15);
    for (const route of lists) {
      const given = route.operationId === "getFleetHealth" ? "by=product&" : "";
      const filter = route.operationId === "tailLogs" ? "since=0" : "";
      const answer = await test.call("GET", `${route.url("acme")}?${given}${filter}`, {
        key: test.acme,
      });
      // What acme itself has tried to reach stands in its own audit log, which its export holds too.
      if (["listAudit", "exportTenant"].includes(route.operationId)) continue;
      const text = JSON.stringify(answer.body);
      for (const id of idsOf(theirs)) expect(text, route.operationId).not.toContain(id);
      expect(text).not.toMatch(/globex(?!-)/);
    }
    for (const filter of [`device=${theirs.device}`, `trace=${TRACE}`, "words=secret"]) {
      const url = (tenant: string) => `/tenants/${tenant}/logs?${filter}`;
      expect((await test.call("GET", url("acme"), { key: test.acme })).body.items).toEqual([]);
      const own = await test.call("GET", url("globex"), { key: test.globex });
      expect(own.body.items).toHaveLength(1);
    }
  });

  it.each(namedElsewhere())(
    "cannot be told from ids of nobody, and change nothing: %s",
    async (_what, { method = "GET", url, body, theirs: name, nobody }) => {
      const ask = async (id: string) => {
        const sent = body?.(id);
        const place = `/tenants/acme/${url(encodeURIComponent(id))}`;
        const answer = await test.call(method, place, {
          key: test.acme,
          ...(sent ? { body: sent } : {}),
        });
        const told = JSON.stringify([answer.status, answer.body]);
        expect(told).not.toMatch(/secret of globex|bob@/);
        // All but the id itself, and what differs from one call to the next.
        return told
          .replaceAll(id, "ID")
          .replace(/"(traceId|requestId)":"[^"]*"/g, "")
          .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, "UUID")
          .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "MOMENT")
          .replace(/vk_[\w-]+|"prefix":"[^"]*"|"(key|hash)":"[^"]*"/g, "KEY")
          .replace(/mine-\w{8}/g, "NAME")
          .replace(/\d{13}/g, "MOMENT");
      };
      const id = theirs[name] as string;
      const told = await ask(id);
      expect(told).toBe(await ask(nobody));
      expect(told).not.toMatch(/^\[5/);
      await unchanged();
    },
  );

  it.each(tenantJobs())("are out of reach of the job %s of one's own tenant", async (name) => {
    const heard: string[] = [];
    const { bus } = test.modules;
    const kinds = new Set(
      Object.values(subjects).map((subject) =>
        typeof subject === "string" ? "metrics" : (subject("acme", "x").split(".")[0] ?? ""),
      ),
    );
    const ends = [...kinds].map((kind) =>
      bus.subscribe(`${kind}.>`, (_message, subject) => heard.push(subject)),
    );
    const steps = name.split(".");
    const method = steps.pop() as string;
    // biome-ignore lint/suspicious/noExplicitAny: the names come from the code of the jobs
    const owner = steps.reduce((at: any, step) => at[step], test.modules);
    // In years all that has a time is due.
    await owner[method]("acme", Date.now() + 10 * 365 * 86_400_000);
    for (const end of ends) end();
    expect(heard.filter((subject) => subject.split(".")[1] === "globex")).toEqual([]);
    await unchanged();
  });

  it("include all the jobs that there are", () => {
    expect(tenantJobs().length).toBeGreaterThan(15);
  });

  it("leave the audit logs of both whole", async () => {
    for (const tenant of ["acme", "globex"]) {
      const { body } = await test.call("GET", `/tenants/${tenant}/audit/verify`);
      expect(body.intact).toBe(true);
    }
  });

  it("are in no page that a cursor of theirs leads to", async () => {
    const lists = apiRoutes().filter(
      ({ hasTenant, method, ids, query }) =>
        hasTenant && method === "GET" && ids.length === 0 && query.includes("cursor"),
    );
    let followed = 0;
    for (const route of lists) {
      const url = (tenant: string, rest: string) => `${route.url(tenant)}?limit=1${rest}`;
      const own = await test.call("GET", url("globex", ""), { key: test.globex });
      const cursor = own.body?.nextCursor;
      if (typeof cursor !== "string") continue;
      followed += 1;
      const answer = await test.call("GET", url("acme", `&cursor=${cursor}`), { key: test.acme });
      expect([200, 400], route.operationId).toContain(answer.status);
      if (route.operationId === "listAudit") continue;
      const text = JSON.stringify(answer.body);
      for (const id of idsOf(theirs)) expect(text, route.operationId).not.toContain(id);
    }
    expect(followed).toBeGreaterThan(0);
  });
});

interface Named {
  method?: string;
  url(id: string): string;
  body?(id: string): object;
  /** Of what globex has. */
  theirs: string;
  /** Of the same form, and nobody's. */
  nobody: string;
}

/** Every body and query in which something is named by an id, as `openapi.json` has them. */
function namedElsewhere(): [string, Named][] {
  const uuid = "01890000-0000-7000-8000-000000000000";
  const madeUp = () => `mine-${randomBytes(4).toString("hex")}`;
  const hub = { product: "hub", hardwareRevision: "a" };
  const terms = { devicePattern: "*", maxUses: 1, expiresAt: "2099-01-01T00:00:00Z" };
  const device = { theirs: "device", nobody: "no-hub" };
  const group = { theirs: "group", nobody: "no-group" };
  const release = { theirs: "release", nobody: uuid };
  const series = "telemetry/series?metric=heat&";
  const query = (path: string, name: string, of: { theirs: string; nobody: string }) =>
    [`${path.split("?")[0]}?${name}`, { url: (id: string) => `${path}${name}=${id}`, ...of }] as [
      string,
      Named,
    ];
  const post = (
    path: string,
    what: string,
    of: { theirs: string; nobody: string },
    body: (id: string) => object,
    method = "POST",
  ) => [`${method} ${path} ${what}`, { method, url: () => path, body, ...of }] as [string, Named];
  return [
    query(series, "devices", device),
    query(series, "group", group),
    query("telemetry/latest?metrics=heat&", "devices", device),
    query("telemetry/latest?metrics=heat&", "group", group),
    query("telemetry/texts?", "devices", device),
    query("telemetry/texts?", "group", group),
    query("telemetry/metrics?", "devices", device),
    query("telemetry/metrics?", "group", group),
    query("telemetry/export?metrics=heat&", "devices", device),
    query("telemetry/export?metrics=heat&", "group", group),
    query("logs?", "group", group),
    query("logs?", "device", device),
    query("logs?", "trace", { theirs: "trace", nobody: "f".repeat(32) }),
    query("logs/export?", "group", group),
    query("logs/export?", "device", device),
    query("logs/context?ts=1&seq=1&", "device", device),
    query("certificates?", "device", device),
    query("certificates?", "authority", { theirs: "authority", nobody: uuid }),
    query("commands?", "device", device),
    query("components?", "release", release),
    query("alerts?", "rule", { theirs: "rule", nobody: uuid }),
    query("alerts?", "subject", device),
    query("audit?outcome=done&", "target", device),
    query("devices?", "q", { theirs: "group", nobody: "no-group" }),
    query("devices?q=group%20%3D%20", "", group),
    query("fleet/comparison?", "source", { theirs: "artifact", nobody: "f".repeat(64) }),
    query("fleet/comparison?", "target", { theirs: "artifact", nobody: "f".repeat(64) }),
    post("commands", "devices", device, (id) => ({ devices: [id], name: "ping" })),
    post("commands", "group", group, (id) => ({ group: id, name: "ping" })),
    post("commands", "query", group, (id) => ({ query: `group = "${id}"`, name: "ping" })),
    post("twins", "devices", device, (id) => ({ devices: [id], desired: { a: 1 } })),
    post("certificate-rotations", "devices", device, (id) => ({ devices: [id] })),
    post("certificates/revoke", "serials", { theirs: "serial", nobody: "4a" }, (id) => ({
      serials: [id],
      reason: "superseded",
    })),
    post("certificates/revoke", "devices", device, (id) => ({
      devices: [id],
      reason: "superseded",
    })),
    post("certificates/unhold", "devices", device, (id) => ({ devices: [id] })),
    post("keys", "groups", group, (id) => ({ name: "k", role: "viewer", groups: [id] })),
    post("keys", "role", { theirs: "ownRole", nobody: "no-role" }, (id) => ({
      name: "k",
      role: id,
    })),
    post(
      "users",
      "role",
      { theirs: "ownRole", nobody: "no-role" },
      (id) => ({ email: "mine@example.com", role: id }),
      "PUT",
    ),
    post(
      "users",
      "groups",
      group,
      (id) => ({ email: "mine@example.com", role: "viewer", groups: [id] }),
      "PUT",
    ),
    post("log-searches", "filter.group", group, (id) => ({
      name: madeUp(),
      filter: { group: id },
    })),
    post("rollouts/plan", "releaseId", release, (id) => ({ name: "r", releaseId: id })),
    post("rollouts", "releaseId", release, (id) => ({ name: "r", releaseId: id })),
    post("releases/from-upload", "upload", { theirs: "upload", nobody: uuid }, (id) => ({
      upload: id,
      manifest: { signed: {}, signatures: [] },
    })),
    post("claim-certificates", "authorityId", { theirs: "authority", nobody: uuid }, (id) => ({
      ...{ name: madeUp(), ...hub, ...terms },
      authorityId: id,
    })),
    post("alert-rules/preview", "query", group, (id) => ({
      ...{ name: "r", severity: "info" },
      source: { kind: "devices", query: `group = "${id}"` },
    })),
    post("service-accounts", "role", { theirs: "ownRole", nobody: "no-role" }, (id) => ({
      ...{ name: "s", issuer: "https://gitlab.example", audience: "https://vautn.example" },
      conditions: [{ claim: "project_path", value: "acme/firmware" }],
      role: id,
    })),
  ];
}

/** Every job that works for one tenant, read from the code: one that comes later is among them. */
function tenantJobs(): string[] {
  const folder = path.join(import.meta.dirname, "../../src/jobs");
  const names = ["jobs.ts", "alerting-jobs.ts"].flatMap((file) => {
    const text = fs.readFileSync(path.join(folder, file), "utf8");
    return [...text.matchAll(/([a-zA-Z]+(?:\.[a-zA-Z]+)+)\(tenantId(?:, clock\.now\(\))?\)/g)];
  });
  const found = names.map(([, name = ""]) =>
    name.replace(/^deps\./, "").replace(/^collection\./, "firmware.collection."),
  );
  // The watch over presence is the jobs' own: what it calls is among the others, or reads.
  return [...new Set(found)].filter((name) => !name.startsWith("presence."));
}

describe("raising one's own rights", () => {
  let test: TestApi;
  const keys: Record<string, string> = {};
  beforeAll(async () => {
    test = await startTestApi();
    for (const role of TENANT_ROLES) keys[role] = await test.keyOf("acme", role);
  });
  afterAll(() => test.close());

  const powers = [
    ["POST", "/tenants/acme/keys", { name: "x", role: "administrator" }],
    ["PUT", "/tenants/acme/users", { email: "admin@example.com", role: "administrator" }],
    ["PATCH", "/tenants/acme", { settings: { certificateLifetimeHours: 17_520 } }],
    ["POST", "/tenants/acme/webhooks", { url: "https://example.com/" }],
  ] as const;

  it.each(TENANT_ROLES.filter((role) => role !== "administrator"))(
    "is refused to the role %s, and put on record",
    async (role) => {
      const before = await tenantRows(test.superuserUrl, "acme");
      for (const [method, url, body] of powers) {
        const answer = await test.call(method, url, { key: keys[role] as string, body });
        expect([url, answer.status]).toEqual([url, 403]);
      }
      expect(await tenantRows(test.superuserUrl, "acme")).toEqual(before);
      const { body } = await test.call("GET", "/tenants/acme/audit?outcome=refused&limit=4");
      expect(body.items.map((item: { action: string }) => item.action).sort()).toEqual([
        "key.create",
        "member.set",
        "tenant.update-settings",
        "webhook.create",
      ]);
      expect(body.items[0]).toMatchObject({
        actor: { name: role },
        details: { code: "forbidden" },
      });
    },
  );

  it("is refused to a tenant's administrator where the platform begins, and put on record", async () => {
    const options = { key: test.acme };
    const user = { email: "eve@example.com", name: "Eve", platformRole: "platform-administrator" };
    const people = (await test.call("GET", "/api/v1/users")).body.items;
    const administrator = people[0].id;
    for (const [method, url, body, status] of [
      ["POST", "/api/v1/users", user, 403],
      ["PUT", `/api/v1/users/${administrator}/password`, { password: PASSWORD }, 403],
      ["POST", `/api/v1/users/${administrator}/disable`, undefined, 403],
      ["POST", "/tenants", { id: "mine", name: "Mine" }, 403],
      ["DELETE", "/tenants/acme", undefined, 403],
      ["PATCH", "/tenants/acme", { settings: { maxDevices: 10_000_000 } }, 403],
      ["GET", "/api/v1/audit", undefined, 403],
      // A key of a tenant is no person, so it cannot make keys that outlive its own revocation.
      ["POST", "/auth/keys", { name: "mine" }, 403],
      // Keys that the schema does not know are no way in either.
      ["POST", "/tenants/acme/keys", { name: "x", role: "platform-administrator" }, 422],
      ["POST", "/tenants/acme/keys", { name: "x", role: "viewer", tenantId: "globex" }, 400],
      ["PATCH", "/tenants/acme", { settings: {}, platformRole: "platform-administrator" }, 400],
      ["PUT", "/tenants/globex/users", { email: "a@example.com", role: "viewer" }, 404],
    ] as const) {
      const answer = await test.call(method, url, { ...options, ...(body ? { body } : {}) });
      expect([method, url, answer.status]).toEqual([method, url, status]);
    }
    expect((await test.call("GET", "/api/v1/users")).body.items).toEqual(people);
    const log = await test.call("GET", "/api/v1/audit?outcome=refused&limit=50");
    const actions = log.body.items.map((item: { action: string }) => item.action);
    for (const action of ["user.create", "user.set-password", "user.disable", "tenant.create"]) {
      expect(actions).toContain(action);
    }
    const { settings } = (await test.call("GET", "/tenants/acme")).body;
    expect(settings.maxDevices).toBe(100_000);
    const quota = { body: { settings: { maxDevices: 7 } } };
    expect((await test.call("PATCH", "/tenants/acme", quota)).body.settings.maxDevices).toBe(7);
    const control = await test.call("POST", "/tenants/acme/keys", {
      ...options,
      body: { name: "x", role: "viewer" },
    });
    expect(control.status).toBe(201);
  });
});
