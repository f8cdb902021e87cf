import type { DeclaredProduct, MetricSlot, MetricType } from "../protocol/index.ts";

/** What is declared of a metric, ready for the check of a value. */
export interface DeclaredMetric {
  type: MetricType;
  minimum: number;
  maximum: number;
  /** Columns of wide rows that it has, the one that came last first. */
  slots: readonly WideSlot[];
}

export interface WideSlot extends MetricSlot {
  /** 10 to the power of its decimals. */
  factor: number;
}

/** A product's declaration in the form that the ingest reads. */
export class Declaration {
  readonly product: string;
  readonly #metrics = new Map<string, DeclaredMetric>();
  readonly #slots: readonly MetricSlot[];
  /** `temperature=2,humidity=1` of the first so many slots. */
  readonly #layouts: readonly string[];

  constructor({ product, metrics, slots }: DeclaredProduct) {
    this.product = product;
    this.#slots = slots;
    const names = slots.map(({ name, decimals }) => `${name}=${decimals}`);
    this.#layouts = ["", ...names.map((_, index) => names.slice(0, index + 1).join(","))];
    for (const { name, type, minimum, maximum } of metrics) {
      const own = slots
        .filter((slot) => slot.name === name)
        .map((slot) => ({ ...slot, factor: 10 ** slot.decimals }))
        .reverse();
      this.#metrics.set(name, {
        type,
        minimum: minimum ?? Number.NEGATIVE_INFINITY,
        maximum: maximum ?? Number.POSITIVE_INFINITY,
        slots: own,
      });
    }
  }

  get(metric: string): DeclaredMetric | undefined {
    return this.#metrics.get(metric);
  }

  /** The slots that are in use at a moment; each product's are taken into use in their order. */
  layoutAt(ts: number): string {
    let count = this.#slots.length;
    while (count > 0 && (this.#slots[count - 1] as MetricSlot).from > ts) count -= 1;
    return this.#layouts[count] as string;
  }

  /** Where a value belongs in a wide row of that moment, and as which whole number; or undefined. */
  place(metric: string, ts: number, value: number): { slot: number; scaled: number } | undefined {
    const slots = this.#metrics.get(metric)?.slots;
    if (!slots) return undefined;
    for (const { slot, from, factor } of slots) {
      if (from > ts) continue;
      const scaled = Math.round(value * factor);
      // What would come back as another number is kept as it is, elsewhere; so is -0.
      const isExact = scaled / factor === value && Number.isSafeInteger(scaled);
      return isExact && !Object.is(value, -0) ? { slot, scaled } : undefined;
    }
    return undefined;
  }
}
