import { seededRandom } from "../../src/kernel/index.ts";
import type { TestApi } from "./api.ts";
import type { ReferencePoint } from "./telemetry-reference.ts";

/** Nine in the morning of a day that is not long ago, so that retention and clocks agree with it. */
export const FLEET_START = Math.floor(Date.now() / 86_400_000 - 3) * 86_400_000 + 9 * 3_600_000;
const STEP_MS = 20_000;

export interface FleetDevice {
  id: string;
  firmware: string;
  region: string;
  site: string | undefined;
}

/**
 * A fleet whose points come out of order: a tenth is late, a seventh is delivered twice, some are
 * missing, two have one moment; counters begin again. `points` is all that was sent, in that order.
 */
export async function createTelemetryFleet(
  test: TestApi,
  tenantId: string,
  { seed, devices: count, hours }: { seed: number; devices: number; hours: number },
): Promise<{ devices: FleetDevice[]; points: ReferencePoint[] }> {
  const random = seededRandom(seed);
  const devices: FleetDevice[] = [];
  for (let index = 0; index < count; index += 1) {
    const id = `truck-${String(index).padStart(2, "0")}`;
    const site = ["berlin", "ulm", undefined][index % 3];
    const firmware = ["1.0.0", "1.1.0"][index % 2] as string;
    const region = ["eu", "us"][index % 4 < 2 ? 0 : 1] as string;
    const tags = site ? { site } : {};
    const device = { id, product: "truck", hardwareRevision: index % 5 === 0 ? "b" : "a" };
    const answer = await test.call("POST", `/tenants/${tenantId}/devices`, {
      body: { ...device, region, tags },
    });
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    const heartbeat = { ts: Date.now(), seq: 1, bootId: "b", uptimeSeconds: 1 };
    const running = { version: firmware, hash: firmware[2]?.repeat(64) ?? "", slot: "a" };
    await test.modules.devices.recordHeartbeats([
      {
        tenantId,
        deviceId: id,
        heartbeat: { ...heartbeat, firmware: running },
        receivedAt: Date.now(),
      },
    ]);
    devices.push({ id, firmware, region, site });
  }
  const inTime: ReferencePoint[] = [];
  const late: ReferencePoint[] = [];
  for (const { id: deviceId } of devices) {
    let level = 50;
    let odometer = random.next() * 100;
    for (let at = 0; at < hours * 3_600_000; at += STEP_MS) {
      const ts = FLEET_START + at + Math.floor(random.next() * 5_000);
      level += random.next() - 0.5;
      odometer = random.next() < 0.01 ? random.next() : odometer + random.next() * 3;
      if (random.next() < 0.1) continue;
      const seq = at / STEP_MS;
      const target = random.next() < 0.1 ? late : inTime;
      target.push({ deviceId, metric: "fuel", ts, seq, value: level });
      target.push({ deviceId, metric: "odometer", ts, seq, value: odometer });
      if (random.next() < 0.02) {
        target.push({ deviceId, metric: "fuel", ts, seq: seq + 1, value: level + 5 });
      }
      if (random.next() < 0.14) inTime.push(...target.slice(-2));
    }
  }
  // Two times, so that the late ones open buckets that were computed already. Of the fleet as a whole they
  // are not computed anew: who asks is answered from both.
  for (const points of [inTime, late]) {
    await test.timeseries.insert(
      "telemetry",
      points.map((point) => ({ tenantId, ...point })),
    );
    await rolledUp(test.timeseries, tenantId, points === late ? [...inTime, ...late] : inTime);
    if (points === inTime) await test.timeseries.rollUpFleets({ part: "all" });
  }
  return { devices, points: [...inTime, ...late] };
}

/** Computes rollups until they hold these points; what came in a moment ago is not taken yet. */
export async function rolledUp(
  timeseries: TestApi["timeseries"],
  tenantId: string,
  points: readonly ReferencePoint[],
): Promise<void> {
  const unique = new Set(points.map(({ deviceId, metric, ts }) => `${deviceId} ${metric} ${ts}`));
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    await timeseries.rollUp();
    const held = await timeseries.tenantQuery<{ n: number }>(tenantId, {
      table: "telemetry_1d",
      select: "toFloat64(sum(count)) as n",
      limit: 1,
      final: true,
    });
    if (held[0]?.n === unique.size) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the rollups do not come to hold all points");
}
