import { beforeEach, describe, expect, it } from "vitest";
import { AppError, systemClock } from "../../src/kernel/index.ts";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import { createTelemetry } from "../../src/telemetry/index.ts";
import type { Timeseries } from "../../src/timeseries/index.ts";

const NOW = Date.UTC(2026, 10, 30);
const peer = { tenantId: "acme", deviceId: "d-1" };
const payload = (seq: number) =>
  Buffer.from(JSON.stringify({ ts: NOW, seq, values: { a: 1, b: 2, "bad name": 3 } }));

async function counted(): Promise<{ accepted: number; rejected: number }> {
  const metric = await metricsRegistry.getSingleMetric("vautn_telemetry_points_total")?.get();
  const of = (outcome: string) =>
    metric?.values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0;
  return { accepted: of("accepted"), rejected: of("rejected") };
}

/** Telemetry on a store whose inserts end as the test says. */
function onStore() {
  const inserts: { resolve(): void; reject(error: unknown): void }[] = [];
  const insertPoints = () =>
    new Promise<void>((resolve, reject) => {
      inserts.push({ resolve, reject });
    });
  const timeseries = { insertPoints } as unknown as Timeseries;
  const telemetry = createTelemetry({ timeseries, clock: systemClock, batchDelayMs: 0 });
  const offer = (seq: number) => {
    const offered = telemetry.offerTelemetry(peer, payload(seq), undefined, NOW);
    if (offered instanceof Promise) throw new Error("it went the long way");
    return offered;
  };
  const inserted = async (count: number) => {
    await expect.poll(() => inserts.length).toBe(count);
    return inserts[count - 1] as (typeof inserts)[number];
  };
  return { telemetry, offer, inserted };
}

describe("points on /metrics", () => {
  let before: { accepted: number; rejected: number };
  beforeEach(async () => {
    before = await counted();
  });
  const since = async () => {
    const now = await counted();
    return [now.accepted - before.accepted, now.rejected - before.rejected];
  };

  it("count when they are durable, and not when they are taken", async () => {
    const { offer, inserted } = onStore();
    const offered = [offer(1), offer(2)];
    const insert = await inserted(1);
    expect(await since()).toEqual([0, 0]);
    insert.resolve();
    await Promise.all(offered.map(({ durable }) => durable));
    expect(await since()).toEqual([4, 2]);
  });

  it("count once where their batch failed and the message was tried again", async () => {
    const { telemetry, offer, inserted } = onStore();
    const { durable } = offer(1);
    (await inserted(1)).reject(new AppError("unavailable", "the store does not answer"));
    await expect(durable).rejects.toThrow("does not answer");
    expect(await since()).toEqual([0, 0]);
    const again = telemetry.ingestTelemetry(peer, JSON.parse(payload(1).toString()), NOW);
    (await inserted(2)).resolve();
    await again;
    expect(await since()).toEqual([2, 1]);
  });
});
