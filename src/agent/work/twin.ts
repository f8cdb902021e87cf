import { messageOf } from "../../kernel/index.ts";
import {
  checkMessage,
  checkTwinDocument,
  type DesiredMessage,
  DesiredMessage as DesiredSchema,
  diffAsPatch,
  type JsonObject,
  mergePatch,
  type ReportedMessage,
} from "../../protocol/index.ts";
import { PublishRefused } from "../connection/publish-refused.ts";
import type { Storage } from "../ports.ts";
import {
  EMPTY_TWIN,
  readTwin,
  type TwinDocument,
  type Versioned,
  writeTwin,
} from "./twin-document.ts";

/** The part of a device that lives by what the platform wants of it. */
export interface TwinHandler {
  /**
   * Makes the device what it ought to be, and resolves with what it then is; nothing means that it is
   * just that. Rejects where it cannot be: it is then called with what was before. May be cut off
   * anywhere and called again.
   */
  apply(desired: JsonObject, version: number, signal: AbortSignal): Promise<JsonObject | undefined>;
}

export interface TwinDeps {
  storage: Storage;
  /** Absent: the device says that it lives by nothing. */
  handler: TwinHandler | undefined;
  life: AbortSignal;
  isConnected(): boolean;
  /** Resolves when the platform has it on disk. */
  publish(topic: string, payload: string): Promise<void>;
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
}

const MAX_FAULT = 1_000;

/**
 * Converges by version: what is wanted is on disk before it is tried, what was tried is known before
 * it is told, and whatever a power cut leaves is tried again at the next start. Only the platform's
 * acknowledgement counts as told; who is not sure of it tells all.
 */
export class Twin {
  readonly #deps: TwinDeps;
  #document: TwinDocument = EMPTY_TWIN;
  #writing: Promise<void> = Promise.resolve();
  #work: Promise<void> | undefined;
  #isAwaited = false;
  /** To be told though it is known: the platform takes us to be elsewhere. */
  #isAsked = false;
  /** The platform does not know the topic: it is asked again at the next connect. */
  #isRefused = false;

  constructor(deps: TwinDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    this.#document = await readTwin(this.#deps.storage);
    // What takes its time must not keep the device from its platform.
    this.#wake();
  }

  /** Resolves when it is on disk; what comes of it follows, and keeps no other message waiting. */
  async receive(message: unknown): Promise<void> {
    await this.#take(message);
    this.#wake();
  }

  /** The application says more about the device: a merge patch (RFC 7396). */
  async report(patch: JsonObject): Promise<void> {
    const told = mergePatch(this.#document.told, patch) as JsonObject;
    checkTwinDocument(told, "what the application reports");
    await this.#change({ told });
    this.#wake();
  }

  connected(): void {
    this.#isRefused = false;
    this.#wake();
  }

  status(): { desired: number; applied: number; fault: string | null } {
    const { held, applied, fault } = this.#document;
    return { desired: held.version, applied: applied.version, fault: fault?.message ?? null };
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#work;
  }

  /** Calls while work is under way are answered by one more look. */
  #wake(): void {
    this.#isAwaited = true;
    const { life, log } = this.#deps;
    this.#work ??= this.#workOn()
      .catch((error) => {
        if (!life.aborted) log("error", `the twin: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#work = undefined;
      });
  }

  async #workOn(): Promise<void> {
    while (this.#isAwaited) {
      this.#isAwaited = false;
      const { held, applied, fault } = this.#document;
      const isTried = fault?.version === held.version;
      if (held.version !== applied.version && !isTried) await this.#try(held, applied);
      await this.#tell();
    }
  }

  async #take(message: unknown): Promise<void> {
    try {
      checkMessage(DesiredSchema, message);
    } catch (error) {
      this.#deps.log("warn", `what is desired cannot be read: ${messageOf(error)}`);
      return;
    }
    const { version, from, patch, reportedVersion } = message as DesiredMessage;
    const { held, acknowledged } = this.#document;
    // The platform stands elsewhere, as after a lost acknowledgement or a restored backup.
    const isKnown = acknowledged !== null && acknowledged.version === reportedVersion;
    const changes: Partial<TwinDocument> = isKnown ? {} : { acknowledged: null };
    if (version > held.version && (from === 0 || from === held.version)) {
      const properties = mergePatch(from === 0 ? {} : held.properties, patch) as JsonObject;
      await this.#change({ ...changes, held: { version, properties } });
      return;
    }
    // Said without being asked, since the platform takes us to be elsewhere: it then sends all.
    if (version !== held.version) this.#isAsked = true;
    if (!isKnown && acknowledged) await this.#change(changes);
  }

  async #try(held: Versioned, before: Versioned): Promise<void> {
    const { handler, life, log } = this.#deps;
    try {
      if (!handler) throw new Error("this device has nothing that lives by a twin");
      const found = await handler.apply(held.properties, held.version, life);
      life.throwIfAborted();
      await this.#change({ applied: held, fault: null, found: found ?? held.properties });
      log("info", `what is desired, version ${held.version}, is in force`);
    } catch (error) {
      life.throwIfAborted();
      const message = messageOf(error).slice(0, MAX_FAULT);
      log("warn", `version ${held.version} of what is desired is not in force: ${message}`);
      // First the way back, then the word about it: a cut between the two repeats both.
      if (handler) await this.#goBack(handler, before);
      await this.#change({ fault: { version: held.version, message } });
    }
  }

  async #goBack(handler: TwinHandler, before: Versioned): Promise<void> {
    const { life, log } = this.#deps;
    try {
      await handler.apply(before.properties, before.version, life);
    } catch (error) {
      life.throwIfAborted();
      log("error", `version ${before.version} does not come back: ${messageOf(error)}`);
    }
  }

  /** Tells what the platform does not know for sure; nothing where there is nothing. */
  async #tell(): Promise<void> {
    const { isConnected, publish, log, life } = this.#deps;
    if (this.#isRefused || !isConnected()) return;
    const message = this.#news(this.#isAsked);
    this.#isAsked = false;
    if (!message) return;
    const { held, applied, fault } = this.#document;
    const properties = this.#properties();
    // Before it is sent: a version once used is never used for another content.
    await this.#change({ reportedVersion: message.version });
    try {
      await publish("reported", JSON.stringify(message));
    } catch (error) {
      life.throwIfAborted();
      this.#isRefused = error instanceof PublishRefused;
      log("debug", `what the device is was not told: ${messageOf(error)}`);
      // It may have arrived all the same.
      await this.#change({ acknowledged: null });
      return;
    }
    const known = { held: held.version, applied: applied.version, fault: fault?.version ?? null };
    await this.#change({ acknowledged: { version: message.version, properties, ...known } });
  }

  #news(always: boolean): ReportedMessage | undefined {
    const { held, applied, fault, acknowledged, reportedVersion } = this.#document;
    const properties = this.#properties();
    const isNothing = held.version === 0 && Object.keys(properties).length === 0;
    if (isNothing && !always) return undefined;
    const patch = acknowledged ? diffAsPatch(acknowledged.properties, properties) : properties;
    const isKnown =
      acknowledged !== null &&
      Object.keys(patch).length === 0 &&
      acknowledged.held === held.version &&
      acknowledged.applied === applied.version &&
      acknowledged.fault === (fault?.version ?? null);
    if (isKnown && !always) return undefined;
    return {
      version: reportedVersion + 1,
      from: acknowledged?.version ?? 0,
      patch,
      desiredVersion: held.version,
      appliedVersion: applied.version,
      ...(fault ? { fault } : {}),
    };
  }

  #properties(): JsonObject {
    return mergePatch(this.#document.found, this.#document.told) as JsonObject;
  }

  /** In memory at once, on disk in the order of the changes; resolves when it is there. */
  #change(changes: Partial<TwinDocument>): Promise<void> {
    const next = { ...this.#document, ...changes };
    this.#document = next;
    const written = this.#writing.then(() => writeTwin(this.#deps.storage, next));
    this.#writing = written.catch(() => {
      // Whoever waits for it hears of it.
    });
    return written;
  }
}
