// Fills an engine's folder with points, in a process of its own and within the engine: a thousand million
// of them would take an hour on the way of devices. Usage: node telemetry-growth-data.ts STORE POINTS
import { Session } from "chdb";
import { DAYS, DEVICE_POINTS, EVERY_MS, GROWTH_START, GROWTH_TENANT } from "./telemetry-growth.ts";
import { METRICS } from "./telemetry-points.ts";

const [store = "", points = ""] = process.argv.slice(2);
const devices = Math.max(1, Math.round(Number(points) / DEVICE_POINTS));
const rowsPerDevice = DEVICE_POINTS / METRICS.length;
const DEVICES_AT_ONCE = 20;

const session = new Session(store);
const layout = METRICS.map((name) => `${name}=2`).join(",");
const slots = METRICS.map((_, index) => `i${index + 1}`);
for (let first = 0; first < devices; first += DEVICES_AT_ONCE) {
  const count = Math.min(DEVICES_AT_ONCE, devices - first);
  // Waves of different lengths with noise, in hundredths.
  const values = slots.map(
    (_, index) => `toInt64(2000 + 500 * sin(n / ${700 * (index + 1)} + d) + rand(${index}) % 40)`,
  );
  await session.queryAsync(
    `INSERT INTO vautn.telemetry_wide
       (tenant_id, device_id, product, ts, seq, layout, ${slots.join(", ")})
     SELECT '${GROWTH_TENANT}', concat('device-', toString(d)), 'hub',
       fromUnixTimestamp64Milli(toInt64(${GROWTH_START} + n * ${EVERY_MS} + rand() % 50)), n,
       '${layout}', ${values.join(", ")}
     FROM (SELECT ${first} + intDiv(number, ${rowsPerDevice}) AS d, number % ${rowsPerDevice} AS n
           FROM numbers(${count * rowsPerDevice}))`,
  );
}
session.close();
console.log(JSON.stringify({ devices, points: devices * DEVICE_POINTS, days: DAYS }));
