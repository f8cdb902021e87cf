import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTelemetryFleet } from "../support/telemetry-fleet.ts";
import type { ReferencePoint } from "../support/telemetry-reference.ts";

const PROGRAM = path.resolve(import.meta.dirname, "../../bin/vautn.mjs");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-telemetry-"));
let test: TestApi;
let url: string;
let points: ReferencePoint[];

beforeAll(async () => {
  test = await startTestApi();
  ({ points } = await createTelemetryFleet(test, "acme", { seed: 3, devices: 3, hours: 1 }));
  url = await test.listen();
});
afterAll(async () => {
  await test.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function vautn(...words: string[]) {
  const env = { ...process.env, VAUTN_URL: url, VAUTN_API_KEY: test.acme, VAUTN_TENANT: "acme" };
  const options = { env, cwd: folder };
  const run = promisify(execFile)(process.execPath, [PROGRAM, "telemetry", ...words], options);
  return run.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

describe("vautn telemetry", () => {
  it("shows series by group, the latest values, and points as files", async () => {
    const series = await vautn(
      "series",
      "fuel",
      "--since",
      "7d",
      "--by",
      "firmware",
      "--step",
      "1h",
    );
    expect(series.stdout).toMatch(/TIME +FIRMWARE +VALUE/);
    expect(series.stdout).toContain("1.1.0");
    expect(series.stderr).toContain("from 1h");
    const latest = await vautn("latest", "--since", "7d", "--metrics", "fuel", "--json");
    expect(JSON.parse(latest.stdout).items.length).toBe(3);

    const unique = new Set(points.map(({ deviceId, metric, ts }) => `${deviceId}${metric}${ts}`));
    const csv = await vautn("export", "--since", "7d");
    expect(csv.stdout.trimEnd().split("\r\n").length).toBe(unique.size + 1);
    const made = await vautn("export", "--since", "7d", "--format", "parquet", "--output", "t.pq");
    expect([made.code, made.stderr]).toEqual([0, expect.stringContaining(`${unique.size} points`)]);
    const bytes = fs.readFileSync(path.join(folder, "t.pq"));
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    expect((await parquetReadObjects({ file: file as ArrayBuffer })).length).toBe(unique.size);
  });

  it("changes rules of retention one after the other, however many do at once", async () => {
    const patterns = ["debug.*", "trace.*", "fuel", "raw.*"];
    const set = await Promise.all(
      patterns.map((pattern) => vautn("retention", "set", pattern, "--points", "30")),
    );
    expect(set.map(({ code, stderr }) => [code, stderr])).toEqual(patterns.map(() => [0, ""]));
    const listed = JSON.parse((await vautn("retention", "list", "--json")).stdout);
    const kept = listed.rules.map(({ pattern }: { pattern: string }) => pattern);
    expect(kept.toSorted()).toEqual(patterns.toSorted());
    expect((await vautn("retention", "remove", ...patterns)).code).toBe(0);
    expect((await vautn("retention", "remove", "debug.*")).code).toBe(2);
  });

  it("refuses what makes no sense, and leaves no half of a file", async () => {
    expect((await vautn("export", "--format", "parquet")).code).toBe(2);
    const refused = await vautn("export", "--devices", "ghost", "--output", "no.csv");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("exist")]);
    expect(fs.readdirSync(folder)).toEqual(["t.pq"]);
    expect((await vautn("series", "fuel", "--by", "nonsense")).code).toBe(1);
  });
});
