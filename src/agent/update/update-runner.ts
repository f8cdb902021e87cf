import { messageOf, sleep } from "../../kernel/index.ts";
import type { ArtifactOffer } from "../../protocol/index.ts";
import { changeUpdate } from "./change-update.ts";
import { activateComponents } from "./component-steps.ts";
import { activateInPlace, workOnComponent } from "./components-run.ts";
import type { Unmet } from "./conditions.ts";
import { downloadOffer } from "./download.ts";
import { installOffer } from "./install.ts";
import { OfferFailed } from "./offer-failed.ts";
import { receivedSoFar, withReceived } from "./received-bytes.ts";
import {
  forgetSlot,
  hashSlot,
  readSlotRecord,
  recordOfRelease,
  writeSlotRecord,
} from "./slot-record.ts";
import { abandon, testAndConfirm } from "./trial.ts";
import { failedAt, finish, type Run, restart, untilDeadline } from "./update-run.ts";
import { manifestOf, type UpdateStep } from "./update-steps.ts";

/** How long a restart waits for the platform to hear of it. */
const FAREWELL_MS = 2_000;

/** Carries out one step. Whatever it does can be begun again after a power cut. */
export async function runStep(run: Run, step: UpdateStep): Promise<"done" | "restarting"> {
  switch (step.do) {
    case "download":
      await untilDeadline(run, (signal) => fetchOffer({ ...run, signal }, step.offer));
      return "done";
    case "fetch-component":
    case "stage-component":
      await workOnComponent(run, step);
      return "done";
    case "wait":
      await waitFor(run, step.unmet);
      return "done";
    case "activate-in-place":
      await activateInPlace(run);
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
    const begun = { offer: offer.sha256, stagedBytes: resumed, applied: null };
    await changeUpdate(context, { phase: "downloading", ...begun });
  }
  log("info", `fetching ${offer.format}, ${offer.sizeBytes} bytes from ${resumed}`, traceparent);
  let received = receivedSoFar(update);
  await orNextOffer(run, offer, () =>
    downloadOffer({
      offer,
      storage,
      source: artifacts,
      clock,
      random,
      signal,
      stagedBytes: resumed,
      onReceived: (sizeBytes, servedBy) => {
        received = withReceived(received, sizeBytes, servedBy);
      },
      async onStaged(stagedBytes) {
        await changeUpdate(context, { stagedBytes, ...received });
        reporter.progress(stagedBytes / offer.sizeBytes);
      },
      onRetry: (message) => log("warn", `download: ${message}`, traceparent),
    }).then(async () => {
      const phaseStartedAt = context.state.trustedNow();
      await changeUpdate(context, { phase: "installing", phaseStartedAt });
      reporter.phaseEntered();
    }),
  );
}

async function install(run: Run, offer: ArtifactOffer): Promise<void> {
  const { context, reporter, update, signal } = run;
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
      resumeFrom: update.applied ?? null,
      async onApplied(applied) {
        await changeUpdate(context, { applied });
        const { sizeBytes } = manifestOf(assignment).image;
        if (applied) reporter.progress(applied.writtenBytes / sizeBytes);
      },
      onBegunAnew: (reason) => context.log("warn", reason, assignment.traceparent),
    });
    if (assignment.release) {
      const record = recordOfRelease(assignment.release);
      await writeSlotRecord(storage, update.targetSlot, record);
      context.onSlotChanged(record);
    }
    context.log("info", `image written to slot ${update.targetSlot}`, assignment.traceparent);
  });
}

const LOOK_AGAIN_MS = 30_000;

/** Looks again after a while; what is waited for is said once. */
async function waitFor(run: Run, unmet: Unmet): Promise<void> {
  const { context, reporter, update, signal } = run;
  reporter.waiting(unmet, update.assignment.signed.traceparent);
  await sleep(context.clock, LOOK_AGAIN_MS, signal);
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
    await changeUpdate(context, (current) => ({
      offer: null,
      stagedBytes: 0,
      applied: null,
      failedOffers: [...current.failedOffers, { sha256: offer.sha256, element, message }],
    }));
  }
}

async function restartIntoTarget(run: Run): Promise<"done" | "restarting"> {
  const { context, reporter, update, signal } = run;
  const { storage, slots, bootloader, clock, log } = context;
  const traceparent = update.assignment.signed.traceparent;
  if (update.phase !== "rebooting") {
    await changeUpdate(context, { phase: "rebooting", phaseStartedAt: context.state.trustedNow() });
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
      await changeUpdate(context, {
        phase: "downloading",
        phaseStartedAt: context.state.trustedNow(),
      });
      return "done";
    }
    await finish(run, failedAt("installing", "slot-hash", message));
    return "done";
  }
  try {
    await activateComponents(run);
  } catch (error) {
    signal.throwIfAborted();
    await finish(run, failedAt("installing", "component", messageOf(error)));
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
