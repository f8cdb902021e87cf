import type { RotationStep } from "../../protocol/index.ts";
import type { CredentialStore } from "./credential-store.ts";

export interface RotationReportsDeps {
  store: CredentialStore;
  event(type: string, attributes: Record<string, unknown>): Promise<void>;
}

/** From here on the new certificate is the one in use. */
const AFTER_SWITCH: readonly RotationStep[] = ["reconnect", "confirm", "done"];

/** Tells the platform how far a rotation is, as events that wait on the device while offline. */
export class RotationReports {
  readonly #deps: RotationReportsDeps;
  #lastTold = "";

  constructor(deps: RotationReportsDeps) {
    this.#deps = deps;
  }

  /** What repeats itself is told once, lest it drive other events out. */
  async step(
    step: RotationStep,
    details: { error?: { element: string; message: string } } = {},
  ): Promise<void> {
    const { store, event } = this.#deps;
    const { error } = details;
    const { rotation } = store.state;
    const generation = rotation?.generation ?? store.current.number;
    const told = [generation, step, error?.element, error?.message].join(" ");
    if (told === this.#lastTold) return;
    // A retry of a step that failed says no more than that it failed.
    if (!error && this.#lastTold.startsWith(`${generation} ${step} `)) return;
    this.#lastTold = told;
    await event("certificate", {
      step,
      generation,
      ...(rotation ? { reason: rotation.reason } : {}),
      ...(AFTER_SWITCH.includes(step) ? { serial: store.current.serial } : {}),
      ...(error ? { error: { ...error, message: error.message.slice(0, 1_000) } } : {}),
    });
  }
}
