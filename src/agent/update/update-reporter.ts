import { messageOf } from "../../kernel/index.ts";
import type { UpdateState } from "../../protocol/index.ts";
import type { ActiveUpdate } from "../agent-state.ts";
import { PublishRefused } from "../connection/publish-refused.ts";
import { phaseEnded } from "./change-update.ts";
import type { Unmet } from "./conditions.ts";
import { receivedSoFar } from "./received-bytes.ts";
import { readSlotRecord } from "./slot-record.ts";
import type { UpdateContext } from "./update-context.ts";
import type { UpdateFault } from "./update-steps.ts";

/** Well within the time after which the platform takes a waiting device for silent. */
const WAITING_MS = 10 * 60_000;
const PROGRESS_STEP = 0.2;
const MAX_ID_LENGTH = 64;

/**
 * Tells the platform about updates, in order. The end of an update stays on disk until the platform
 * has acknowledged it; a phase in between is told when there is a connection, and again after each.
 */
export class UpdateReporter {
  readonly #context: UpdateContext;
  #sending: Promise<void> = Promise.resolve();
  #toldProgress = 0;
  #waitingFor: string | undefined;
  #waitingToldAt = 0;

  constructor(context: UpdateContext) {
    this.#context = context;
  }

  /** Resolves when the phase was told, or could not be. */
  phaseEntered(): Promise<void> {
    this.#toldProgress = 0;
    this.#waitingFor = undefined;
    return this.#enqueue(() => this.#tellPhase());
  }

  /**
   * Said of each thing that is waited for, and now and then again, so that the platform does not take
   * the device for silent; after a new connection too.
   */
  waiting(unmet: Unmet, traceparent: string | null): void {
    const { element, message } = unmet;
    const now = this.#context.clock.now();
    const isKnown = this.#waitingFor === element;
    if (isKnown && Math.abs(now - this.#waitingToldAt) < WAITING_MS) return;
    this.#waitingFor = element;
    this.#waitingToldAt = now;
    if (!isKnown) {
      this.#context.log("info", `the update waits: ${element}, ${message}`, traceparent);
    }
    this.#enqueue(() => this.#tellPhase(undefined, { element, message }));
  }

  progress(fraction: number): void {
    if (fraction < this.#toldProgress + PROGRESS_STEP) return;
    this.#toldProgress = fraction;
    this.#enqueue(() => this.#tellPhase(Math.min(1, fraction)));
  }

  /** Refusals leave no trace on the disk: whoever sends again is answered again. */
  rejected(envelope: unknown, check: string, message: string): void {
    const claimed = (envelope as { signed?: { updateId?: unknown } } | null)?.signed?.updateId;
    const updateId = typeof claimed === "string" ? claimed.slice(0, MAX_ID_LENGTH) : "";
    this.#context.log("warn", `an assignment was rejected (${check}): ${message}`, null);
    const error = { phase: "verifying", element: check, message };
    this.#enqueue(() => this.#context.publish({ updateId, phase: "rejected", error }));
  }

  /** A cancellation of something that this device does not carry out. */
  async cancelledUnknown(updateId: string): Promise<void> {
    const { state } = this.#context;
    const known = state.current.lastUpdate?.state;
    if (known?.updateId === updateId) return this.catchUp({ repeatLast: true });
    const message = "there was nothing to cancel";
    const error = { phase: "offered", element: "cancelled", message };
    await state.update((current) => ({
      ...current,
      unreported: [...current.unreported, { updateId, phase: "failed", error }],
    }));
  }

  /** Writes the end of an update down, raises the floor if it succeeded, and tells it. */
  async finish(
    update: ActiveUpdate,
    end: { phase: "succeeded" } | { phase: "failed" | "fell-back"; error: UpdateFault },
  ): Promise<void> {
    const { state, bootId, bootloader, storage, running } = this.#context;
    const assignment = update.assignment.signed;
    const artifact = assignment.artifacts.find((offer) => offer.sha256 === update.offer);
    const told: UpdateState = {
      updateId: assignment.updateId,
      phase: end.phase,
      ...(end.phase === "succeeded" ? {} : { error: end.error }),
      running: running(),
      bootId,
      ...receivedSoFar(update),
      ...(artifact ? { format: artifact.format } : {}),
    };
    const record = await readSlotRecord(storage, (await bootloader.status()).running);
    const proved = end.phase === "succeeded" ? (record?.securityCounter ?? 0) : 0;
    await state.update((current) => ({
      ...current,
      update: null,
      securityFloor: Math.max(current.securityFloor, proved),
      lastUpdate: { sequence: assignment.sequence, state: told },
      unreported: [...current.unreported, told],
    }));
    phaseEnded(this.#context, update, end.phase === "succeeded" ? undefined : end.error.message);
    const detail = end.phase === "succeeded" ? "" : `: ${end.error.element}, ${end.error.message}`;
    this.#context.log(
      end.phase === "succeeded" ? "info" : "error",
      `update ${assignment.updateId} ${end.phase}${detail}`,
      assignment.traceparent,
    );
    this.catchUp();
  }

  /** Sends what the platform has not acknowledged, then the present phase. */
  catchUp(options: { repeatLast?: boolean } = {}): void {
    this.#waitingFor = undefined;
    this.#enqueue(async () => {
      await this.#tellEnds();
      const { update, lastUpdate } = this.#context.state.current;
      if (update) await this.#tellPhase();
      else if (options.repeatLast && lastUpdate) await this.#context.publish(lastUpdate.state);
    });
  }

  async #tellEnds(): Promise<void> {
    const { state, publish, log } = this.#context;
    for (let end = state.current.unreported[0]; end; end = state.current.unreported[0]) {
      try {
        await publish(end);
      } catch (error) {
        if (!(error instanceof PublishRefused)) throw error;
        log("error", `the platform refused the end of an update: ${error.message}`, null);
      }
      await state.update((current) => ({ ...current, unreported: current.unreported.slice(1) }));
    }
  }

  async #tellPhase(progress?: number, waitingFor?: UpdateState["waitingFor"]): Promise<void> {
    const { state, bootId, publish } = this.#context;
    const update = state.current.update;
    if (!update) return;
    await publish({
      updateId: update.assignment.signed.updateId,
      phase: update.phase,
      bootId,
      ...receivedSoFar(update),
      ...(progress === undefined ? {} : { progress }),
      ...(waitingFor ? { waitingFor } : {}),
    });
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#sending = this.#sending.then(work).catch((error) => {
      // Offline: `catchUp` comes again with the next connection.
      this.#context.log("debug", `an update report waits: ${messageOf(error)}`, null);
    });
    return this.#sending;
  }
}
