import { metricsRegistry } from "../src/kernel/metrics.ts";
// Every room registers its metrics as it is loaded.
import "../src/platform/platform.ts";
import "../src/platform/cache-run.ts";

const HEAD = `# Metrics

Made by \`node tools/build-metrics.ts\` from what the code registers; a test compares. \`/metrics\` on the
API's port gives the figures of all processes of an installation together, in Prometheus' text format:
counters and histograms are summed, gauges are the sum or the highest. A Grafana dashboard stands in
\`deploy/grafana/vautn.json\`, alert rules in \`deploy/prometheus/vautn.rules.yml\`.

| metric | kind | labels | what |
|---|---|---|---|
`;

interface Registered {
  name: string;
  help: string;
  labelNames?: string[];
  constructor: { name: string };
}

/** The text of docs/metrics.md. */
export async function metricsDocument(): Promise<string> {
  const metrics = metricsRegistry.getMetricsAsArray() as unknown as Registered[];
  const rows = metrics
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(
      ({ name, help, labelNames = [], constructor: kind }) =>
        `| \`${name}\` | ${kind.name.toLowerCase()} | ${labelNames.join(", ") || "-"} | ${help} |`,
    );
  return `${HEAD}${rows.join("\n")}\n`;
}
