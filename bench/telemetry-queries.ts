/**
 * What is asked of telemetry: the questions of TSBS' use case `iot` over its trucks, and a dashboard's
 * questions at 1e7, 1e8 and 1e9 points, with the rate of inserts beside them. A thousand million points take
 * 2 GB on the disk and three quarters of an hour; `--sizes 1e7,1e8` leaves them out, and `--data DIR` keeps
 * them for the next time.
 */
import { parseArgs } from "node:util";
import { measureGrowth } from "./telemetry-growth.ts";
import { measureTrucks } from "./tsbs.ts";

const SECTIONS = ["tsbs", "growth"];

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: SECTIONS.join(",") },
    sizes: { type: "string", default: "1e7,1e8,1e9" },
    trucks: { type: "string", default: "100" },
    hours: { type: "string", default: "72" },
    seed: { type: "string", default: "1" },
    data: { type: "string" },
    prepare: { type: "string" },
  },
});
const sections = flags.only.split(",");
for (const section of sections) {
  if (!SECTIONS.includes(section)) throw new Error(`no section ${section}: ${SECTIONS.join(", ")}`);
}
if (sections.includes("tsbs")) {
  const { trucks, hours, seed } = flags;
  await measureTrucks({ trucks: Number(trucks), hours: Number(hours), seed: Number(seed) });
}
if (sections.includes("growth")) {
  await measureGrowth(flags.sizes.split(",").map(Number), {
    directory: flags.data,
    prepareSeconds: flags.prepare === undefined ? undefined : Number(flags.prepare),
  });
}
