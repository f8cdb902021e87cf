// Fills an engine's folder with points, in a process of its own and within the engine: a thousand million
// of them would take an hour on the way of devices. What is there already stays; it ends at the deadline.
// Usage: node telemetry-growth-data.ts DIRECTORY POINTS DEADLINE
import fs from "node:fs";
import path from "node:path";
import { Session } from "chdb";
import {
  DEVICE_POINTS,
  devicesOf,
  EVERY_MS,
  GROWTH_START,
  GROWTH_TENANT,
  MADE,
} from "./telemetry-growth.ts";
import { METRICS } from "./telemetry-points.ts";

const [directory = "", points = "", deadline = ""] = process.argv.slice(2);
const devices = devicesOf(Number(points));
const state = path.join(directory, MADE);
const made = fs.existsSync(state) ? JSON.parse(fs.readFileSync(state, "utf8")).devices : 0;
const rowsPerDevice = DEVICE_POINTS / METRICS.length;
const DEVICES_AT_ONCE = 20;

const session = new Session(path.join(directory, "store"));
const layout = METRICS.map((name) => `${name}=2`).join(",");
const slots = METRICS.map((_, index) => `i${index + 1}`);
const note = (count: number) => fs.writeFileSync(state, JSON.stringify({ devices: count }));
note(made);
for (let first = made; first < devices; first += DEVICES_AT_ONCE) {
  if (Date.now() >= Number(deadline)) break;
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
  note(first + count);
}
session.close();
