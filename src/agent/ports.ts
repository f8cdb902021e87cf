import type {
  BytesBySource,
  IssuedCertificate,
  JsonObject,
  RunningFirmware,
} from "../protocol/index.ts";

/**
 * Everything through which the agent touches the world. A platform is ported by writing these few
 * interfaces; a simulation is made by writing them with faults.
 */

/** An open file. Written bytes survive a power cut only after `sync` has resolved. */
export interface StorageFile {
  sizeBytes(): Promise<number>;
  /** Exactly `length` bytes, or fewer where the file ends; they may be the beginning of `into`. */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * One flat folder. `rename` and `remove` are atomic, and survive a power cut only after
 * `syncDirectory`; before that either state may be found.
 */
export interface Storage {
  /** Opens for reading and writing; makes the file if it is not there. */
  open(name: string): Promise<StorageFile>;
  read(name: string): Promise<Uint8Array | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** Nothing happens where there is no such file. */
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
  syncDirectory(): Promise<void>;
}

export const SLOT_NAMES = ["a", "b"] as const;
export type SlotName = (typeof SLOT_NAMES)[number];

export function otherSlot(slot: SlotName): SlotName {
  return slot === "a" ? "b" : "a";
}

/** The two places for an image. */
export interface Slots {
  readonly capacityBytes: number;
  open(slot: SlotName): Promise<StorageFile>;
}

/** What the bootloader tells about the present boot. */
export interface BootStatus {
  running: SlotName;
  /** The running slot is on trial: without `bless` its tries run out. */
  trial: boolean;
  /** A slot whose trial ended without `bless`; forgotten at the next `tryNext`. */
  abandoned: SlotName | null;
  resetCause: "power-on" | "software" | "watchdog";
}

/** A/B selection with a boot counter. Every method is durable when it resolves. */
export interface Bootloader {
  status(): Promise<BootStatus>;
  /** From the next boot on `slot` is tried, `tries` times at most. */
  tryNext(slot: SlotName, tries: number): Promise<void>;
  /** The running slot becomes the one that is booted for good. */
  bless(): Promise<void>;
  /** Ends the trial: the next boot takes the slot that was blessed last. */
  abandonTrial(): Promise<void>;
}

export interface PublishOptions {
  traceparent?: string | null | undefined;
}

/** A live connection to the platform; topics are suffixes below the device's own prefix. */
export interface Session {
  /** Resolves with the acknowledgement (QoS 1): the platform has it on disk. */
  publish(topic: string, payload: string, options?: PublishOptions): Promise<void>;
  close(): Promise<void>;
}

export interface SessionHandlers {
  /** The platform counts the message as delivered when the promise resolves. */
  onMessage(topic: string, payload: Uint8Array): Promise<void>;
  /** Called once, when the connection is gone for whatever reason. */
  onClose(reason: string): void;
}

/** PEM texts: the device's key and chain, and the only roots that a server may have. */
export interface TlsCredentials {
  key: string;
  certificate: string;
  root: string;
}

export interface ConnectOptions {
  /** What to prove oneself by; the transport's own where absent. */
  credentials?: TlsCredentials;
  /** Only what has to do with certificates is subscribed to. */
  certificatesOnly?: boolean;
}

export interface Transport {
  /**
   * Connects and subscribes to what the platform sends; rejects when that fails, with
   * `IdentityRefused` where the certificate is not accepted or is good for its renewal only.
   */
  connect(
    handlers: SessionHandlers,
    signal: AbortSignal,
    options?: ConnectOptions,
  ): Promise<Session>;
}

/** The way to the next certificate besides MQTT: EST's simplereenroll (RFC 7030 §4.2.2). */
export interface Reenrolment {
  /** `csr` is PKCS#10 in DER. Rejects with `ReenrolmentRefused` where the platform has answered. */
  reenroll(
    csr: Uint8Array,
    credentials: TlsCredentials,
    signal: AbortSignal,
  ): Promise<IssuedCertificate>;
}

export interface ArtifactResponse {
  /** HTTP status: 200 from the start, 206 from `offset`. */
  status: number;
  body: AsyncIterable<Uint8Array>;
  /** Whose bytes these are; the platform's where it is not said. */
  servedBy?: ArtifactServer;
  /** When the server wants to be asked again, where it says so. */
  retryAfterSeconds?: number;
}

export type ArtifactServer = keyof BytesBySource;

export interface ArtifactSource {
  /** GET with `Range: bytes=<offset>-` (none at offset 0); by `credentials` where they are given. */
  fetch(
    url: string,
    offset: number,
    signal: AbortSignal,
    credentials?: TlsCredentials,
  ): Promise<ArtifactResponse>;
  /** What came was not what the name promised: it is to come from elsewhere, where there is one. */
  distrust?(): void;
}

export interface SelfTestResult {
  passed: boolean;
  element?: string;
  message?: string;
}

/** What an application may tell and ask while it runs. */
export interface ApplicationContext {
  firmware: RunningFirmware;
  bootId: string;
  telemetry(values: Record<string, number>): void;
  log(
    level: "trace" | "debug" | "info" | "warn" | "error" | "fatal",
    message: string,
    attributes?: Record<string, unknown>,
    /** Where the line was found: in the machine's own log it is not written again. */
    origin?: "machine-log",
  ): void;
  event(type: string, attributes?: Record<string, unknown>): void;
  /** Says what the device is: a merge patch (RFC 7396) on its reported properties. */
  report(patch: JsonObject): void;
  /**
   * Tells that the device will sleep for so many seconds, a week at most, so that nobody misses it.
   * Resolves when the platform knows, and the machine may be put to sleep; rejects without a connection.
   */
  sleep(seconds: number): Promise<void>;
  /** The application has crashed and was started again. */
  crashed(reason: string, message: string): void;
}

/** The firmware's own work beside the agent. */
export interface Application {
  start(context: ApplicationContext): Promise<void>;
  stop(): Promise<void>;
  selfTest(signal: AbortSignal): Promise<SelfTestResult>;
  /** Figures for the heartbeat. */
  metrics(): Record<string, number>;
}

/** Restarts the machine. The agent does nothing more after it has called this. */
export type Reboot = (reason: "update" | "fallback" | "command") => void;
