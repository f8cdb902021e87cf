import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** The process's own figures; every role registers here and `/metrics` prints them. */
export const metricsRegistry = new Registry();

export function counter(name: string, help: string, labelNames: string[] = []): Counter {
  return new Counter({ name, help, labelNames, registers: [metricsRegistry] });
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
