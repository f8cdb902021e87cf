import {
  type ArtifactOffer,
  type Assignment,
  type ReleaseManifest,
  usableOffers,
} from "../../protocol/index.ts";
import type { ActiveUpdate } from "../agent-state.ts";
import type { BootStatus } from "../ports.ts";

export interface UpdateFault {
  phase: string;
  element: string;
  message: string;
}

/** What the device finds about itself when it asks for the next step. */
export interface UpdateFacts {
  boot: BootStatus;
  runningSha256: string | null;
  /** Of the image that the target slot is known to hold, null where it holds none. */
  targetSlotSha256: string | null;
  formats: readonly string[];
  /** Trusted time in milliseconds since the epoch. */
  now: number;
}

export type UpdateStep =
  | { do: "download"; offer: ArtifactOffer }
  | { do: "install"; offer: ArtifactOffer }
  /** The target slot holds the image: check it, mark it for trial and restart. */
  | { do: "restart" }
  /** The image runs on trial: test it, and bless or abandon it. */
  | { do: "self-test" }
  /** The trial has failed already: leave the slot. */
  | { do: "abandon" }
  | { do: "finish"; phase: "succeeded" }
  | { do: "finish"; phase: "failed" | "fell-back"; error: UpdateFault };

/** The manifest that an update installs. Assignments without one never become an active update. */
export function manifestOf(assignment: Assignment): ReleaseManifest {
  if (!assignment.release) throw new Error("the assignment carries no release");
  return assignment.release.signed;
}

/**
 * The next step of an update, from what is on disk and what is found after a boot. Whatever step a
 * power cut interrupted, asking again leads on: every step can be begun twice.
 */
export function nextStep(update: ActiveUpdate, facts: UpdateFacts): UpdateStep {
  const beforeRestart = update.phase === "downloading" || update.phase === "installing";
  return beforeRestart ? stepBeforeRestart(update, facts) : stepAfterRestart(update, facts);
}

function stepBeforeRestart(update: ActiveUpdate, facts: UpdateFacts): UpdateStep {
  const assignment = update.assignment.signed;
  const failed = (element: string, message: string): UpdateStep => ({
    do: "finish",
    phase: "failed",
    error: { phase: update.phase, element, message },
  });
  if (facts.boot.running === update.targetSlot) {
    return failed("slot", "the device was started from the slot that was to be written");
  }
  if (!(Date.parse(assignment.expires) > facts.now)) {
    return failed("expiry", `the assignment expired at ${assignment.expires}`);
  }
  if (facts.now >= deadlineOf(update)) {
    return failed("deadline", `not finished within ${phaseLimitMs(update)} ms`);
  }
  const wanted = manifestOf(assignment).image.sha256;
  if (facts.runningSha256 === wanted) return { do: "finish", phase: "succeeded" };
  // Also what makes `switch-slot`, and a cut after the last byte was written, cheap.
  if (facts.targetSlotSha256 === wanted) return { do: "restart" };
  const failures = update.failedOffers;
  const offers = usableOffers(assignment.artifacts, facts).filter(
    (offer) => !failures.some((failure) => failure.sha256 === offer.sha256),
  );
  const chosen = offers.find((offer) => offer.sha256 === update.offer) ?? offers[0];
  if (!chosen) {
    const last = failures.at(-1);
    return last
      ? failed(last.element, last.message)
      : failed("artifacts", "no artifact on offer can be used by this device");
  }
  const staged = update.phase === "installing" && chosen.sha256 === update.offer;
  return { do: staged ? "install" : "download", offer: chosen };
}

function stepAfterRestart(update: ActiveUpdate, facts: UpdateFacts): UpdateStep {
  const { boot } = facts;
  if (boot.running === update.targetSlot) {
    if (update.fault) return { do: "abandon" };
    if (boot.trial) return { do: "self-test" };
    // Blessed, and cut before that was written down.
    return { do: "finish", phase: "succeeded" };
  }
  const neverTried = update.phase === "rebooting" && boot.abandoned !== update.targetSlot;
  if (neverTried && !update.fault) return { do: "restart" };
  const error = update.fault ?? {
    phase: update.phase,
    element: "boot",
    message: "the new image was not confirmed within the bootloader's tries",
  };
  return { do: "finish", phase: "fell-back", error };
}

/** Trusted time at which the present phase has failed. */
export function deadlineOf(update: ActiveUpdate): number {
  return update.phaseStartedAt + phaseLimitMs(update);
}

function phaseLimitMs(update: ActiveUpdate): number {
  return update.assignment.signed.deadlines[update.phase];
}
