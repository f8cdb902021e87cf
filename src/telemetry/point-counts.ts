import { counter, Tally } from "../kernel/metrics.ts";
import type { PointBatch } from "./point-intake.ts";
import type { CheckedTelemetry } from "./telemetry-validation.ts";

type Counts = Pick<CheckedTelemetry, "accepted" | "rejectedCount">;

const points = counter("vautn_telemetry_points_total", "Telemetry values by outcome", ["outcome"]);
const accepted = new Tally(points, { outcome: "accepted" });
const rejected = new Tally(points, { outcome: "rejected" });

/** Counts a message whose good values are durable. */
export function countPoints(counts: Counts): void {
  accepted.inc(counts.accepted);
  rejected.inc(counts.rejectedCount);
}

/**
 * Counts the messages of a batch when it is durable, all at once. Those of a batch that is not are
 * counted by whoever tries them again, and not twice.
 */
export class PointCounts {
  #batch: PointBatch | undefined;
  #counts: Counts = { accepted: 0, rejectedCount: 0 };

  add(batch: PointBatch, { accepted, rejectedCount }: Counts): void {
    if (batch !== this.#batch) {
      this.#batch = batch;
      const counts = { accepted: 0, rejectedCount: 0 };
      this.#counts = counts;
      batch.done.then(
        () => countPoints(counts),
        () => {},
      );
    }
    this.#counts.accepted += accepted;
    this.#counts.rejectedCount += rejectedCount;
  }
}
