import type { ActiveUpdate } from "../agent-state.ts";
import type { SelfTestResult } from "../ports.ts";
import { changeUpdate } from "./change-update.ts";
import { testComponents } from "./component-steps.ts";
import { hashSlot } from "./slot-record.ts";
import type { UpdateContext } from "./update-context.ts";
import { finish, judge, type Run, restart } from "./update-run.ts";
import { manifestOf } from "./update-steps.ts";

/** Tests the image that runs on trial; it is blessed, or left. */
export async function testAndConfirm(run: Run): Promise<"done" | "restarting"> {
  const { context, reporter, update } = run;
  if (update.phase !== "confirming") {
    await changeUpdate(context, {
      phase: "confirming",
      phaseStartedAt: context.state.trustedNow(),
    });
    reporter.phaseEntered();
  }
  const current = context.state.current.update ?? update;
  const result = await judge({ ...run, update: current }, async (signal) => {
    const image = await testImage(context, update);
    const components = image.passed ? await testComponents(context) : image;
    return components.passed ? context.selfTest(signal) : components;
  });
  if (result.passed) {
    await context.bootloader.bless();
    await finish({ ...run, update: current }, { do: "finish", phase: "succeeded" });
    return "done";
  }
  const { element = "self-test", message = "failed" } = result;
  await changeUpdate(context, { fault: { phase: "confirming", element, message } });
  return abandon(run);
}

const UNKNOWN_TRIAL_MS = 5 * 60_000;

/**
 * A trial boot of which the agent's disk knows nothing, e.g. because its state was lost: the image
 * is tested all the same, lest its tries run out for nothing or it stays on trial for ever.
 */
export async function confirmUnknownTrial(context: UpdateContext): Promise<void> {
  if (!(await context.bootloader.status()).trial) return;
  const limit = new AbortController();
  const timer = context.clock.after(UNKNOWN_TRIAL_MS, () => limit.abort());
  try {
    const result = await context.selfTest(AbortSignal.any([context.life, limit.signal]));
    context.life.throwIfAborted();
    await context.event("self-test", { ...result });
    if (result.passed) return await context.bootloader.bless();
    await context.bootloader.abandonTrial();
    await restart(context, "fallback");
  } finally {
    timer.cancel();
  }
}

async function testImage(context: UpdateContext, update: ActiveUpdate): Promise<SelfTestResult> {
  const { image } = manifestOf(update.assignment.signed);
  const hash = await hashSlot(context.slots, update.targetSlot, image.sizeBytes);
  if (hash === image.sha256) return { passed: true };
  return { passed: false, element: "image", message: `the running slot has hash ${hash}` };
}

export async function abandon(run: Run): Promise<"restarting"> {
  const { context } = run;
  await context.bootloader.abandonTrial();
  return restart(context, "fallback");
}
