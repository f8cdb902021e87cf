import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTestCli } from "../support/cli.ts";
import { until } from "../support/gateway.ts";

describe("certificates over the API and the command line", () => {
  let test: TestApi;
  let cli: ReturnType<typeof createTestCli>;
  beforeAll(async () => {
    test = await startTestApi();
    cli = createTestCli(await test.listen(), test.acme);
  });
  afterAll(async () => {
    cli?.close();
    await test?.close();
  });

  async function enroll(deviceId: string, tags: Record<string, string> = {}): Promise<string> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = { commonName: `acme/${deviceId}`, organization: "acme" };
    const { serial } = await test.modules.identity.enroll({
      tenantId: "acme",
      csr: createCertificateRequest({ privateKey, ...names }),
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a", tags },
    });
    return serial;
  }

  it("lists certificates by page, status, device, key and end", async () => {
    const serials = [];
    for (const id of ["a-1", "a-2", "a-3"]) serials.push(await enroll(id));
    const seen: string[] = [];
    let cursor = "";
    do {
      const url = `/tenants/acme/certificates?limit=2${cursor && `&cursor=${cursor}`}`;
      const { body } = await test.call("GET", url, { key: test.acme });
      seen.push(...body.items.map((item: { serial: string }) => item.serial));
      cursor = body.nextCursor ?? "";
    } while (cursor);
    expect(new Set(seen)).toEqual(new Set(serials));
    expect(seen).toHaveLength(3);
    const filtered = async (query: string) =>
      (await test.call("GET", `/tenants/acme/certificates?${query}`)).body.items.length;
    expect(await filtered("device=a-1")).toBe(1);
    expect(await filtered("algorithm=ec-p256&status=active")).toBe(3);
    expect(await filtered("algorithm=ed25519")).toBe(0);
    expect(await filtered("status=held")).toBe(0);
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    expect(await filtered(`expiresBefore=${soon}`)).toBe(0);
    expect(await filtered(`expiresAfter=${soon}`)).toBe(3);
    const bad = await test.call("GET", "/tenants/acme/certificates?cursor=abc");
    expect(bad.body.code).toBe("invalid-cursor");
  });

  it("revokes by query, by device and by serial, and says how many", async () => {
    for (const id of ["lot-1", "lot-2"]) await enroll(id, { lot: "7" });
    const revoke = (body: object, key = test.acme) =>
      test.call("POST", "/tenants/acme/certificates/revoke", { key, body });
    const byQuery = await revoke({ query: 'tags.lot = "7"', reason: "keyCompromise" });
    expect(byQuery).toMatchObject({ status: 200, body: { certificates: 2, devices: 2 } });
    const again = await revoke({ devices: ["lot-1", "no-such"], reason: "keyCompromise" });
    expect(again.body).toMatchObject({ certificates: 0, unknown: ["no-such"], unknownCount: 1 });
    expect((await revoke({ query: 'status = "nothing"', reason: "unspecified" })).status).toBe(404);
    expect((await revoke({ reason: "unspecified" })).body.code).toBe("invalid-request");
    expect((await revoke({ serials: ["ab"], reason: "because" })).status).toBe(400);
    const viewer = await test.keyOf("acme", "viewer");
    expect((await revoke({ devices: ["a-1"], reason: "unspecified" }, viewer)).status).toBe(403);
    const foreign = await revoke({ devices: ["a-1"], reason: "unspecified" }, test.globex);
    expect(foreign.status).toBe(404);
  });

  it("holds and lifts from the command line", async () => {
    const serial = await enroll("held-1");
    const held = await cli.json("certificate", "hold", serial, "--comment", "repair", "--yes");
    expect(held).toMatchObject({ certificates: 1 });
    const listed = await cli.run("certificate", "list", "--status", "held");
    expect(listed.out).toContain(serial);
    expect(await cli.json("certificate", "show", serial)).toMatchObject({
      status: "held",
      revocationReason: "repair",
    });
    expect(await cli.json("certificate", "unhold", "--device", "held-1")).toMatchObject({
      certificates: 1,
    });
    const revoked = await cli.run(
      "certificate",
      "revoke",
      serial,
      "--reason",
      "superseded",
      "--yes",
    );
    expect(revoked.out).toContain("1 certificates of 1 devices");
    expect((await cli.run("certificate", "show", serial)).out).toContain("superseded");
    expect((await cli.run("certificate", "revoke", "--yes")).status).toBe(2);
  });

  it("sets, shows and lifts a quarantine, and reinstates what was revoked", async () => {
    await enroll("sick");
    const reason = ["--reason", "strange traffic"];
    expect((await cli.run("device", "quarantine", "sick", ...reason)).status).toBe(0);
    expect((await test.call("GET", "/tenants/acme/devices/sick")).body.status).toBe("quarantined");
    const history = await test.call("GET", "/tenants/acme/devices/sick/quarantines");
    expect(history.body.items).toMatchObject([{ reason: "strange traffic", liftedAt: null }]);
    expect((await cli.run("device", "quarantine", "sick", ...reason)).status).toBe(1);
    expect((await cli.run("device", "release", "sick", ...reason)).status).toBe(0);
    const change = { body: { status: "quarantined" } };
    const patched = await test.call("PATCH", "/tenants/acme/devices/sick", change);
    expect(patched.body.status).toBe("quarantined");
    await test.call("PATCH", "/tenants/acme/devices/sick", { body: { status: "active" } });
    await cli.run("device", "revoke", "sick", ...reason, "--yes");
    await expect(enroll("sick")).rejects.toMatchObject({ code: "claim-refused" });
    expect((await cli.run("device", "reinstate", "sick", ...reason)).status).toBe(0);
    await expect(enroll("sick")).resolves.toBeDefined();
    const foreign = { key: test.globex, body: { reason: "theirs" } };
    const attempt = await test.call("POST", "/tenants/acme/devices/sick/quarantine", foreign);
    expect(attempt.status).toBe(404);
  });

  it("shows the radar, and rotates a group in a wave that can be steered", async () => {
    const picture = await cli.json("certificate", "radar");
    expect(picture).toMatchObject({ expired: 0, failing: 0, failingRotations: [], knocks: [] });
    expect(picture.weeks).toHaveLength(26);
    expect(picture.algorithms).toMatchObject([{ name: "ec-p256" }]);
    expect((await cli.run("certificate", "radar")).out).toContain("without a certificate");
    await test.call("POST", "/tenants/acme/groups", {
      key: test.acme,
      body: { name: "first", query: 'id ~ "a-*"' },
    });
    const wave = await cli.json("certificate", "rotate", "--group", "first", "--concurrency", "2");
    expect(wave).toMatchObject({ status: "running", total: 3, concurrency: 2 });
    await test.modules.rotationCampaigns.tick("acme");
    const seen = await cli.json("certificate", "rotation", wave.id);
    expect(seen).toMatchObject({ status: "running", failures: [] });
    expect((await cli.json("certificate", "rotation", wave.id, "--pause")).status).toBe("paused");
    const cancelled = await cli.run("certificate", "rotation", wave.id, "--cancel");
    expect(cancelled.out).toContain("cancelled");
    expect((await cli.run("certificate", "rotation")).out).toContain(wave.id);
    // To its end, which this one has had: nobody renewed, and that is no success.
    const watched = await cli.run("certificate", "rotation", wave.id, "--watch");
    expect([watched.status, watched.err]).toEqual([1, expect.stringContaining("was cancelled")]);
    expect(watched.out).toMatch(/^cancelled {2}0\/\d+ done/);
    const follow = cli.run("certificate", "rotate", "--group", "first", "--watch", "--json");
    const running = async () =>
      (await cli.json("certificate", "rotation")).items.find(
        (one: { status: string }) => one.status === "running",
      );
    await until(async () => (await running()) !== undefined);
    await cli.run("certificate", "rotation", (await running()).id, "--cancel");
    const states = (await follow).out.trim().split("\n");
    expect(states.map((line) => JSON.parse(line).status).at(-1)).toBe("cancelled");
    expect((await follow).status).toBe(1);
    expect((await cli.run("certificate", "rotate")).status).toBe(2);
    expect((await cli.run("certificate", "rotate", "--group", "no-such")).status).toBe(2);
    const viewer = { key: await test.keyOf("acme", "viewer"), body: { query: "" } };
    const refused = await test.call("POST", "/tenants/acme/certificate-rotations", viewer);
    expect(refused.status).toBe(403);
    const foreign = { key: test.globex };
    const url = `/tenants/acme/certificate-rotations/${wave.id}`;
    expect((await test.call("GET", url, foreign)).status).toBe(404);
    const own = await test.call("GET", url.replace("acme", "globex"), foreign);
    expect(own.status).toBe(404);
  });

  it("shows how a device's rotations went, and to administrators who knocked at no tenant", async () => {
    const { rotation } = test.modules.identity;
    const device = { tenantId: "acme", deviceId: "a-1" };
    const error = { element: "server", message: "no route" };
    await rotation.record(device, { step: "trial", error });
    const answer = await test.call("GET", "/tenants/acme/devices/a-1/rotation");
    expect(answer.body).toMatchObject({
      state: { step: "trial", error, failures: 1 },
      failures: [{ step: "trial", ...error }],
    });
    const failing = await test.call("GET", "/tenants/acme/certificate-radar/failing?step=trial");
    expect(failing.body.items).toMatchObject([{ deviceId: "a-1" }]);
    expect((await test.call("GET", "/api/v1/platform/knocks")).body.items).toEqual([]);
    const tenantKey = await test.call("GET", "/api/v1/platform/knocks", { key: test.acme });
    expect(tenantKey.status).toBe(403);
  });
});
