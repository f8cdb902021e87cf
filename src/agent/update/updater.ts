import { messageOf, sleep } from "../../kernel/index.ts";
import {
  type Assignment,
  type AssignmentMessage,
  type Envelope,
  isAssignmentEnvelope,
  verifyAssignment,
} from "../../protocol/index.ts";
import type { ActiveUpdate } from "../agent-state.ts";
import { otherSlot } from "../ports.ts";
import { changeUpdate } from "./change-update.ts";
import { revertComponents, wantedComponents } from "./component-steps.ts";
import { type Unmet, unmetCondition } from "./conditions.ts";
import { readSlotRecord } from "./slot-record.ts";
import { confirmUnknownTrial } from "./trial.ts";
import type { UpdateContext } from "./update-context.ts";
import { UpdateReporter } from "./update-reporter.ts";
import { runStep } from "./update-runner.ts";
import {
  isAboutToDisturb,
  isInUse,
  isKept,
  manifestOf,
  nextStep,
  restOfComponents,
  restOfOffer,
  type UpdateFacts,
} from "./update-steps.ts";

/** Before the end of an update that could not be written down is tried again. */
const REPEAT_MS = 60_000;

/** Why a step was stopped from outside. */
class Interrupted extends Error {}

/**
 * Judges assignments and carries updates out, one at a time. What is to be done next always
 * follows from the disk and the bootloader, so `start` after any power cut leads on.
 */
export class Updater {
  readonly #context: UpdateContext;
  readonly #reporter: UpdateReporter;
  #inbox: Promise<void> = Promise.resolve();
  #work: Promise<void> | undefined;
  #interrupt = new AbortController();
  /** Came during a trial boot; looked at when that has ended. */
  #deferred: unknown;

  constructor(context: UpdateContext) {
    this.#context = context;
    this.#reporter = new UpdateReporter(context);
  }

  /** Goes on with what an earlier boot had begun. */
  start(): void {
    this.#work ??= this.#workOn();
  }

  /** Tells again what the platform may have missed. */
  connected(): void {
    this.#reporter.catchUp();
  }

  /** Judges an assignment; resolves when the outcome is on disk. */
  receive(envelope: unknown): Promise<void> {
    const judged = this.#inbox.then(() => this.#judge(envelope));
    this.#inbox = judged.catch(() => {});
    return judged;
  }

  /** Resolves when no step is under way. */
  async idle(): Promise<void> {
    await this.#inbox;
    await this.#work;
  }

  async #judge(envelope: unknown): Promise<void> {
    const { state, trust, identity, slots, storage, bootloader } = this.#context;
    if (this.#isRepetition(envelope)) {
      this.#reporter.catchUp({ repeatLast: true });
      return;
    }
    const { running } = await bootloader.status();
    const record = await readSlotRecord(storage, running);
    const verdict = verifyAssignment(envelope, trust.current, {
      ...identity,
      runningVersion: record?.version ?? null,
      runningSha256: record?.sha256 ?? null,
      securityFloor: Math.max(state.current.securityFloor, this.#context.hardwareFloor()),
      lastSequence: state.current.lastSequence,
      slotSizeBytes: slots.capacityBytes,
      trustedTimeMs: state.trustedNow(),
    });
    // Before anything is done by it: what a device has once believed it never believes less.
    await trust.keep(verdict.trust);
    if (!verdict.accepted) {
      this.#reporter.rejected(envelope, verdict.check, verdict.message);
      return;
    }
    const { signed, signatures } = envelope as AssignmentMessage;
    state.proveTime(Date.parse(signed.issuedAt));
    const accepted: Envelope<Assignment> = { signed, signatures };
    if (!this.#isRestarting()) await this.#stopWork();
    // Asked again: the work may have reached its restart before it stopped.
    if (this.#isRestarting()) {
      this.#deferred = envelope;
      this.start();
      return;
    }
    await this.#accept(accepted, otherSlot(running));
  }

  #isRestarting(): boolean {
    const phase = this.#context.state.current.update?.phase;
    return phase === "rebooting" || phase === "confirming";
  }

  /** The platform sends the current assignment after every connect. */
  #isRepetition(envelope: unknown): boolean {
    if (!isAssignmentEnvelope(envelope)) return false;
    const { updateId, sequence, action } = envelope.signed;
    if (action === "cancel") return false;
    const { update, lastUpdate } = this.#context.state.current;
    const active = update?.assignment.signed;
    return (
      (active?.updateId === updateId && active.sequence === sequence) ||
      (lastUpdate?.state.updateId === updateId && lastUpdate.sequence === sequence)
    );
  }

  async #accept(envelope: Envelope<Assignment>, targetSlot: "a" | "b"): Promise<void> {
    const { state, log } = this.#context;
    const assignment = envelope.signed;
    const replaced = state.current.update;
    if (replaced) {
      const cancelled = assignment.action === "cancel";
      await this.#endReplaced(replaced, cancelled ? "cancelled" : "superseded");
    }
    if (assignment.action === "cancel") {
      await state.update((current) => ({ ...current, lastSequence: assignment.sequence }));
      if (replaced?.assignment.signed.updateId !== assignment.updateId) {
        await this.#reporter.cancelledUnknown(assignment.updateId);
      }
      this.#reporter.catchUp();
      return;
    }
    log(
      "info",
      `update ${assignment.updateId} to ${manifestOf(assignment).version} accepted (${assignment.action})`,
      assignment.traceparent,
    );
    const update: ActiveUpdate = {
      assignment: envelope,
      phase: "downloading",
      phaseStartedAt: state.trustedNow(),
      targetSlot,
      offer: null,
      failedOffers: [],
      stagedBytes: 0,
      applied: null,
      components: wantedComponents(assignment, this.#context.components),
      attempts: 0,
      waiting: false,
      bytesDownloaded: 0,
      bytesBySource: { platform: 0, store: 0, cache: 0 },
      fault: null,
    };
    await state.update((current) => ({
      ...current,
      lastSequence: assignment.sequence,
      update,
    }));
    this.#work = this.#workOn();
  }

  async #endReplaced(update: ActiveUpdate, element: string): Promise<void> {
    const error = { phase: update.phase, element, message: "ended by a later assignment" };
    await revertComponents(this.#context);
    await this.#reporter.finish(update, { phase: "failed", error });
  }

  async #stopWork(): Promise<void> {
    this.#interrupt.abort(new Interrupted("the update was interrupted"));
    await this.#work;
    this.#interrupt = new AbortController();
  }

  async #workOn(): Promise<void> {
    try {
      if (this.#context.state.current.update) this.#reporter.phaseEntered();
      else await confirmUnknownTrial(this.#context);
      await this.#untilDone(AbortSignal.any([this.#context.life, this.#interrupt.signal]));
    } catch (error) {
      if (this.#context.life.aborted || error instanceof Interrupted) return;
      await this.#failUnexpectedly(error);
    } finally {
      this.#work = undefined;
      this.#takeDeferred();
    }
  }

  async #untilDone(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const update = await this.#withSaneClock();
      if (!update) return;
      const facts = await this.#facts(update);
      await this.#noteWaiting(update, facts);
      const step = nextStep(this.#context.state.current.update ?? update, facts);
      const outcome = await runStep(
        {
          ...{ context: this.#context, reporter: this.#reporter, signal },
          update: this.#context.state.current.update ?? update,
        },
        step,
      );
      if (outcome === "restarting") return;
    }
  }

  /** A condition is nobody's delay: what it held up has all of its time again when it goes on. */
  async #noteWaiting(update: ActiveUpdate, { unmet, now }: UpdateFacts): Promise<void> {
    if (unmet && !update.waiting) await changeUpdate(this.#context, { waiting: true });
    if (!unmet && update.waiting) {
      await changeUpdate(this.#context, { waiting: false, phaseStartedAt: now });
    }
  }

  /** A phase that began in what is now the future began before the clock was set right. */
  async #withSaneClock(): Promise<ActiveUpdate | null> {
    const { state } = this.#context;
    const now = state.trustedNow();
    if ((state.current.update?.phaseStartedAt ?? 0) > now) {
      await changeUpdate(this.#context, { phaseStartedAt: now });
    }
    return state.current.update;
  }

  async #facts(update: ActiveUpdate): Promise<UpdateFacts> {
    const { bootloader, storage, state, formats } = this.#context;
    const boot = await bootloader.status();
    const running = await readSlotRecord(storage, boot.running);
    const target = await readSlotRecord(storage, update.targetSlot);
    const facts: UpdateFacts = {
      boot,
      runningSha256: running?.sha256 ?? null,
      targetSlotSha256: target?.sha256 ?? null,
      formats,
      now: state.trustedNow(),
      trialTries: this.#context.trialTries,
    };
    const beforeRestart = update.phase === "downloading" || update.phase === "installing";
    return beforeRestart ? { ...facts, unmet: await this.#unmet(update, facts) } : facts;
  }

  #unmet(update: ActiveUpdate, facts: UpdateFacts): Promise<Unmet | undefined> {
    const { signed: assignment } = update.assignment;
    const { version, components = [] } = manifestOf(assignment);
    const restarts = isAboutToDisturb(update, facts);
    const neededBytes = restOfComponents(update, components) + restOfOffer(update, facts);
    const { rules, facts: known } = this.#context.conditions;
    // Where nothing is written or started any more, neither room nor time is needed.
    const applied = isInUse(update, facts) ? { ...rules, minFreeBytes: 0 } : rules;
    return unmetCondition(
      { rules: applied, facts: known },
      {
        updateId: assignment.updateId,
        version,
        neededBytes,
        restarts,
        nowMs: this.#context.clock.now(),
      },
    );
  }

  /** Our own storage or bootloader failed: the update ends, the running image stays. */
  async #failUnexpectedly(error: unknown): Promise<void> {
    const { state, log, life } = this.#context;
    const update = state.current.update;
    if (!update || life.aborted) return;
    const message = messageOf(error);
    log("error", `the update stopped: ${message}`, update.assignment.signed.traceparent);
    // What goes with a blessed image must not go back.
    if (await this.#mayRepeatEnd(update)) return this.#repeatEnd();
    const fault = { phase: update.phase, element: "device", message };
    try {
      fault.message = [message, ...(await revertComponents(this.#context))].join("; ");
      await this.#reporter.finish(update, { phase: "failed", error: fault });
    } catch (again) {
      // The disk does not even take the outcome; the next boot finds the update and goes on.
      log("error", `its end could not be written: ${messageOf(again)}`, null);
    }
  }

  /** Whether what is new stays for good, so that only the end of its update is left to do. */
  async #mayRepeatEnd(update: ActiveUpdate): Promise<boolean> {
    if (isKept(update)) return true;
    const boot = await this.#context.bootloader.status().catch(() => undefined);
    return boot?.running === update.targetSlot && !boot.trial;
  }

  #repeatEnd(): void {
    sleep(this.#context.clock, REPEAT_MS, this.#context.life).then(
      () => this.start(),
      () => {
        // This life is over; the next boot goes on.
      },
    );
  }

  #takeDeferred(): void {
    const deferred = this.#deferred;
    if (!deferred || this.#context.state.current.update || this.#context.life.aborted) return;
    this.#deferred = undefined;
    this.receive(deferred).catch((error) => {
      this.#context.log("error", `an assignment was not taken: ${messageOf(error)}`, null);
    });
  }
}
