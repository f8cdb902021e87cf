import type { GatewayPeer, StandingChange } from "./deps.ts";

const KEPT = 1_000;

/**
 * The changes of standing that have come of late: who was let in by an answer of before one of them is
 * asked again, but nobody whom it does not concern. A wave of rotations revokes certificates all the time.
 */
export class StandingLog {
  #changes: StandingChange[] = [];
  #forgotten = 0;

  /** Where the log ends now, for `hasConcerned`. */
  get position(): number {
    return this.#forgotten + this.#changes.length;
  }

  add(change: StandingChange): void {
    this.#changes.push(change);
    if (this.#changes.length < 2 * KEPT) return;
    this.#forgotten += this.#changes.length - KEPT;
    this.#changes = this.#changes.slice(-KEPT);
  }

  /** Whether a change since `position` may be one of this peer's; true where too many have come to know. */
  hasConcerned(peer: GatewayPeer, position: number): boolean {
    if (position < this.#forgotten) return true;
    return this.#changes
      .slice(position - this.#forgotten)
      .some(
        ({ tenantId, deviceId, serial }) =>
          tenantId === peer.tenantId &&
          (deviceId === undefined || deviceId === peer.deviceId) &&
          (serial === undefined || serial === peer.serial),
      );
  }
}
