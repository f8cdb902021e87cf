import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTestCli } from "../support/cli.ts";

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

  it("keeps searches by name for the tenant, and for nobody else", async () => {
    const searches = "/tenants/acme/log-searches";
    const call = (method: string, url: string, body?: object, key = test.acme) =>
      test.call(method, url, { key, ...(body ? { body } : {}) });
    const viewer = await test.keyOf("acme", "viewer");
    const filter = { words: "line 9", group: "north", rangeSeconds: 3_600 };
    const made = await call("POST", searches, { name: "nine/north", filter });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: "nine/north", filter });
    const again = await call("POST", searches, { name: "nine/north", filter: { words: "x" } });
    expect(again.body.code).toBe("already-exists");
    const one = `${searches}/${encodeURIComponent("nine/north")}`;
    const replaced = await call("PUT", one, { filter: { words: "line 9", level: "info" } });
    expect(replaced.body.filter).toEqual({ words: "line 9", level: "info" });
    expect((await get("log-searches")).body.items).toEqual([replaced.body]);
    for (const bad of [{ from: "0" }, { level: "loud" }, { rangeSeconds: 0 }, { field: "x" }, []]) {
      const refused = await call("POST", searches, { name: "bad", filter: bad });
      expect(refused.body.code, JSON.stringify(bad)).toBe("invalid-request");
    }
    expect((await call("PUT", `${searches}/none`, { filter: {} })).status).toBe(404);
    // Neither seen nor changed from outside, nor changed by those who only look.
    expect((await call("GET", searches, undefined, test.globex)).status).toBe(404);
    expect((await call("DELETE", one, undefined, test.globex)).status).toBe(404);
    expect((await call("DELETE", one, undefined, viewer)).status).toBe(403);
    expect((await call("GET", searches, undefined, viewer)).body.items).toHaveLength(1);
    expect((await call("DELETE", one)).status).toBe(204);
    expect((await call("DELETE", one)).status).toBe(404);
    const audit = (await get("audit?action=log-search.delete")).body.items;
    expect(audit.map(({ outcome }: { outcome: string }) => outcome)).toContain("done");
  });

  it("is done on a terminal: saved, with context, as a file", async () => {
    const cli = createTestCli(await test.listen(), test.acme);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-logs-"));
    try {
      const saved = ["log-search", "save", "nines", "line", "9", "--device", "hub-1"];
      expect((await cli.run(...saved, "--range", "1h")).out).toContain("within 1h");
      const twice = await cli.run(...saved);
      expect(twice.status, twice.err).toBe(1);
      expect((await cli.run(...saved, "--replace")).status).toBe(0);
      expect((await cli.run("log-search", "save", "all")).status).toBe(2);
      const found = await cli.json("logs", "--saved", "nines");
      expect(found.items.map(({ message }: { message: string }) => message)).toEqual([
        "hub-1 line 9",
      ]);
      const around = await cli.run("logs", "--saved", "nines", "--context", "1");
      expect(
        around.out.split("\n").map((line) => line.replace(/\S+Z INFO {2}hub-1 {2}/, "")),
      ).toEqual(["  hub-1 line 8", "> hub-1 line 9", "  hub-1 line 10", ""]);
      const file = path.join(folder, "lines.csv");
      const made = await cli.run("logs", "-d", "hub-2", "--export", "csv", "--output", file);
      expect(made.status, made.err).toBe(0);
      expect(fs.readFileSync(file, "utf8").trimEnd().split("\r\n")).toHaveLength(601);
      expect((await cli.run("logs", "--export", "jsonl", "line", "9")).out).toContain(
        "hub-2 line 9",
      );
      for (const wrong of [
        ["--export", "xml"],
        ["--output", file],
        ["--context", "2", "--follow"],
      ]) {
        expect((await cli.run("logs", ...wrong)).status, wrong.join(" ")).toBe(2);
      }
      expect((await cli.run("logs", "--saved", "none")).err).toContain("no saved search");
      expect((await cli.run("log-search", "delete", "nines")).status).toBe(0);
      expect((await cli.run("log-search", "list")).out).toContain("No search is saved");
    } finally {
      cli.close();
      fs.rmSync(folder, { recursive: true });
    }
  });
});
