import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { type HostileRequest, hostileRequests } from "../support/hostile-requests.ts";

describe("hostile input to the API", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
    for (const id of ["hub-1", "hub-2"]) {
      const body = { id, product: "hub", hardwareRevision: "a" };
      await test.call("POST", "/tenants/acme/devices", { body });
    }
  });
  afterAll(() => test.close());

  const send = ({ method, url, body }: HostileRequest) =>
    test.call(method, url, {
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: body === undefined ? {} : { "content-type": "application/json" },
    });

  it.each([
    ["lastSeen", ["lastSeen", "1", "hub-1"]],
    ["lastSeen", ["lastSeen", "Jan 30 (x) 2026", "hub-1"]],
    ["lastSeen", ["lastSeen", "2026-02-31 12:00:00+00", "hub-1"]],
    ["-lastSeen", ["-lastSeen", "+275760-09-13T00:00:00Z", "hub-1"]],
    ["-id", ["-id", "\0", "hub-1"]],
    ["firmware.version", ["firmware.version", "x", "\ud800"]],
    ["id", { length: 3 }],
  ])("in the cursor of devices by %s is no failure: %j", async (sort, position) => {
    const inner = Buffer.from(JSON.stringify(position)).toString("base64url");
    const cursor = Buffer.from(JSON.stringify(["devices", inner])).toString("base64url");
    const url = `/tenants/acme/devices?sort=${sort}&cursor=${cursor}`;
    expect((await test.call("GET", url)).status).toBeLessThan(500);
    const first = await test.call("GET", `/tenants/acme/devices?sort=${sort}&limit=1`);
    const second = `/tenants/acme/devices?sort=${sort}&limit=1&cursor=${first.body.nextCursor}`;
    const ids = [...first.body.items, ...(await test.call("GET", second)).body.items];
    expect(new Set(ids.map(({ id }: { id: string }) => id)).size).toBe(2);
  });

  it("is answered or refused wherever it stands, and never fails", async () => {
    const failures: string[] = [];
    const statuses = new Map<number, number>();
    for (const [index, request] of [...hostileRequests()].entries()) {
      // A fifth of the values at each place, another fifth at the next one; VAUTN_TEST_ALL=1 tries all.
      if (!process.env.VAUTN_TEST_ALL && index % 5 !== 0) continue;
      const answer = await send(request);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status >= 500)
        failures.push(`${request.operationId} ${request.what}: ${answer.status}`);
    }
    // The control: much of it is plain text where text may stand, and is taken as such.
    for (const status of [200, 201, 400, 404, 409]) expect([...statuses.keys()]).toContain(status);
    expect((await test.call("GET", "/tenants/acme/audit/verify")).body.intact).toBe(true);
    expect(failures).toEqual([]);
  }, 600_000);

  it.each([
    ["http://127.0.0.1/", "invalid-request"],
    ["http://[::ffff:169.254.169.254]/latest/meta-data", "invalid-request"],
    ["file:///etc/passwd", "invalid-request"],
    ["https://example.com/decide", undefined],
  ])(
    "in the URL of a webhook that decides about enrolments leads nowhere inside: %s",
    async (url, code) => {
      const token = {
        name: url.slice(0, 20),
        devicePattern: "*",
        product: "hub",
        hardwareRevision: "a",
        maxUses: 1,
        expiresAt: new Date(Date.now() + 60_000),
        webhook: { url },
      };
      const made = test.modules.identity.claimTokens.create("acme", token, SYSTEM_ACTOR);
      const outcome = await made.then(
        () => undefined,
        (error) => error.code,
      );
      expect(outcome).toBe(code);
    },
  );
});
