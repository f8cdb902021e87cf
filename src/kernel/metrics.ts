import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** The process's own figures; every role registers here and `/metrics` prints them. */
export const metricsRegistry = new Registry();

const tallies = new WeakMap<Counter, Tally[]>();

export function counter(name: string, help: string, labelNames: string[] = []): Counter {
  return new Counter({
    ...{ name, help, labelNames, registers: [metricsRegistry] },
    collect() {
      for (const tally of tallies.get(this) ?? []) tally.settle();
    },
  });
}

/**
 * Counts under labels that are fixed, for what happens many thousand times a second: the counter,
 * which makes a text of its labels each time, is told the sum when somebody asks for it.
 */
export class Tally {
  readonly #counter: Counter;
  readonly #labels: Record<string, string>;
  #pending = 0;

  constructor(counter: Counter, labels: Record<string, string>) {
    this.#counter = counter;
    this.#labels = labels;
    const others = tallies.get(counter) ?? [];
    others.push(this);
    tallies.set(counter, others);
  }

  inc(amount = 1): void {
    this.#pending += amount;
  }

  settle(): void {
    if (this.#pending === 0) return;
    this.#counter.inc(this.#labels, this.#pending);
    this.#pending = 0;
  }
}

/** `together` says what stands for all processes of an installation: their sum, or the highest. */
export function gauge(
  name: string,
  help: string,
  labelNames: string[] = [],
  together: "sum" | "max" = "sum",
): Gauge {
  return new Gauge({ name, help, labelNames, aggregator: together, registers: [metricsRegistry] });
}

export function histogram(
  name: string,
  help: string,
  buckets: number[],
  labelNames: string[] = [],
): Histogram {
  return new Histogram({ name, help, buckets, labelNames, registers: [metricsRegistry] });
}
