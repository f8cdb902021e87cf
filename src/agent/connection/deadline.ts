import type { Clock } from "../../kernel/index.ts";

/** Carries work out with a signal that ends with `life`, or `timeoutMs` from now by the clock. */
export async function withDeadline<Result>(
  { clock, life, timeoutMs }: { clock: Clock; life: AbortSignal; timeoutMs: number },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = new AbortController();
  const timer = clock.after(timeoutMs, () => limit.abort(new Error("it took too long")));
  try {
    return await work(AbortSignal.any([life, limit.signal]));
  } finally {
    timer.cancel();
  }
}
