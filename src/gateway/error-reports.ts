import { type Clock, isAppError } from "../kernel/index.ts";
import type { ErrorReport } from "../protocol/index.ts";
import type { GatewayPeer } from "./deps.ts";

/** What a module has made of a message's values. */
export interface Taken {
  accepted: number;
  rejectedCount: number;
  rejected: ErrorReport["rejected"];
}

interface Reporter {
  peer: GatewayPeer;
  reply(suffix: string, body: unknown): void;
}

/** Values that one report names; all are counted. */
const MAX_NAMED = 20;
const MAX_MESSAGE = 500;
/** What comes sooner is counted in the next report. */
const REPORT_EVERY_MS = 1_000;

/** Tells devices, on their own topic `errors`, which of their values were not stored, and why. */
export class ErrorReports {
  readonly #clock: Clock;
  /** By connection, and for no longer. */
  readonly #said = new WeakMap<GatewayPeer, { at: number; untold: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does the work, and tells of what it refused, whether in part or altogether. */
  async telling(reporter: Reporter, work: () => Promise<Taken>): Promise<void> {
    try {
      const taken = await work();
      if (taken.rejectedCount > 0) this.tell(reporter, taken);
    } catch (error) {
      const refused = isAppError(error) ? (error.details as Partial<Taken>) : {};
      const { rejected, rejectedCount } = refused;
      if (rejected && rejectedCount) this.tell(reporter, { accepted: 0, rejected, rejectedCount });
      throw error;
    }
  }

  /** Of a message of which nothing could be read; what `telling` has told is not told twice. */
  refused({ peer, reply }: Reporter, topic: string, error: unknown): void {
    if (!isAppError(error) || error.code !== "message-invalid") return;
    if ((error.details as Partial<Taken>).rejectedCount) return;
    const now = this.#clock.now();
    const said = this.#said.get(peer);
    if (said && now - said.at < REPORT_EVERY_MS) return;
    this.#said.set(peer, { at: now, untold: 0 });
    const report: ErrorReport = {
      ...{ topic, accepted: 0, rejectedCount: said?.untold ?? 0, rejected: [] },
      error: { code: error.code, message: error.message.slice(0, MAX_MESSAGE) },
    };
    reply("errors", report);
  }

  /** Of a message that has been taken in part. */
  tell({ peer, reply }: Reporter, taken: Taken): void {
    const now = this.#clock.now();
    const said = this.#said.get(peer);
    const rejectedCount = taken.rejectedCount + (said?.untold ?? 0);
    if (said && now - said.at < REPORT_EVERY_MS) {
      said.untold = rejectedCount;
      return;
    }
    this.#said.set(peer, { at: now, untold: 0 });
    const rejected = taken.rejected.slice(0, MAX_NAMED);
    const report: ErrorReport = {
      ...{ topic: "telemetry", accepted: taken.accepted },
      ...{ rejectedCount, rejected },
    };
    reply("errors", report);
  }
}
