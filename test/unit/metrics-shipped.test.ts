import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { metricsRegistry } from "../../src/kernel/metrics.ts";
import { metricsDocument } from "../../tools/metrics-document.ts";

const root = path.resolve(import.meta.dirname, "../..");
const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8");
const RULES = "deploy/prometheus/vautn.rules.yml";
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

/** Names with their labels, as the text that Prometheus scrapes declares them. */
async function scraped(): Promise<Set<string>> {
  const text = await metricsRegistry.metrics();
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, kind]) =>
    kind === "histogram" ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name as string],
  );
  return new Set(names);
}

function labelsOf(name: string): string[] {
  const metric = metricsRegistry.getSingleMetric(name.replace(/_(bucket|count|sum)$/, "")) as
    | { labelNames: string[] }
    | undefined;
  return metric?.labelNames ?? [];
}

const dashboard = JSON.parse(read("deploy/grafana/vautn.json"));
const expressions: string[] = [
  ...dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
    (panel.targets ?? []).map(({ expr }) => expr),
  ),
  ...parse(read(RULES)).groups.flatMap((group: { rules: { expr: string }[] }) =>
    group.rules.map(({ expr }) => expr),
  ),
];

describe("what is shipped for Prometheus and Grafana", () => {
  it("names metrics that /metrics has, with labels that they have", async () => {
    await metricsDocument();
    const known = await scraped();
    expect(expressions.length).toBeGreaterThan(40);
    for (const expression of expressions) {
      const names = expression.match(/vautn_[a-z0-9_]+/g) ?? [];
      for (const name of names) expect(known, expression).toContain(name);
      const [by] = [...expression.matchAll(/by \(([^)]*)\)/g)].slice(-1);
      const labels = (by?.[1] ?? "").split(",").map((label) => label.trim());
      for (const label of labels.filter((one) => one && one !== "le")) {
        expect(labelsOf(names[0] ?? ""), `${expression} by ${label}`).toContain(label);
      }
    }
  });

  it("has every metric in docs/metrics.md, with its help", async () => {
    expect(await metricsDocument()).toBe(read("docs/metrics.md"));
  });

  it.skipIf(!hasPromtool)("is accepted by promtool", () => {
    const said = execFileSync("promtool", ["check", "rules", path.join(root, RULES)], {
      encoding: "utf8",
    });
    expect(said).toContain("SUCCESS");
  });
});
