/** Figures of telemetry and answers of queries are compared in pairs of devices, not as rates of events. */
export function isPaired(metric: string): boolean {
  return metric.startsWith("telemetry.") || metric.startsWith("query.");
}
