import type { ActiveUpdate } from "../agent-state.ts";
import type { SelfTestResult } from "../ports.ts";
import { confirmComponents, revertComponents } from "./component-steps.ts";
import { STAGING_FILE } from "./download.ts";
import type { UpdateContext } from "./update-context.ts";
import type { UpdateReporter } from "./update-reporter.ts";
import { deadlineOf, manifestOf, type UpdateStep } from "./update-steps.ts";

/** One step of an update: what it works with and on, and what ends it. */
export interface Run {
  context: UpdateContext;
  reporter: UpdateReporter;
  update: ActiveUpdate;
  signal: AbortSignal;
}

export type Finish = Extract<UpdateStep, { do: "finish" }>;

export function failedAt(phase: string, element: string, message: string): Finish {
  return { do: "finish", phase: "failed", error: { phase, element, message } };
}

/** Asks for the restart, once the reason for it is on disk. */
export async function restart(
  context: UpdateContext,
  reason: "update" | "fallback",
): Promise<"restarting"> {
  await context.state.update((current) => ({ ...current, restart: { reason, commandId: null } }));
  // The last lines before a restart tell most of why it came to that.
  await context.keepWords();
  context.life.throwIfAborted();
  context.reboot(reason);
  return "restarting";
}

/** Ends the update; components stay with the image or go back with it. */
export async function finish(run: Run, step: Finish): Promise<void> {
  const { context, reporter, update } = run;
  await context.storage.remove(STAGING_FILE);
  if (step.phase === "succeeded") {
    const left = (await confirmComponents(context)).join("; ");
    if (left && context.state.trustedNow() < deadlineOf(update)) throw new Error(left);
    // Later, what does not take the word must not keep every other update out.
    if (left) context.log("error", left, update.assignment.signed.traceparent);
  } else {
    const left = await revertComponents(context);
    if (left.length > 0) step.error.message = [step.error.message, ...left].join("; ");
  }
  if (step.phase === "fell-back") {
    const { element, message } = step.error;
    const { traceparent } = update.assignment.signed;
    const { version } = manifestOf(update.assignment.signed);
    await context.event("fallback", {
      reason: element,
      message,
      abandonedVersion: version,
      traceparent,
    });
  }
  await reporter.finish(update, step);
}

/** Ends `work` at the phase's deadline without an error: the next step finds it past. */
export async function untilDeadline(
  run: Run,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { context, update, signal } = run;
  const limit = new AbortController();
  const remainingMs = Math.max(0, deadlineOf(update) - context.state.trustedNow());
  const timer = context.clock.after(Math.min(remainingMs, MAX_TIMER_MS), () =>
    limit.abort(new Error("the phase's deadline has passed")),
  );
  try {
    await work(AbortSignal.any([signal, limit.signal]));
  } catch (error) {
    if (!limit.signal.aborted || signal.aborted) throw error;
  } finally {
    timer.cancel();
  }
}

/** What comes of the tests of what is new within the phase's deadline; told as an event. */
export async function judge(
  run: Run,
  test: (signal: AbortSignal) => Promise<SelfTestResult>,
): Promise<SelfTestResult> {
  const { context, update } = run;
  const message = "the self-test did not end in time";
  let result: SelfTestResult = { passed: false, element: "deadline", message };
  await untilDeadline(run, async (signal) => {
    result = await test(signal);
  });
  context.life.throwIfAborted();
  const { traceparent } = update.assignment.signed;
  await context.event("self-test", { ...result, traceparent });
  return result;
}

/** Longest delay that a timer of Node can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;
