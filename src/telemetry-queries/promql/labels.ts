import type { RE2JS } from "re2js";
import type { Member } from "../selection.ts";
import { PromqlError } from "./error.ts";
import { compiled, inTurns } from "./patterns.ts";
import type { Matcher } from "./syntax.ts";
import { type Labels, labelOf } from "./vectors.ts";

/** A name as PromQL writes it: `engine.rpm` is `engine_rpm`. */
export function promName(text: string): string {
  return text.replace(/[^A-Za-z0-9_:]/g, "_").replace(/^(?=\d)/, "_");
}

/** What is known of a device, as labels; one that says nothing is left out, as Prometheus has it. */
export function labelsOf(member: Member): Labels {
  const labels: Record<string, string> = {
    device: member.id,
    product: member.product,
    hardware: member.hardware_revision,
    region: member.region,
    firmware: member.firmware_version ?? "",
  };
  for (const [name, value] of Object.entries(member.tags)) {
    labels[`tag_${promName(name).replaceAll(":", "_")}`] = value;
  }
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}

/** Whether labels meet every matcher. */
export type Test = (labels: Labels) => boolean;

export function testOf(matchers: readonly Matcher[]): Test {
  const tests = matchers.map(({ label, operator, value }) => {
    const meets = valueTest(operator, value);
    return (labels: Labels) => meets(labelOf(labels, label));
  });
  return (labels) => tests.every((test) => test(labels));
}

/** Regular expressions are RE2's, as in Prometheus: their time is linear in what they read. */
export function valueTest(operator: Matcher["operator"], value: string): (text: string) => boolean {
  if (operator === "=") return (text) => text === value;
  if (operator === "!=") return (text) => text !== value;
  let pattern: RE2JS;
  try {
    pattern = compiled(value);
  } catch (error) {
    if (error instanceof PromqlError) throw error;
    const why = error instanceof Error ? error.message : "";
    throw new PromqlError(`the regular expression "${value.slice(0, 60)}" is not valid: ${why}`, 0);
  }
  const wanted = operator === "=~";
  return (text) => pattern.matches(text) === wanted;
}

const NAME = "__name__";

/** Matchers of the metric's name, and those of the device. */
export function splitMatchers(matchers: readonly Matcher[]): {
  name: Matcher[];
  device: Matcher[];
} {
  return {
    name: matchers.filter(({ label }) => label === NAME),
    device: matchers.filter(({ label }) => label !== NAME),
  };
}

/** Metrics that are meant: by their own name, or as PromQL can write it. */
export async function matchingMetrics(
  known: readonly string[],
  matchers: readonly Matcher[],
): Promise<string[]> {
  const meets = testOf(matchers);
  // A name that is written out need not have been heard of lately.
  const written = matchers.filter(({ operator }) => operator === "=").map(({ value }) => value);
  const candidates = new Set([...known, ...written]);
  const metrics: string[] = [];
  await inTurns([...candidates], (metric) => {
    if (meets({ [NAME]: metric }) || meets({ [NAME]: promName(metric) })) metrics.push(metric);
  });
  return metrics;
}
