import type { PatchCheckpoint } from "../delta/index.ts";
import type { Clock } from "../kernel/index.ts";
import type {
  Assignment,
  BytesBySource,
  CommandResult,
  Envelope,
  UpdateState,
} from "../protocol/index.ts";
import { readDocument, writeDocument } from "./offline/atomic-file.ts";
import type { SlotName, Storage } from "./ports.ts";
import type { LogLevelState } from "./work/log-level.ts";
import { rememberedCommands } from "./work/remembered-commands.ts";

/** Where an update stands; kept on disk before the step that it names is begun. */
export interface ActiveUpdate {
  assignment: Envelope<Assignment>;
  phase: "downloading" | "installing" | "rebooting" | "confirming";
  /** Trusted time at which the phase began, for its deadline. */
  phaseStartedAt: number;
  targetSlot: SlotName;
  /** SHA-256 of the offer being fetched or applied, null before one is chosen. */
  offer: string | null;
  /** Offers that did not work, and why. */
  failedOffers: { sha256: string; element: string; message: string }[];
  /** Bytes of `offer` that are synced in the staging file. */
  stagedBytes: number;
  /** How far `offer` has been applied to the target slot, all of it synced; null before. */
  applied: PatchCheckpoint | null;
  /** The further files of the release, in the order in which they are taken into use. */
  components: ComponentState[];
  /** How often they were taken into use while the image stayed as it was. */
  attempts: number;
  /** A condition holds it up: the phase's time begins anew when it goes on. */
  waiting: boolean;
  /** Bytes fetched for this update in all. */
  bytesDownloaded: number;
  /** Of them from where; absent in what an older agent has begun. */
  bytesBySource?: BytesBySource;
  /** Found wrong before the fall-back; reported after it. */
  fault: { phase: string; element: string; message: string } | null;
}

/**
 * `same`: in use already. A component is `active` before it is taken into use, so that a power cut
 * in the middle is followed by a repetition or by a way back. `kept`: tested and good, decided before
 * the first is confirmed, so that nothing that interrupts the confirmations leads back.
 */
export interface ComponentState {
  component: string;
  sha256: string;
  stagedBytes: number;
  state: "wanted" | "same" | "fetched" | "staged" | "active" | "kept";
}

export interface RememberedCommand {
  id: string;
  name: string;
  expiresAt: number;
  traceparent: string | null;
  /** Null while it is being carried out. */
  result: CommandResult | null;
  /** The platform has acknowledged `result`. */
  delivered: boolean;
  /** Trusted time at which it was taken; unknown of those that an older agent took. */
  beganAt?: number | undefined;
}

/** All that the agent must know again after a restart. */
export interface AgentState {
  version: 1;
  /** Highest sequence among accepted assignments. */
  lastSequence: number;
  securityFloor: number;
  /** Latest time that was ever seen, in milliseconds since the epoch: time never runs back. */
  highestTimeMs: number;
  /** Message sequence numbers below this may have been used. */
  reservedSequence: number;
  update: ActiveUpdate | null;
  /** The last update that ended, to answer a repeated assignment. */
  lastUpdate: { sequence: number; state: UpdateState } | null;
  /** Ends of updates that the platform has not acknowledged yet, oldest first. */
  unreported: UpdateState[];
  commands: RememberedCommand[];
  /** Why the agent asked for the restart that comes next. */
  restart: { reason: "update" | "fallback" | "command"; commandId: string | null } | null;
  logLevel: LogLevelState["logLevel"];
  logLevelReverts: LogLevelState["logLevelReverts"];
}

const MAX_UNREPORTED = 16;
const FILE = "state.json";

export function initialState(): AgentState {
  return {
    version: 1,
    lastSequence: 0,
    securityFloor: 0,
    highestTimeMs: 0,
    reservedSequence: 0,
    update: null,
    lastUpdate: null,
    unreported: [],
    commands: [],
    restart: null,
    logLevel: "info",
    logLevelReverts: null,
  };
}

const FIRST_FIELDS: Partial<ActiveUpdate> = {
  ...{ applied: null, components: [], attempts: 0, waiting: false },
};

/** The state document: changed in memory and on disk together, one change at a time. */
export class StateStore {
  readonly #storage: Storage;
  readonly #clock: Clock;
  #current: AgentState;
  #provedTimeMs = 0;
  #writing: Promise<void> = Promise.resolve();
  /** The document on disk was not what had been written. */
  readonly wasDamaged: boolean;

  private constructor(storage: Storage, clock: Clock, current: AgentState, wasDamaged: boolean) {
    this.#storage = storage;
    this.#clock = clock;
    this.#current = current;
    this.wasDamaged = wasDamaged;
  }

  static async load(storage: Storage, clock: Clock): Promise<StateStore> {
    const found = await readDocument(storage, FILE);
    const document = found && found !== "damaged" ? (found.document as Partial<AgentState>) : {};
    const { update = null } = document;
    const current = {
      ...initialState(),
      ...document,
      // An update that an older agent had begun.
      update: update && { ...FIRST_FIELDS, ...(update as object as ActiveUpdate) },
    };
    return new StateStore(storage, clock, current, found === "damaged");
  }

  /** The clock's time, but never earlier than the latest that was written down. */
  trustedNow(): number {
    return Math.max(this.#clock.now(), this.#current.highestTimeMs);
  }

  /** A time that somebody trusted has signed: it was at least so late. */
  proveTime(timeMs: number): void {
    if (Number.isFinite(timeMs)) this.#provedTimeMs = Math.max(this.#provedTimeMs, timeMs);
  }

  get current(): Readonly<AgentState> {
    return this.#current;
  }

  /** Makes `change` durable; afterwards, and only then, `current` shows it. */
  update(change: (state: AgentState) => AgentState): Promise<void> {
    const written = this.#writing.then(async () => {
      const highestTimeMs = risenTo(
        this.#current.highestTimeMs,
        this.#clock.now(),
        this.#provedTimeMs,
      );
      const next = bounded({ ...change(this.#current), highestTimeMs });
      await writeDocument(this.#storage, FILE, next);
      this.#current = next;
    });
    this.#writing = written.catch(() => {});
    return written;
  }
}

/** A clock may be off, but one that has leapt so far is not believed on its own word. */
const MAX_LEAP_MS = 2 * 86_400_000;

/**
 * What is written down as the latest time ever seen. A clock that leaps years ahead (a bad battery, a
 * bad time server) must not make everything signed look expired for ever: beyond two days only
 * a signed time counts. A device that lay in a store for years thus learns the time from its platform.
 */
function risenTo(highestMs: number, clockMs: number, provedMs: number): number {
  const highest = Math.max(highestMs, provedMs);
  const isBelieved = highest === 0 || clockMs - highest <= MAX_LEAP_MS;
  return isBelieved ? Math.max(highest, clockMs) : highest;
}

function bounded(state: AgentState): AgentState {
  return {
    ...state,
    commands: rememberedCommands(state.commands, state.highestTimeMs),
    unreported: state.unreported.slice(-MAX_UNREPORTED),
  };
}
