import { sleep } from "../../kernel/index.ts";
import type { ArtifactOffer } from "../../protocol/index.ts";
import type { ActiveUpdate } from "../agent-state.ts";
import type { SelfTestResult } from "../ports.ts";
import { downloadOffer, STAGING_FILE } from "./download.ts";
import { installOffer } from "./install.ts";
import { OfferFailed } from "./offer-failed.ts";
import {
  forgetSlot,
  hashSlot,
  readSlotRecord,
  recordOfRelease,
  writeSlotRecord,
} from "./slot-record.ts";
import type { UpdateContext } from "./update-context.ts";
import type { UpdateReporter } from "./update-reporter.ts";
import { deadlineOf, manifestOf, type UpdateStep } from "./update-steps.ts";

/** How long a restart waits for the platform to hear of it. */
const FAREWELL_MS = 2_000;

interface Run {
  context: UpdateContext;
  reporter: UpdateReporter;
  update: ActiveUpdate;
  signal: AbortSignal;
}

/** Carries out one step. Whatever it does can be begun again after a power cut. */
export async function runStep(run: Run, step: UpdateStep): Promise<"done" | "restarting"> {
  switch (step.do) {
    case "download":
      await untilDeadline(run, (signal) => fetchOffer({ ...run, signal }, step.offer));
      return "done";
    case "install":
      await untilDeadline(run, (signal) => install({ ...run, signal }, step.offer));
      return "done";
    case "restart":
      return restartIntoTarget(run);
    case "self-test":
      return testAndConfirm(run);
    case "abandon":
      return abandon(run);
    case "finish":
      await finish(run, step);
      return "done";
  }
}

async function fetchOffer(run: Run, offer: ArtifactOffer): Promise<void> {
  const { context, reporter, update, signal } = run;
  const { storage, clock, random, artifacts, log } = context;
  const traceparent = update.assignment.signed.traceparent;
  const resumed = update.offer === offer.sha256 ? update.stagedBytes : 0;
  if (update.offer !== offer.sha256 || update.phase !== "downloading") {
    await change(context, { phase: "downloading", offer: offer.sha256, stagedBytes: resumed });
  }
  log("info", `fetching ${offer.format}, ${offer.sizeBytes} bytes from ${resumed}`, traceparent);
  let bytesDownloaded = update.bytesDownloaded;
  await orNextOffer(run, offer, () =>
    downloadOffer({
      offer,
      storage,
      source: artifacts,
      clock,
      random,
      signal,
      stagedBytes: resumed,
      onReceived: (sizeBytes) => {
        bytesDownloaded += sizeBytes;
      },
      async onStaged(stagedBytes) {
        await change(context, { stagedBytes, bytesDownloaded });
        reporter.progress(stagedBytes / offer.sizeBytes);
      },
      onRetry: (message) => log("warn", `download: ${message}`, traceparent),
    }).then(async () => {
      const phaseStartedAt = context.state.trustedNow();
      await change(context, { phase: "installing", phaseStartedAt });
      reporter.phaseEntered();
    }),
  );
}

async function install(run: Run, offer: ArtifactOffer): Promise<void> {
  const { context, update, signal } = run;
  const { storage, slots, bootloader, maxPatchMemoryBytes } = context;
  const assignment = update.assignment.signed;
  const { running } = await bootloader.status();
  await forgetSlot(storage, update.targetSlot);
  context.onSlotChanged(undefined);
  await orNextOffer(run, offer, async () => {
    await installOffer({
      offer,
      manifest: manifestOf(assignment),
      storage,
      slots,
      sourceSlot: running,
      sourceRecord: await readSlotRecord(storage, running),
      targetSlot: update.targetSlot,
      maxMemoryBytes: maxPatchMemoryBytes,
      signal,
    });
    if (assignment.release) {
      const record = recordOfRelease(assignment.release);
      await writeSlotRecord(storage, update.targetSlot, record);
      context.onSlotChanged(record);
    }
    context.log("info", `image written to slot ${update.targetSlot}`, assignment.traceparent);
  });
}

/** An artifact that cannot be used is set aside; `nextStep` then chooses another or gives up. */
async function orNextOffer(
  run: Run,
  offer: ArtifactOffer,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof OfferFailed)) throw error;
    const { context, update } = run;
    const { element, message } = error;
    context.log(
      "warn",
      `${offer.format} cannot be used: ${element}, ${message}`,
      update.assignment.signed.traceparent,
    );
    await change(context, (current) => ({
      offer: null,
      stagedBytes: 0,
      failedOffers: [...current.failedOffers, { sha256: offer.sha256, element, message }],
    }));
  }
}

async function restartIntoTarget(run: Run): Promise<"done" | "restarting"> {
  const { context, reporter, update, signal } = run;
  const { storage, slots, bootloader, clock, log } = context;
  const traceparent = update.assignment.signed.traceparent;
  if (update.phase !== "rebooting") {
    await change(context, { phase: "rebooting", phaseStartedAt: context.state.trustedNow() });
  }
  const { image } = manifestOf(update.assignment.signed);
  const hash = await hashSlot(slots, update.targetSlot, image.sizeBytes);
  if (hash !== image.sha256) {
    await forgetSlot(storage, update.targetSlot);
    context.onSlotChanged(undefined);
    const message = `slot ${update.targetSlot} holds an image with hash ${hash}`;
    log("warn", message, traceparent);
    if (update.offer === null) {
      // An image of an earlier update that has decayed: fetch it after all.
      await change(context, { phase: "downloading", phaseStartedAt: context.state.trustedNow() });
      return "done";
    }
    const error = { phase: "installing", element: "slot-hash", message };
    await reporter.finish(update, { phase: "failed", error });
    return "done";
  }
  await Promise.race([
    reporter.phaseEntered(),
    sleep(clock, FAREWELL_MS, signal).catch(() => undefined),
  ]);
  signal.throwIfAborted();
  await bootloader.tryNext(update.targetSlot, context.trialTries);
  return restart(context, "update");
}

async function testAndConfirm(run: Run): Promise<"done" | "restarting"> {
  const { context, reporter, update } = run;
  if (update.phase !== "confirming") {
    await change(context, { phase: "confirming", phaseStartedAt: context.state.trustedNow() });
    reporter.phaseEntered();
  }
  const current = context.state.current.update ?? update;
  let result: SelfTestResult = {
    passed: false,
    element: "deadline",
    message: "the self-test did not end in time",
  };
  await untilDeadline({ ...run, update: current }, async (signal) => {
    result = await testImage(context, update);
    if (result.passed) result = await context.selfTest(signal);
  });
  context.life.throwIfAborted();
  const traceparent = update.assignment.signed.traceparent;
  await context.event("self-test", { ...result, traceparent });
  if (result.passed) {
    await context.bootloader.bless();
    await finish({ ...run, update: current }, { do: "finish", phase: "succeeded" });
    return "done";
  }
  const { element = "self-test", message = "failed" } = result;
  await change(context, { fault: { phase: "confirming", element, message } });
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

async function abandon(run: Run): Promise<"restarting"> {
  const { context } = run;
  await context.bootloader.abandonTrial();
  return restart(context, "fallback");
}

async function restart(
  context: UpdateContext,
  reason: "update" | "fallback",
): Promise<"restarting"> {
  await context.state.update((current) => ({ ...current, restart: { reason, commandId: null } }));
  context.reboot(reason);
  return "restarting";
}

async function finish(run: Run, step: Extract<UpdateStep, { do: "finish" }>): Promise<void> {
  const { context, reporter, update } = run;
  await context.storage.remove(STAGING_FILE);
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
async function untilDeadline(
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

/** Longest delay that a timer of Node can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;

type Change = Partial<ActiveUpdate>;

async function change(
  context: UpdateContext,
  patch: Change | ((current: ActiveUpdate) => Change),
): Promise<void> {
  await context.state.update((state) => {
    if (!state.update) return state;
    const fields = typeof patch === "function" ? patch(state.update) : patch;
    return { ...state, update: { ...state.update, ...fields } };
  });
}
