import { isAscii } from "node:buffer";
import { decode as decodeCbor } from "cborg";
import type { Static, TSchema } from "typebox";
import * as Type from "typebox";
import { Compile, type Validator } from "typebox/schema";
import { AppError, LIMITS, messageOf } from "../kernel/index.ts";
import { BootChain } from "./boot-chain.ts";
import { UPDATE_PHASES } from "./update.ts";

/** Device time, milliseconds since the epoch. */
const Timestamp = Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 });
/** Rises with each message of a device; with the device's id it makes redelivery harmless. */
const Sequence = Type.Integer({ minimum: 0 });
const Traceparent = Type.String({ maxLength: 64 });

/** Firmware that is running, as found after the boot. */
export const RunningFirmware = Type.Object({
  version: Type.String({ maxLength: 64 }),
  hash: Type.String({ pattern: "^[0-9a-f]{64}$" }),
  slot: Type.String({ maxLength: 16 }),
});

/** One sample; values are checked one by one so that the good ones of a message are kept. */
export const TelemetrySample = Type.Object({
  ts: Timestamp,
  seq: Sequence,
  values: Type.Record(Type.String(), Type.Unknown()),
});

export const Heartbeat = Type.Object({
  ts: Timestamp,
  seq: Sequence,
  bootId: Type.String({ maxLength: 64 }),
  uptimeSeconds: Type.Number({ minimum: 0 }),
  firmware: RunningFirmware,
  metrics: Type.Optional(Type.Record(Type.String({ maxLength: 128 }), Type.Number())),
  /** The image in the other slot, so that the platform knows what a rollback costs. */
  otherSlot: Type.Optional(
    Type.Union([Type.Null(), Type.Object({ version: Type.String(), hash: Type.String() })]),
  ),
  /** Artifact formats that the agent can apply. */
  formats: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 16 })),
  /** What verified the start; told in the first heartbeats of a connection and when it changes. */
  bootChain: Type.Optional(BootChain),
  /** The device will not be heard for so long: it sleeps. The next heartbeat without it ends that. */
  sleepSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 604_800 })),
});

export const LogLine = Type.Object({
  ts: Timestamp,
  seq: Sequence,
  level: Type.Union(
    ["trace", "debug", "info", "warn", "error", "fatal"].map((level) => Type.Literal(level)),
  ),
  message: Type.String({ maxLength: LIMITS.logMessageLength }),
  logger: Type.Optional(Type.String({ maxLength: 128 })),
  traceparent: Type.Optional(Traceparent),
  attributes: Type.Optional(Type.Record(Type.String({ maxLength: 128 }), Type.Unknown())),
});

/** `boot`, `crash`, `self-test`, `fallback`, `certificate` and whatever else an application reports. */
export const DeviceEvent = Type.Object(
  {
    ts: Timestamp,
    seq: Sequence,
    type: Type.String({ minLength: 1, maxLength: 64 }),
    bootId: Type.Optional(Type.String({ maxLength: 64 })),
    firmware: Type.Optional(RunningFirmware),
    /** For `self-test`. */
    passed: Type.Optional(Type.Boolean()),
    reason: Type.Optional(Type.String({ maxLength: 256 })),
    message: Type.Optional(Type.String({ maxLength: 4096 })),
    traceparent: Type.Optional(Traceparent),
  },
  { additionalProperties: true },
);

export const CommandMessage = Type.Object({
  id: Type.String(),
  name: Type.String(),
  args: Type.Unknown(),
  /** Whoever gets it later does not begin it. */
  expiresAt: Timestamp,
  traceparent: Type.Union([Traceparent, Type.Null()]),
  /** Absent for the first; another attempt has an id of its own. */
  attempt: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Within so long after the delivery the platform wants to hear of it. */
  acceptedSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Within so long after that it has to be done. */
  runningSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
});

export const CommandResult = Type.Object({
  status: Type.Union(
    ["accepted", "running", "succeeded", "failed", "rejected"].map((status) =>
      Type.Literal(status),
    ),
  ),
  output: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.String({ maxLength: 4096 })),
  /** 0 to 1, while it runs. */
  progress: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  /** What it has written meanwhile, in numbered pieces; only the end of the whole is kept. */
  stream: Type.Optional(
    Type.Object({
      seq: Type.Integer({ minimum: 0, maximum: 2_147_483_646 }),
      text: Type.String({ maxLength: LIMITS.commandStreamPieceLength }),
    }),
  ),
});

/** Where the bytes of an update came from, as its device says. */
const BytesBySource = Type.Object({
  /** From the platform itself. */
  platform: Type.Integer({ minimum: 0 }),
  /** From the store to which the platform has sent the device. */
  store: Type.Integer({ minimum: 0 }),
  /** From a download cache of its site. */
  cache: Type.Integer({ minimum: 0 }),
});

export const UpdateState = Type.Object({
  updateId: Type.String({ maxLength: 64 }),
  phase: Type.Union(UPDATE_PHASES.map((phase) => Type.Literal(phase))),
  /** 0 to 1 within the phase. */
  progress: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  error: Type.Optional(
    Type.Object({
      phase: Type.String({ maxLength: 64 }),
      element: Type.String({ maxLength: 128 }),
      message: Type.String({ maxLength: 4096 }),
    }),
  ),
  /** A condition of the device's own, such as a maintenance window, that the phase waits for. */
  waitingFor: Type.Optional(
    Type.Object({
      element: Type.String({ maxLength: 128 }),
      message: Type.String({ maxLength: 4096 }),
    }),
  ),
  /** What runs after the boot; `succeeded` counts only with the target's hash here. */
  running: Type.Optional(RunningFirmware),
  bootId: Type.Optional(Type.String({ maxLength: 64 })),
  /** Which artifact was used and how many bytes it cost. */
  format: Type.Optional(Type.String({ maxLength: 32 })),
  bytesDownloaded: Type.Optional(Type.Integer({ minimum: 0 })),
  bytesBySource: Type.Optional(BytesBySource),
});

export type BytesBySource = Static<typeof BytesBySource>;
export type RunningFirmware = Static<typeof RunningFirmware>;
export type TelemetrySample = Static<typeof TelemetrySample>;
export type Heartbeat = Omit<Static<typeof Heartbeat>, "bootChain"> & { bootChain?: BootChain };
export type LogLine = {
  ts: number;
  seq: number;
  level: LogLevel;
  message: string;
  logger?: string;
  traceparent?: string;
  attributes?: Record<string, unknown>;
};
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal";
export type DeviceEvent = {
  ts: number;
  seq: number;
  type: string;
  bootId?: string;
  firmware?: RunningFirmware;
  passed?: boolean;
  reason?: string;
  message?: string;
  traceparent?: string;
  [attribute: string]: unknown;
};
export type CommandMessage = Static<typeof CommandMessage>;
export type CommandStatus = "accepted" | "running" | "succeeded" | "failed" | "rejected";
export type CommandResult = {
  status: CommandStatus;
  output?: unknown;
  error?: string;
  progress?: number;
  stream?: { seq: number; text: string };
};
export type UpdateState = {
  updateId: string;
  phase: (typeof UPDATE_PHASES)[number];
  progress?: number;
  error?: { phase: string; element: string; message: string };
  waitingFor?: { element: string; message: string };
  running?: RunningFirmware;
  bootId?: string;
  format?: string;
  bytesDownloaded?: number;
  bytesBySource?: BytesBySource;
};

const validators = new Map<TSchema, Validator>();

/** Checks `value` against a message schema; the refusal names the field. */
export function checkMessage(schema: TSchema, value: unknown): void {
  let validator = validators.get(schema);
  if (!validator) {
    validator = Compile(schema) as unknown as Validator;
    validators.set(schema, validator);
  }
  if (validator.Check(value)) return;
  const [, [first]] = validator.Errors(value);
  throw new AppError("message-invalid", `${first?.instancePath || "/"} ${first?.message ?? ""}`, {
    path: first?.instancePath || "/",
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Text of a payload; throws where it is no UTF-8. Nearly all are ASCII, which is quicker to see. */
function textOf(payload: Uint8Array): string {
  if (Buffer.isBuffer(payload) && isAscii(payload)) return payload.toString("latin1");
  return utf8.decode(payload);
}

/**
 * A payload as JSON or CBOR. The content type decides; without one, a first byte that cannot begin
 * JSON text means CBOR. Depth and size are bounded before anything looks inside.
 */
export function decodePayload(payload: Uint8Array, contentType?: string): unknown {
  if (payload.length === 0) throw new AppError("message-invalid", "the payload is empty");
  const cbor = contentType ? /\bcbor\b/i.test(contentType) : !startsJson(payload[0] as number);
  if (!cbor && payload.length > SMALL_BYTES) assertShallow(payload);
  let value: unknown;
  try {
    value = cbor
      ? decodeCbor(payload, { allowUndefined: false, rejectDuplicateMapKeys: true })
      : JSON.parse(textOf(payload));
  } catch (error) {
    // Both readers go as deep as the stack does.
    if (error instanceof RangeError) throw nestedTooDeeply();
    throw new AppError(
      "message-invalid",
      `the payload is not valid ${cbor ? "CBOR" : "JSON"}: ${messageOf(error)}`,
      {},
      { cause: error },
    );
  }
  assertDepth(value, LIMITS.jsonDepth);
  return value;
}

function startsJson(byte: number): boolean {
  // White space, and the first characters of every JSON value (RFC 8259 §2, §3).
  return byte < 0x80 && /[\s{["0-9tfn-]/.test(String.fromCharCode(byte));
}

/** What is smaller cannot be nested so deeply that it would take long to read. */
const SMALL_BYTES = 512;
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** Brackets within one another: a parser takes 25 ms for a message of nothing else. */
function assertShallow(payload: Uint8Array): void {
  let depth = 0;
  for (let at = 0; at < payload.length; at += 1) {
    const byte = payload[at] as number;
    if (byte === QUOTE) {
      at += 1;
      while (at < payload.length && payload[at] !== QUOTE) at += payload[at] === BACKSLASH ? 2 : 1;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      // What lies in the innermost of so many is refused or let in below, by what it is.
      if (depth > LIMITS.jsonDepth + 1) throw nestedTooDeeply();
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
}

function nestedTooDeeply(): AppError {
  return new AppError("message-invalid", "the payload is nested too deeply");
}

function assertDepth(value: unknown, remaining: number): void {
  if (remaining < 0) throw nestedTooDeeply();
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  // Without a list of the members: each message of each device comes along here.
  for (const key in value) assertDepth((value as Record<string, unknown>)[key], remaining - 1);
}
