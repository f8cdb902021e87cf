import type { Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";

/** Slot of wide rows that a metric has, and the layouts in which it has that one. */
export interface MetricPlace {
  slot: number;
  decimals: number;
  layouts: string[];
}

const KNOWN_FOR_MS = 3_600_000;
const MAX_TENANTS = 1_000;
/** With more than these every row's own layout is looked at. */
const MAX_LAYOUTS = 200;
const MAX_PLACES = 8;

/**
 * Layouts of wide rows that tenants are known to have: who wants one metric reads its slot alone. A layout
 * that is not known is asked for beside each query, so that nothing is ever missing.
 */
export class WideLayouts {
  readonly #known: TtlCache<ReadonlySet<string>>;

  constructor(clock: Clock) {
    this.#known = new TtlCache({ clock, ttlMs: KNOWN_FOR_MS, maxEntries: MAX_TENANTS });
  }

  of(tenantId: string): string[] {
    return [...(this.#known.get(tenantId) ?? [])];
  }

  add(tenantId: string, layouts: readonly string[]): void {
    const all = new Set([...this.of(tenantId), ...layouts]);
    this.#known.set(tenantId, all);
  }
}

/** Where the values of a metric stand in rows of these layouts; undefined where they are too many. */
export function placesOf(layouts: readonly string[], metric: string): MetricPlace[] | undefined {
  if (layouts.length > MAX_LAYOUTS) return undefined;
  const places = new Map<string, MetricPlace>();
  for (const layout of layouts) {
    for (const [index, named] of layout.split(",").entries()) {
      const [name, digits = ""] = named.split("=");
      if (name !== metric) continue;
      const decimals = /^\d{1,2}$/.test(digits) ? Number(digits) : 0;
      const key = `${index} ${decimals}`;
      const place = places.get(key) ?? { slot: index + 1, decimals, layouts: [] };
      place.layouts.push(layout);
      places.set(key, place);
    }
  }
  return places.size > MAX_PLACES ? undefined : [...places.values()];
}
