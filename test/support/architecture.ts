import fs from "node:fs";
import path from "node:path";

/**
 * The rooms below `src/` in the order of the dependency direction: a room may import the rooms that
 * its row names, and only their `index.ts`. The table is the rule and the picture at once.
 */
export const MAY_IMPORT: Record<string, readonly string[]> = {
  kernel: [],
  protocol: ["kernel"],
  delta: ["kernel", "protocol"],
  // The four stores' plumbing
  db: ["kernel"],
  blobs: ["kernel"],
  timeseries: ["kernel", "protocol"],
  bus: ["kernel"],
  // Domain modules
  tenancy: ["kernel", "protocol", "db", "bus"],
  "sign-in": ["kernel", "db", "tenancy"],
  identity: ["kernel", "protocol", "db", "bus", "tenancy"],
  devices: ["kernel", "protocol", "db", "bus", "tenancy"],
  commands: ["kernel", "protocol", "db", "bus", "tenancy", "devices"],
  firmware: ["kernel", "protocol", "delta", "db", "blobs", "bus", "tenancy"],
  secureboot: ["kernel", "protocol"],
  telemetry: ["kernel", "protocol", "timeseries", "bus"],
  "telemetry-queries": ["kernel", "protocol", "db", "timeseries", "bus", "tenancy", "devices"],
  logs: ["kernel", "protocol", "db", "timeseries", "bus"],
  "tenant-data": ["kernel", "protocol", "db", "blobs", "timeseries", "tenancy"],
  alerts: ["kernel", "protocol", "db", "bus", "tenancy"],
  health: [
    "kernel",
    "protocol",
    "db",
    "timeseries",
    "bus",
    "devices",
    "telemetry",
    "logs",
    "alerts",
  ],
  rollouts: [
    "kernel",
    "protocol",
    "db",
    "bus",
    "tenancy",
    "devices",
    "firmware",
    "telemetry",
    "logs",
    "alerts",
    "health",
  ],
  "alert-rules": [
    "kernel",
    "protocol",
    "db",
    "bus",
    "tenancy",
    "devices",
    "telemetry",
    "logs",
    "alerts",
  ],
  // Shells: translate, call a module, nothing else
  gateway: [
    "kernel",
    "protocol",
    "db",
    "bus",
    "tenancy",
    "identity",
    "devices",
    "commands",
    "telemetry",
    "logs",
    "rollouts",
  ],
  "device-http": ["kernel", "protocol", "bus", "tenancy", "identity", "firmware"],
  api: [
    "kernel",
    "protocol",
    "db",
    "bus",
    "tenancy",
    "tenant-data",
    "sign-in",
    "identity",
    "devices",
    "commands",
    "firmware",
    "telemetry",
    "telemetry-queries",
    "logs",
    "alerts",
    "alert-rules",
    "health",
    "rollouts",
  ],
  cache: ["kernel", "protocol", "device-http"],
  jobs: [
    "kernel",
    "protocol",
    "db",
    "bus",
    "tenancy",
    "devices",
    "commands",
    "firmware",
    "telemetry",
    "telemetry-queries",
    "logs",
    "alerts",
    "alert-rules",
    "health",
    "rollouts",
  ],
  // Who calls the operators' API over HTTP, as any tool would
  client: [],
  // The device side
  agent: ["kernel", "protocol", "delta"],
  simulator: ["kernel", "protocol", "delta", "agent", "rollouts"],
  conformance: ["kernel", "protocol", "delta", "agent", "simulator"],
  // What starts the rest
  platform: [
    "kernel",
    "protocol",
    "delta",
    "db",
    "blobs",
    "timeseries",
    "bus",
    "tenancy",
    "tenant-data",
    "sign-in",
    "identity",
    "devices",
    "commands",
    "firmware",
    "telemetry",
    "telemetry-queries",
    "logs",
    "alerts",
    "alert-rules",
    "health",
    "rollouts",
    "gateway",
    "device-http",
    "cache",
    "api",
    "jobs",
  ],
  cli: [
    "kernel",
    "protocol",
    "delta",
    "client",
    "identity",
    "firmware",
    "secureboot",
    "health",
    "agent",
    "simulator",
    "conformance",
    "platform",
  ],
  demo: ["kernel", "protocol", "client", "firmware", "agent", "simulator", "platform"],
};

/** Leaf files that are imported one by one, so that the agent's bundle holds only what it uses. */
const IMPORTED_BY_FILE = ["kernel"];

export interface Violation {
  file: string;
  imported: string;
  why: string;
}

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']/g;

/** Checks sources (path below `src/` -> text) against the table. */
export function findViolations(sources: ReadonlyMap<string, string>): Violation[] {
  const violations: Violation[] = [];
  for (const [file, text] of sources) {
    const room = roomOf(file);
    if (room === undefined) continue;
    const allowed = MAY_IMPORT[room];
    if (!allowed) {
      violations.push({ file, imported: "", why: `the room ${room} is not in the table` });
      continue;
    }
    for (const [, specifier = ""] of text.matchAll(IMPORT)) {
      if (!specifier.startsWith(".")) continue;
      const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
      const targetRoom = roomOf(target);
      const why = judge(room, targetRoom, target, allowed);
      if (why) violations.push({ file, imported: specifier, why });
    }
  }
  return violations;
}

function judge(
  room: string,
  targetRoom: string | undefined,
  target: string,
  allowed: readonly string[],
): string | undefined {
  if (target.startsWith("../")) return undefined; // package.json and the like
  if (targetRoom === undefined) return `${room} may not import the entry point`;
  if (targetRoom === room) return undefined;
  if (!allowed.includes(targetRoom)) return `${room} may not import ${targetRoom}`;
  if (target === `${targetRoom}/index.ts` || IMPORTED_BY_FILE.includes(targetRoom))
    return undefined;
  return `only ${targetRoom}/index.ts is public`;
}

function roomOf(file: string): string | undefined {
  const [room, rest] = file.split("/");
  return rest === undefined || room === ".." ? undefined : room;
}

/** Every TypeScript file below `directory`, by its path there. */
export function readSources(directory: string): Map<string, string> {
  const sources = new Map<string, string>();
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.tsx?$/.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    sources.set(
      path.relative(directory, file).replaceAll(path.sep, "/"),
      fs.readFileSync(file, "utf8"),
    );
  }
  return sources;
}
