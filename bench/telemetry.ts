/**
 * Telemetry from end to end: how fast points become durable beside PostgreSQL's COPY and beside blocks
 * that somebody else has encoded (all in one interleaved run), how little room they take, and how many a
 * second one busy core takes over MQTT with mutual TLS: of the whole platform, and of gateway and engine.
 */
import { parseArgs } from "node:util";
import { measureGateway } from "./telemetry-gateway.ts";
import { measureInserts } from "./telemetry-inserts.ts";
import { measurePlatform } from "./telemetry-platform.ts";

const SECTIONS = ["inserts", "gateway", "platform"];

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: SECTIONS.join(",") },
    devices: { type: "string", default: "20" },
    batch: { type: "string", default: "50000" },
    seconds: { type: "string", default: "20" },
    connections: { type: "string", default: "200" },
    window: { type: "string", default: "10" },
  },
});
const sections = flags.only.split(",");
for (const section of sections) {
  if (!SECTIONS.includes(section)) throw new Error(`no section ${section}: ${SECTIONS.join(", ")}`);
}
if (sections.includes("inserts")) {
  await measureInserts({ devices: Number(flags.devices), batch: Number(flags.batch) });
}
const load = {
  ...{ connections: Number(flags.connections), window: Number(flags.window) },
  seconds: Number(flags.seconds),
};
if (sections.includes("platform")) await measurePlatform(load);
// Keeps itself to one core from then on: it comes last.
if (sections.includes("gateway")) await measureGateway(load);
