import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";

describe("looking for log lines", () => {
  let test: TestApi;
  const start = Date.now() - 60_000;
  const get = (path: string) => test.call("GET", `/tenants/acme/${path}`, { key: test.acme });
  const found = async (query: string) =>
    (await get(`logs?limit=500&${query}`)).body.items.map(
      ({ message }: { message: string }) => message,
    );

  beforeAll(async () => {
    test = await startTestApi();
    for (const [id, site] of [
      ["hub-1", "berlin"],
      ["hub-2", "oslo"],
    ] as const) {
      const device = { id, product: "hub", hardwareRevision: "a", tags: { site } };
      await test.call("POST", "/tenants/acme/devices", { body: device });
      const lines = Array.from({ length: 600 }, (_, seq) => ({
        ...{ ts: start + seq, seq, level: "info", message: `${id} line ${seq}`, logger: "pump" },
        attributes: seq === 7 ? { "http.status": 503, zone: "=1+1" } : {},
      }));
      const peer = { tenantId: "acme", deviceId: id };
      await test.modules.logs.ingestDeviceLogs(peer, lines, Date.now());
    }
    const group = { name: "north", query: 'tags.site = "oslo"' };
    await test.call("POST", "/tenants/acme/groups", { body: group });
  });
  afterAll(() => test.close());

  it("finds them by a fleet query, a group, a logger and a field", async () => {
    const berlin = encodeURIComponent('tags.site = "berlin"');
    expect(await found(`words=line+9&q=${berlin}`)).toEqual(["hub-1 line 9"]);
    expect(await found("words=line+9&group=north")).toEqual(["hub-2 line 9"]);
    expect(await found(`words=line+9&group=north&q=${berlin}`)).toEqual([]);
    expect(await found("field=http.status%3D503")).toEqual(
      ["hub-1 line 7", "hub-2 line 7"].reverse(),
    );
    expect(await found("field=zone%3D%3D1%2B1&device=hub-1")).toEqual(["hub-1 line 7"]);
    expect(await found("logger=valve")).toEqual([]);
    expect((await get("logs?group=none")).status).toBe(404);
    expect((await get("logs?q=tags.site")).body.code).toBe("invalid-query");
  });

  it("shows a line with its neighbours of the same device", async () => {
    const around = await get(`logs/context?device=hub-1&ts=${start + 300}&seq=300&lines=2`);
    expect(around.body.items.map(({ message }: { message: string }) => message)).toEqual(
      [298, 299, 300, 301, 302].map((seq) => `hub-1 line ${seq}`),
    );
  });

  it("exports all that match, over many pages, as JSON Lines and as CSV that is no formula", async () => {
    const lines = (await get("logs/export")).body.trimEnd().split("\n");
    expect(lines).toHaveLength(1_200);
    expect(JSON.parse(lines[0])).toMatchObject({ level: "info", logger: "pump" });
    const csv = (await get("logs/export?format=csv&device=hub-1")).body.trimEnd().split("\r\n");
    expect(csv).toHaveLength(601);
    expect(csv[0]).toBe("ts,level,device,logger,message,traceId,spanId,attributes");
    expect(csv.at(-1)).toBe(`${new Date(start).toISOString()},info,hub-1,pump,hub-1 line 0,,,{}`);
    expect((await get("logs/export?words=nothing")).body).toBe("");
  });
});
