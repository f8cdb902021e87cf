import type { Devices } from "../devices/index.ts";
import { unconfined } from "../kernel/confinement.ts";
import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { SeriesQuery } from "./types.ts";

/** What the figures of a metric are in, and what they say; empty where nobody has declared it. */
export interface Meaning {
  unit: string;
  description: string;
}

export type MeaningsOf = (tenantId: string) => Promise<ReadonlyMap<string, Meaning>>;

export interface MeaningsDeps {
  clock: Clock;
  devices: { metrics: Pick<Devices["metrics"], "list"> };
}

export const UNKNOWN: Meaning = { unit: "", description: "" };

/** What the agent says of itself in every heartbeat. */
const BUILT_IN: readonly [string, Meaning][] = [
  ["heartbeat.uptimeSeconds", { unit: "s", description: "Since the device has started" }],
];
const KNOWN_FOR_MS = 5_000;
const TENANTS_KNOWN = 200;

/** What a tenant's products declare of their metrics, by name; a few seconds old at most. */
export function createMeanings({ clock, devices }: MeaningsDeps): MeaningsOf {
  const known = new TtlCache<ReadonlyMap<string, Meaning>>({
    ...{ clock, ttlMs: KNOWN_FOR_MS, maxEntries: TENANTS_KNOWN },
  });
  // What products declare concerns the tenant as a whole, whoever asks first.
  const read = async (tenantId: string) => agreed(await devices.metrics.list(tenantId));
  return (tenantId) => known.load(tenantId, () => unconfined(() => read(tenantId)));
}

/** Where products measure in different units under one name, the figures of both have none. */
function agreed(
  declared: readonly { name: string; unit?: string; description?: string }[],
): ReadonlyMap<string, Meaning> {
  const meanings = new Map(BUILT_IN);
  for (const [name, all] of Map.groupBy(declared, (one) => one.name)) {
    meanings.set(name, {
      unit: theOnly(all.map(({ unit }) => unit)),
      description: theOnly(all.map(({ description }) => description)),
    });
  }
  return meanings;
}

function theOnly(texts: readonly (string | undefined)[]): string {
  const distinct = new Set(texts.map((text) => text ?? ""));
  return distinct.size === 1 ? (texts[0] ?? "") : "";
}

/** The unit of what comes out of a query: a rate is so much in a second, and a count is none. */
export function unitOfAnswer(
  unit: string,
  { transform, aggregate, across }: Pick<SeriesQuery, "transform" | "aggregate" | "across">,
): string {
  if (across === "count" || (transform === "none" && aggregate === "count")) return "";
  return transform === "rate" ? `${unit}/s` : unit;
}
