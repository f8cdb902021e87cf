import {
  type ArtifactOffer,
  type Assignment,
  type ReleaseManifest,
  usableOffers,
} from "../../protocol/index.ts";
import type { ActiveUpdate, ComponentState } from "../agent-state.ts";
import type { BootStatus } from "../ports.ts";
import type { Unmet } from "./conditions.ts";

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
  /** Boots, or attempts without one, that what is new gets. */
  trialTries: number;
  /** What stands in the way of the next step, by the device's own conditions. */
  unmet?: Unmet | undefined;
}

export type UpdateStep =
  | { do: "download"; offer: ArtifactOffer }
  | { do: "install"; offer: ArtifactOffer }
  | { do: "fetch-component"; component: ComponentState }
  | { do: "stage-component"; component: ComponentState }
  /** A condition does not hold yet. */
  | { do: "wait"; unmet: Unmet }
  /** The image runs already: take the components into use, test them, keep them or take them back. */
  | { do: "activate-in-place" }
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
  const { unmet } = facts;
  if (!(Date.parse(assignment.expires) > facts.now)) {
    const late = `the assignment expired at ${assignment.expires}`;
    return unmet ? failed(unmet.element, `${late}: ${unmet.message}`) : failed("expiry", late);
  }
  if (unmet?.hopeless) return failed(unmet.element, unmet.message);
  if (unmet) return { do: "wait", unmet };
  if (facts.now >= deadlineOf(update)) {
    return failed("deadline", `not finished within ${phaseLimitMs(update)} ms`);
  }
  const missing = update.components.find(({ state }) => state === "wanted");
  if (missing) {
    const failure = update.failedOffers.find(({ sha256 }) => sha256 === missing.sha256);
    if (failure) return failed(failure.element, failure.message);
    return { do: "fetch-component", component: missing };
  }
  if (hasImage(update, facts)) return stepWithImage(update, facts, failed);
  const chosen = chosenOffer(update, facts);
  if (!chosen) {
    const last = update.failedOffers.at(-1);
    return last
      ? failed(last.element, last.message)
      : failed("artifacts", "no artifact on offer can be used by this device");
  }
  const staged = update.phase === "installing" && chosen.sha256 === update.offer;
  return { do: staged ? "install" : "download", offer: chosen };
}

/** The offer under way, or else the first that can be used and has not failed. */
function chosenOffer(update: ActiveUpdate, facts: UpdateFacts): ArtifactOffer | undefined {
  const offers = usableOffers(update.assignment.signed.artifacts, facts).filter(
    (offer) => !update.failedOffers.some((failure) => failure.sha256 === offer.sha256),
  );
  return offers.find((offer) => offer.sha256 === update.offer) ?? offers[0];
}

/** Bytes of the artifact that are still to be staged. */
export function restOfOffer(update: ActiveUpdate, facts: UpdateFacts): number {
  if (update.phase !== "downloading" || hasImage(update, facts)) return 0;
  const chosen = chosenOffer(update, facts);
  if (!chosen) return 0;
  return chosen.sizeBytes - (chosen.sha256 === update.offer ? update.stagedBytes : 0);
}

/** Bytes of the components that are still to be staged. */
export function restOfComponents(
  update: ActiveUpdate,
  named: NonNullable<ReleaseManifest["components"]>,
): number {
  const missing = named.map(({ sha256, sizeBytes }) => {
    const found = update.components.find((one) => one.sha256 === sha256);
    return found && found.state !== "wanted" ? 0 : sizeBytes - (found?.stagedBytes ?? 0);
  });
  return missing.reduce((sum, bytes) => sum + bytes, 0);
}

/** Whether the image is where it is wanted: running, or in the other slot. */
function hasImage(update: ActiveUpdate, facts: UpdateFacts): boolean {
  const wanted = manifestOf(update.assignment.signed).image.sha256;
  // Also what makes `switch-slot`, and a cut after the last byte was written, cheap.
  return facts.runningSha256 === wanted || facts.targetSlotSha256 === wanted;
}

function stepWithImage(
  update: ActiveUpdate,
  facts: UpdateFacts,
  failed: (element: string, message: string) => UpdateStep,
): UpdateStep {
  const fetched = update.components.find(({ state }) => state === "fetched");
  if (fetched) {
    const failure = update.failedOffers.find(({ sha256 }) => sha256 === fetched.sha256);
    if (failure) return failed(failure.element, failure.message);
    return { do: "stage-component", component: fetched };
  }
  const wanted = manifestOf(update.assignment.signed).image.sha256;
  if (facts.runningSha256 !== wanted) return { do: "restart" };
  const inPlace = update.components.some(({ state }) => state !== "same");
  return inPlace ? { do: "activate-in-place" } : { do: "finish", phase: "succeeded" };
}

/** All that the update brings is in use already. */
export function isInUse(update: ActiveUpdate, facts: UpdateFacts): boolean {
  const wanted = manifestOf(update.assignment.signed).image.sha256;
  return facts.runningSha256 === wanted && update.components.every(({ state }) => state === "same");
}

/** Everything is here, and what comes next disturbs the device. */
export function isAboutToDisturb(update: ActiveUpdate, facts: UpdateFacts): boolean {
  const waiting = update.components.some(({ state }) => state === "wanted" || state === "fetched");
  return !waiting && hasImage(update, facts) && !isInUse(update, facts);
}

/** The decision that what is new stays has been written down: only the end is left to do. */
export function isKept(update: ActiveUpdate): boolean {
  return update.components.some(({ state }) => state === "kept");
}

function stepAfterRestart(update: ActiveUpdate, facts: UpdateFacts): UpdateStep {
  const { boot } = facts;
  if (boot.running === update.targetSlot) {
    if (update.fault) return { do: "abandon" };
    if (boot.trial) return { do: "self-test" };
    // Blessed, and cut before that was written down.
    return { do: "finish", phase: "succeeded" };
  }
  const wanted = manifestOf(update.assignment.signed).image.sha256;
  const inPlace = facts.runningSha256 === wanted && update.components.length > 0;
  if (inPlace && isKept(update)) return { do: "finish", phase: "succeeded" };
  if (inPlace && !update.fault && update.attempts < facts.trialTries) {
    return { do: "activate-in-place" };
  }
  const neverTried = update.phase === "rebooting" && boot.abandoned !== update.targetSlot;
  if (neverTried && !update.fault) return { do: "restart" };
  const error = update.fault ?? {
    phase: update.phase,
    element: inPlace ? "components" : "boot",
    message: inPlace
      ? `the new components were not confirmed within ${facts.trialTries} attempts`
      : "the new image was not confirmed within the bootloader's tries",
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
