import { AggregatorRegistry } from "prom-client";
import { metricsRegistry } from "../kernel/metrics.ts";
import { type Bus, subjects } from "./bus.ts";

type Metrics = Awaited<ReturnType<typeof metricsRegistry.getMetricsAsJSON>>;

/** How long the other processes may take to tell their figures; who takes longer is left out. */
const PATIENCE_MS = 1_000;
const MAX_ANSWERS = 128;

/** Tells who asks on the bus this process's figures; the result ends it. */
export function answerMetrics(bus: Bus): () => void {
  return bus.subscribe(subjects.metricsWanted, ({ askId }) => {
    void metricsRegistry.getMetricsAsJSON().then((metrics) => {
      bus.publish(subjects.metricsAnswer, { askId, metrics });
    });
  });
}

/** Who asks more often is told the same: anybody may ask, and every process has to answer. */
const KEPT_MS = 1_000;

let asked = 0;
let latest: { at: number; answer: Promise<string> } | undefined;

/** The figures of all `processes` of this installation together, in Prometheus' text format. */
export async function gatherMetrics(bus: Bus, processes: number): Promise<string> {
  if (processes <= 1) return metricsRegistry.metrics();
  const now = performance.now();
  if (!latest || now - latest.at > KEPT_MS) latest = { at: now, answer: gather(bus, processes) };
  return latest.answer;
}

/** This process answers as well: it is one of them. */
async function gather(bus: Bus, processes: number): Promise<string> {
  asked += 1;
  const askId = `${process.pid}-${asked}`;
  const answers: Metrics[] = [];
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, PATIENCE_MS);
    const unsubscribe = bus.subscribe(subjects.metricsAnswer, (answer) => {
      if (answer.askId !== askId || answers.length >= MAX_ANSWERS) return;
      answers.push(answer.metrics as Metrics);
      if (answers.length >= processes) finish();
    });
    function finish(): void {
      clearTimeout(timer);
      unsubscribe();
      resolve();
    }
    bus.publish(subjects.metricsWanted, { askId });
  });
  return AggregatorRegistry.aggregate(answers).metrics();
}
