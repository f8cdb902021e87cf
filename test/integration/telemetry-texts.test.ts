import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";

const YEAR = 365 * 86_400_000;
const NOW = Date.now();
let test: TestApi;

beforeAll(async () => {
  test = await startTestApi();
  for (const [tenant, id, region] of [
    ["acme", "pump", "eu"],
    ["acme", "valve", "us"],
    ["globex", "theirs", "eu"],
  ]) {
    const body = { id, product: "p", hardwareRevision: "a", region, tags: {} };
    await test.call("POST", `/tenants/${tenant}/devices`, { body });
  }
  const { telemetry } = test.modules;
  const say = (tenantId: string, deviceId: string, samples: object[]) =>
    telemetry.ingestTelemetry({ tenantId, deviceId }, samples, NOW);
  await say("acme", "pump", [
    { ts: NOW - 3_000, seq: 1, values: { mode: "eco", load: 1 } },
    { ts: NOW - 2_000, seq: 2, values: { mode: 'a "boost",\r\nor so', state: "=1+1" } },
    { ts: NOW - 2_000, seq: 2, values: { mode: 'a "boost",\r\nor so', state: "=1+1" } },
  ]);
  const heartbeat = { seq: 1, bootId: "b", uptimeSeconds: 1 };
  const firmware = { version: "1.0.0", hash: "a".repeat(64), slot: "a" };
  const valve = { tenantId: "acme", deviceId: "valve" };
  await telemetry.ingestHeartbeat(valve, { ...heartbeat, firmware, ts: NOW - YEAR }, NOW);
  await say("acme", "valve", [
    { ts: NOW - YEAR - 1_000, seq: 1, values: { mode: "off", load: 2 } },
  ]);
  await say("globex", "theirs", [{ ts: NOW, seq: 1, values: { mode: "secret" } }]);
});
afterAll(() => test.close());

const list = async (query: string, key = test.acme, tenant = "acme") =>
  (await test.call("GET", `/tenants/${tenant}/telemetry/texts?${query}`, { key })).body;
const brief = (body: { items: { deviceId: string; metric: string; text: string }[] }) =>
  body.items.map(({ deviceId, metric, text }) => [deviceId, metric, text]);

describe("values that are words", () => {
  it("are listed, the newest first and each once, page by page", async () => {
    const all = [
      ["valve", "mode", "off"],
      ["pump", "mode", 'a "boost",\r\nor so'],
      ["pump", "state", "=1+1"],
      ["pump", "mode", "eco"],
    ];
    expect(brief(await list(""))).toEqual(all);
    const paged: unknown[] = [];
    let cursor = "";
    for (let page = 0; page < 4; page += 1) {
      const body = await list(`limit=1${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      paged.push(...brief(body));
      cursor = body.nextCursor ?? "";
    }
    expect([paged, cursor]).toEqual([all, ""]);
    expect(brief(await list("latest=true"))).toEqual(all.slice(0, 3));
    expect(brief(await list("metrics=mode&q=region%3D%22eu%22&latest=true"))).toEqual([all[1]]);
    expect(brief(await list("devices=valve"))).toEqual([all[0]]);
    expect((await list("devices=nobody")).code).toBe("not-found");
    expect((await list("cursor=x")).code).toBe("invalid-cursor");
    const readOn = (position: unknown) => {
      const made = JSON.stringify(["texts:false", JSON.stringify(position)]);
      return list(`cursor=${Buffer.from(made).toString("base64url")}`);
    };
    for (const position of [null, 1, [], [1.5, "a", "b"], [1, 2, "b"], ["1", "a", "b"]]) {
      expect((await readOn(position)).code).toBe("invalid-cursor");
    }
    // Whoever makes one up reads on from there, whatever it holds.
    const bold = "\u0000'\\\n) or 1=1 --";
    expect((await readOn([1, bold, bold])).items).toEqual([]);
    expect(brief(await readOn([-Number.MAX_SAFE_INTEGER, bold, bold]))).toEqual(all);
    expect((await list("from=2&to=1")).code).toBe("invalid-request");
  });

  it("keep how far the device's clock was wrong", async () => {
    const [item] = (await list("devices=valve")).items;
    expect([item.clockShiftMs, item.ts - item.clockShiftMs]).toEqual([YEAR, NOW - YEAR - 1_000]);
  });

  it("are shown to their tenant alone, and of those devices that somebody may see", async () => {
    expect(brief(await list("", test.globex, "globex"))).toEqual([["theirs", "mode", "secret"]]);
    await test.call("POST", "/tenants/acme/groups", {
      body: { name: "eu", query: 'region = "eu"' },
    });
    const made = await test.call("POST", "/tenants/acme/keys", {
      body: { name: "eu only", role: "viewer", groups: ["eu"] },
    });
    const seen = brief(await list("latest=true", made.body.key));
    expect(new Set(seen.map(([device]) => device))).toEqual(new Set(["pump"]));
    const file = await test.call("GET", "/tenants/acme/telemetry/export?values=texts", {
      key: made.body.key,
    });
    expect(file.body).not.toContain("valve");
  });

  it("are exported as CSV that others read, and as Parquet", async () => {
    const file = async (format: string, values: string) => {
      const url = `/api/v1/tenants/acme/telemetry/export?format=${format}&values=${values}`;
      const headers = { authorization: `Bearer ${test.acme}` };
      return test.api.inject({ method: "GET", url, headers });
    };
    const csv = await file("csv", "texts");
    expect(csv.headers["vautn-points"]).toBe("4");
    const time = (ms: number) => new Date(ms).toISOString();
    expect(csv.body).toBe(
      [
        "device,metric,time,text,clock_shift_ms",
        `pump,mode,${time(NOW - 3_000)},eco,0`,
        `pump,mode,${time(NOW - 2_000)},"a ""boost"",\r\nor so",0`,
        `pump,state,${time(NOW - 2_000)},"'=1+1",0`,
        `valve,mode,${time(NOW - 1_000)},off,${YEAR}`,
        "",
      ].join("\r\n"),
    );
    const read = async (values: string) => {
      const { rawPayload: bytes } = await file("parquet", values);
      const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
      return parquetReadObjects({ file: buffer as ArrayBuffer });
    };
    expect((await read("texts")).at(-2)).toEqual({
      ...{ device: "pump", metric: "state", time: new Date(NOW - 2_000), text: "=1+1" },
      clock_shift_ms: 0n,
    });
    const numbers = (await read("numbers")).filter(({ metric }) => metric === "load");
    expect(numbers).toEqual([
      { device: "pump", metric: "load", time: new Date(NOW - 3_000), value: 1, clock_shift_ms: 0n },
      {
        ...{ device: "valve", metric: "load", time: new Date(NOW - 1_000), value: 2 },
        clock_shift_ms: BigInt(YEAR),
      },
    ]);
  });
});
