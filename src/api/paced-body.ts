import type { Readable } from "node:stream";
import { AppError } from "../kernel/index.ts";

/** How slowly a body may come before it is ended. */
export interface BodyPace {
  /** Between two chunks. */
  idleMs: number;
  /** Over the time that was spent waiting, from `graceMs` on: a byte now and then is not enough. */
  bytesPerSecond: number;
  graceMs: number;
}

/** Slower than any line that images are sent over, quicker than what trickles to hold connections. */
export const BODY_PACE: BodyPace = { idleMs: 20_000, bytesPerSecond: 512, graceMs: 30_000 };

/**
 * A body as it arrives, ended with `invalid-request` where it comes too slowly. What came before is
 * the reader's, so that an upload goes on from there. Whoever stops reading can still answer.
 */
export async function* pacedBody(
  body: Readable,
  pace: BodyPace = BODY_PACE,
): AsyncGenerator<Uint8Array> {
  const slow = () =>
    body.destroy(new AppError("invalid-request", "the body comes too slowly; send the rest again"));
  let waitedMs = 0;
  let came = 0;
  let since = performance.now();
  let idle = setTimeout(slow, pace.idleMs);
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      clearTimeout(idle);
      waitedMs += performance.now() - since;
      came += (chunk as Uint8Array).length;
      if (waitedMs > pace.graceMs && came < (pace.bytesPerSecond * waitedMs) / 1000) slow();
      yield chunk as Uint8Array;
      // Time that the reader took is not the sender's.
      since = performance.now();
      idle = setTimeout(slow, pace.idleMs);
    }
  } finally {
    clearTimeout(idle);
  }
}
