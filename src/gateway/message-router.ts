import { AppError } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import { withSpan } from "../kernel/tracing.ts";
import {
  type CommandResult,
  CommandResult as CommandResultSchema,
  checkMessage,
  type DeviceEvent,
  type DeviceIdentity,
  type DevicePublish,
  decodePayload,
  type Heartbeat,
  Heartbeat as HeartbeatSchema,
  type ReportedMessage,
  ReportedMessage as ReportedMessageSchema,
  type UpdateState,
  UpdateState as UpdateStateSchema,
} from "../protocol/index.ts";
import { confirmCertificate, recordRotation, renewCertificate } from "./certificates.ts";
import type { GatewayDeps, GatewayPeer, OfferedMessage } from "./deps.ts";
import { ErrorReports, type Taken } from "./error-reports.ts";
import { incidentsOf } from "./incidents.ts";

type RouterDeps = Pick<
  GatewayDeps,
  "identity" | "devices" | "commands" | "telemetry" | "logs" | "rollouts" | "tenancy" | "clock"
>;

/** A message of a device whose topic has been found to be its own. */
export interface InboundMessage {
  peer: GatewayPeer;
  publish: DevicePublish;
  payload: Uint8Array;
  contentType: string | undefined;
  traceparent: string | undefined;
  receivedAt: number;
  /** Sends the device something in return, if it is still there and listens. */
  reply(suffix: string, body: unknown): void;
  /** Tells the device all that it ought to be; absent where it is not there (a will). */
  resendDesired?(): void;
  /** Bytes of the connection up to now; absent where none is left (a will). */
  traffic?: { received: number; sent: number };
  /** It is part of what its tenant has used: a message that is tried again counts once. */
  isCounted?: boolean;
}

const HEARTBEAT_BATCH = { maxBatchSize: 500, maxDelayMs: 20, maxQueuedSize: 20_000 };

/** Kinds that may overtake one another on their way: each of their rows carries its own order. */
export function isUnordered(publish: DevicePublish): boolean {
  return publish.kind === "telemetry" || publish.kind === "logs";
}

/**
 * What is taken of a device in quarantine: what it needs to renew its certificate and to be updated
 * and to be watched meanwhile. Its measurements, logs and results are not believed.
 */
export function isTakenInQuarantine({ kind }: DevicePublish): boolean {
  return IN_QUARANTINE.includes(kind);
}

const IN_QUARANTINE: readonly DevicePublish["kind"][] = [
  "heartbeat",
  "events",
  "update-state",
  "certificate-request",
  "certificate-confirm",
];

/** Hands a message to the module that keeps it; resolves when what it carried is durable. */
export class MessageRouter {
  readonly #deps: RouterDeps;
  readonly #errors: ErrorReports;
  readonly #heartbeats: KeyedBatcher<Parameters<RouterDeps["devices"]["recordHeartbeats"]>[0][0]>;

  constructor(deps: RouterDeps) {
    this.#deps = deps;
    this.#errors = new ErrorReports(deps.clock);
    this.#heartbeats = new KeyedBatcher({
      ...HEARTBEAT_BATCH,
      write: (_tenantId, records) => deps.devices.recordHeartbeats(records),
    });
  }

  /** Throws `message-invalid`, `not-found`, `topic-refused` or `unavailable`; of the first the device is told. */
  async route(message: InboundMessage): Promise<void> {
    try {
      await this.#route(message);
    } catch (error) {
      this.#errors.refused(message, topicOf(message.publish), error);
      throw error;
    }
  }

  async #route(message: InboundMessage): Promise<void> {
    const { peer, publish, receivedAt } = message;
    const { telemetry, logs, tenancy } = this.#deps;
    const usage = tenancy?.usage;
    const { tenantId } = peer;
    if (!message.isCounted) {
      // What keeps a device and its update safe is counted and never refused.
      if (isBounded(publish.kind)) usage?.assertWithin(tenantId, "messages", "bytes");
      usage?.count(tenantId, "messages");
      usage?.count(tenantId, "bytes", message.payload.length);
      message.isCounted = true;
    }
    const body = decodePayload(message.payload, message.contentType);
    switch (publish.kind) {
      case "telemetry":
        usage?.assertWithin(tenantId, "points");
        return this.#errors.telling(message, async () => {
          const taken = await telemetry.ingestTelemetry(peer, body, receivedAt);
          usage?.count(tenantId, "points", taken.accepted);
          return taken;
        });
      case "logs":
        await logs.ingestDeviceLogs(peer, body, receivedAt);
        return;
      case "heartbeat":
        checkMessage(HeartbeatSchema, body);
        return this.#heartbeat(message, body as Heartbeat);
      case "events":
        return this.#events(peer, body, receivedAt);
      case "update-state":
        checkMessage(UpdateStateSchema, body);
        return this.#updateState(message, body as UpdateState);
      case "command-result":
        checkMessage(CommandResultSchema, body);
        return this.#commandResult(message, publish.commandId, body as CommandResult);
      case "certificate-request":
        return renewCertificate(this.#deps.identity.rotation, message, body);
      case "certificate-confirm":
        return confirmCertificate(this.#deps.identity.rotation, message, body);
      case "reported":
        checkMessage(ReportedMessageSchema, body);
        return this.#reported(message, body as ReportedMessage);
    }
  }

  /**
   * Telemetry as it came: most of it is in a batch when this returns, and durable when that is. What
   * cannot be taken at once is under way; what cannot be taken at all is thrown, as `route` does.
   */
  offer(
    peer: GatewayPeer,
    payload: Uint8Array,
    contentType: string | undefined,
    receivedAt: number,
  ): OfferedMessage | Promise<Taken> {
    const { telemetry, tenancy } = this.#deps;
    const usage = tenancy?.usage;
    const { tenantId } = peer;
    usage?.assertWithin(tenantId, "messages", "bytes", "points");
    usage?.count(tenantId, "messages");
    usage?.count(tenantId, "bytes", payload.length);
    return telemetry.offerTelemetry(peer, payload, contentType, receivedAt);
  }

  /** Waits for what `offer` has begun with a message, and tells its device what was refused of it. */
  finish(message: InboundMessage, offered: Promise<Taken>): Promise<void> {
    const told = this.#errors.telling(message, async () => {
      const taken = await offered;
      this.settled(message.peer, taken.accepted);
      return taken;
    });
    told.catch((error) => this.#errors.refused(message, topicOf(message.publish), error));
    return told;
  }

  /** So many points that were offered are durable. */
  settled({ tenantId }: GatewayPeer, points: number): void {
    this.#deps.tenancy?.usage?.count(tenantId, "points", points);
  }

  /** Tells a device what of a message that is durable was refused. */
  tell(reporter: Pick<InboundMessage, "peer" | "reply">, taken: Taken): void {
    this.#errors.tell(reporter, taken);
  }

  /** Writes what is queued. */
  flush(): Promise<void> {
    return this.#heartbeats.flush();
  }

  async #heartbeat(message: InboundMessage, heartbeat: Heartbeat): Promise<void> {
    const { peer, receivedAt, traffic } = message;
    const { tenantId, deviceId } = peer;
    // The platform counts what a device takes of the line, so that no device has to.
    const counted = traffic && { bytes_received: traffic.received, bytes_sent: traffic.sent };
    await Promise.all([
      this.#deps.telemetry.ingestHeartbeat(peer, heartbeat, receivedAt, counted),
      this.#heartbeats.add(tenantId, { tenantId, deviceId, heartbeat, receivedAt }),
    ]);
    await this.#deps.rollouts.recordHeartbeat(peer, heartbeat, receivedAt);
  }

  async #events(peer: DeviceIdentity, body: unknown, receivedAt: number): Promise<void> {
    await this.#deps.telemetry.ingestEvents(peer, body, receivedAt);
    const events = (Array.isArray(body) ? body : [body]) as DeviceEvent[];
    await recordRotation(this.#deps.identity.rotation, peer, events);
    const incidents = incidentsOf(peer, events);
    // Durable is enough: rollouts count each of them once, in their own time.
    if (incidents.length > 0) await this.#deps.devices.recordIncidents(incidents);
  }

  #updateState(message: InboundMessage, state: UpdateState): Promise<void> {
    const attributes = { ...spanAttributes(message.peer), "vautn.update.phase": state.phase };
    return withSpan(
      "device.update-state",
      attributes,
      async () => {
        await this.#deps.rollouts.recordUpdateState(message.peer, state, message.receivedAt);
      },
      { parent: message.traceparent },
    );
  }

  async #reported(message: InboundMessage, body: ReportedMessage): Promise<void> {
    const { twins } = this.#deps.devices;
    if (!twins) throw new AppError("topic-refused", "reported is not served by this platform");
    if (await twins.record(message.peer, body)) message.resendDesired?.();
  }

  #commandResult(message: InboundMessage, id: string, result: CommandResult): Promise<void> {
    const attributes = { ...spanAttributes(message.peer), "vautn.command.status": result.status };
    return withSpan(
      "device.command-result",
      attributes,
      () => this.#deps.commands.recordResult(message.peer, id, result),
      { parent: message.traceparent },
    );
  }
}

/** Below the device's prefix. */
function topicOf(publish: DevicePublish): string {
  if (publish.kind === "command-result") return `commands/${publish.commandId}/result`;
  return SUFFIXES[publish.kind] ?? publish.kind;
}

const SUFFIXES: Partial<Record<DevicePublish["kind"], string>> = {
  "update-state": "update/state",
  "certificate-request": "certificate/request",
  "certificate-confirm": "certificate/confirm",
};

function isBounded(kind: InboundMessage["publish"]["kind"]): boolean {
  return kind === "telemetry" || kind === "logs" || kind === "events";
}

/** What every span about a device carries; by the tenant it is found again. */
export function spanAttributes(peer: DeviceIdentity): Record<string, string> {
  return { "vautn.tenant": peer.tenantId, "vautn.device": peer.deviceId };
}
