import { unconfined } from "../kernel/confinement.ts";
import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter, histogram } from "../kernel/metrics.ts";

const failures = counter("vautn_job_failures_total", "Runs of a periodic job that failed", ["job"]);
const durations = histogram(
  "vautn_job_seconds",
  "Duration of one run of a periodic job",
  [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
  ["job"],
);

export interface Job {
  name: string;
  everyMs: number;
  run(): Promise<void>;
}

export interface Ticker {
  /** Runs the job soon instead of at its next time. */
  wake(): void;
  /** Lets a run in progress finish. */
  stop(): Promise<void>;
}

const MAX_BACKOFF_MS = 30_000;

/**
 * Runs a job again and again, never twice at once; failures are logged, counted and backed off. Not so
 * those of single tenants (an AggregateError): the others' work goes on at its pace.
 */
export function startTicker(job: Job, deps: { clock: Clock; logger: Logger }): Ticker {
  let stopped = false;
  let running: Promise<void> | undefined;
  let wanted = false;
  let failuresInARow = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  let timer = deps.clock.after(job.everyMs, start);
  return {
    wake() {
      wanted = true;
      if (running || stopped || failuresInARow > 0) return;
      timer.cancel();
      start();
    },
    async stop() {
      stopped = true;
      timer.cancel();
      await running;
    },
  };

  function start() {
    if (stopped || running) return;
    wanted = false;
    // Whoever wakes it may be confined to some devices; the job is not.
    running = unconfined(runOnce).finally(() => {
      running = undefined;
      if (stopped) return;
      const backoff = Math.min(job.everyMs * 2 ** failuresInARow, MAX_BACKOFF_MS);
      const delayMs = failuresInARow > 0 ? Math.max(backoff, job.everyMs) : job.everyMs;
      timer = deps.clock.after(wanted && failuresInARow === 0 ? 0 : delayMs, start);
    });
  }

  async function runOnce() {
    const stopTiming = durations.startTimer({ job: job.name });
    try {
      await job.run();
      failuresInARow = 0;
    } catch (error) {
      failures.inc({ job: job.name });
      if (!(error instanceof AggregateError)) failuresInARow += 1;
      else if (deps.clock.now() - toldAt < MAX_BACKOFF_MS) return;
      toldAt = deps.clock.now();
      deps.logger.error({ job: job.name, error: messageOf(error), err: error }, "a job failed");
    } finally {
      stopTiming();
    }
  }
}
