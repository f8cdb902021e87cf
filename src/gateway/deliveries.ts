import { isSpanContextValid, type Span, SpanKind } from "@opentelemetry/api";
import type { FreshCommand } from "../commands/index.ts";
import type { Twin } from "../devices/index.ts";
import { isAppError, messageOf } from "../kernel/index.ts";
import { LazySet } from "../kernel/lazy-collections.ts";
import { currentTraceparent, formatTraceparent, withSpan } from "../kernel/tracing.ts";
import { type CommandMessage, type DesiredMessage, deviceTopic } from "../protocol/index.ts";
import type { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import { deliveriesTotal } from "./gateway-metrics.ts";
import { spanAttributes } from "./message-router.ts";
import type { OutboundResult } from "./outbound.ts";
import { OwnMessages } from "./own-messages.ts";
import type { RetainedFor } from "./retained.ts";

export type DeliveryKind = "command" | "update" | "trust" | "authorities" | "twin";

const RETRY_MS = 2_000;

/**
 * Brings a connected device what waits for it in the database: commands in their order, the
 * assignment of its update, what it ought to be, new trust roots, and by whom certificates are issued. What a device has
 * not acknowledged is still waiting when it comes back.
 */
export class Deliveries {
  readonly #connection: Connection;
  readonly #context: GatewayContext;
  /** What the device has published itself, on its way back to it. */
  readonly own: OwnMessages;
  readonly #pending = new LazySet<DeliveryKind>();
  /** Commands that this connection has sent and that are not yet known to be delivered. */
  readonly #sent = new LazySet<string>();
  /** Those of them that have become known: a query that began earlier may still show them. */
  readonly #settled = new LazySet<string>();
  #running = false;
  /** Whether something may wait in the queue that this connection has not sent. */
  #moreCommands = true;
  /** The newest command that this connection knows of, by its place in the queue. */
  #newestCommand = -1;
  #lastSequence = -1;
  #lastAuthorities = "";
  /** The desired version that this connection has sent; null before it has sent any. */
  #lastDesired: number | null = null;
  /** The first root is the one that devices are provisioned with. */
  #lastTrustRoot = 1;

  constructor(connection: Connection, context: GatewayContext) {
    this.#connection = connection;
    this.#context = context;
    this.own = new OwnMessages(connection);
  }

  /** Something may wait. Calls while it is being looked for are answered by one more look. */
  wake(kind: DeliveryKind): void {
    this.#pending.add(kind);
    if (!this.#running) void this.#run();
  }

  /**
   * A command has just been queued. It is sent at once where nothing can stand before it: the queue
   * has been looked through, and what waited before it is known here. Otherwise the queue is asked.
   */
  hear({ command, seq, ahead, until }: FreshCommand): void {
    const { outbound, isQuarantined } = this.#connection;
    const isNext =
      !this.#running &&
      !this.#moreCommands &&
      !this.#pending.has("command") &&
      (ahead === null || ahead <= this.#newestCommand) &&
      seq > this.#newestCommand;
    const mayBeSent =
      isNext && !isQuarantined && outbound.free > 0 && this.#context.deps.clock.now() < until;
    if (!mayBeSent || !this.#listens("commands")) {
      this.wake("command");
      return;
    }
    this.#newestCommand = seq;
    this.#sent.add(command.id);
    void this.#sendCommand(command);
  }

  /** The device has acknowledged something: there may be room for what waits. */
  goOn(): void {
    this.own.drain();
    if (this.#moreCommands && this.#connection.isOpen && this.#connection.outbound.free > 0) {
      this.wake("command");
    }
  }

  /** Retained messages for new subscriptions; a failure is as if there were none. */
  sendRetained(wanted: readonly RetainedFor[]): void {
    this.own.sendRetained(wanted).catch((error) => {
      const { logger } = this.#context.deps;
      logger.warn({ error: messageOf(error) }, "retained messages could not be read");
    });
  }

  /** Answers a message of the device. What it does not get it asks for again. */
  reply(suffix: string, body: unknown): void {
    if (!this.#connection.isOpen || this.#connection.outbound.free <= 0) return;
    void this.#send(suffix, JSON.stringify(body), currentTraceparent());
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#pending.size > 0 && this.#connection.isOpen) {
      const [kind] = this.#pending as Iterable<DeliveryKind> as [DeliveryKind];
      this.#pending.delete(kind);
      try {
        if (kind === "command") await this.#sendCommands();
        else if (kind === "update") await this.#sendUpdate();
        else if (kind === "trust") await this.#sendTrustRoots();
        else if (kind === "twin") await this.#sendDesired();
        else await this.#sendAuthorities();
      } catch (error) {
        this.#retry(kind, error);
      }
    }
    this.#running = false;
  }

  async #sendCommands(): Promise<void> {
    const { peer, outbound } = this.#connection;
    // A device in quarantine is given no orders: they wait, or expire.
    if (this.#connection.isQuarantined) return;
    if (!this.#listens("commands") || outbound.free <= 0) {
      this.#moreCommands = true;
      return;
    }
    for (const id of this.#settled) this.#sent.delete(id);
    this.#settled.clear();
    const { resumable } = outbound;
    const limit = this.#sent.size + outbound.free + resumable.size;
    const { commands } = this.#context.deps;
    this.#moreCommands = true;
    const waiting = await commands.undelivered(peer.tenantId, peer.deviceId, limit);
    this.#moreCommands = waiting.length >= limit;
    // What has expired, or was taken back, is not sent again, though its sending had begun.
    const queued = new Set(waiting.map(({ id }) => id));
    for (const id of resumable) if (!queued.has(id)) outbound.forget(id);
    for (const { seq, ...command } of waiting) {
      this.#newestCommand = Math.max(this.#newestCommand, seq);
      if (this.#sent.has(command.id)) continue;
      if (outbound.free <= 0 || !this.#connection.isOpen) {
        this.#moreCommands = true;
        return;
      }
      this.#sent.add(command.id);
      void this.#sendCommand(command);
    }
  }

  async #sendCommand(command: CommandMessage): Promise<void> {
    const { peer } = this.#connection;
    const attributes = {
      ...spanAttributes(peer),
      "vautn.command": command.id,
      "vautn.command.name": command.name,
    };
    const seconds = Math.ceil((command.expiresAt - this.#context.deps.clock.now()) / 1_000);
    try {
      await withSpan(
        "command.deliver",
        attributes,
        async (span) => {
          const traceparent = traceparentOf(span);
          const body = JSON.stringify({ ...command, traceparent });
          const result = await this.#send("commands", body, traceparent, {
            expirySeconds: Math.max(1, seconds),
            command: command.id,
          });
          span.setAttribute("vautn.delivery", result);
          deliveriesTotal.inc({ kind: "command", outcome: result });
          await this.#settleCommand(command, result);
        },
        { parent: command.traceparent, kind: SpanKind.PRODUCER },
      );
    } catch (error) {
      // The device has it, and the database does not know: its result, or its next connect, will do.
      this.#context.deps.logger.warn(
        { tenantId: peer.tenantId, command: command.id, error: messageOf(error) },
        "a delivery could not be recorded",
      );
    }
    this.goOn();
  }

  async #settleCommand(command: CommandMessage, result: OutboundResult): Promise<void> {
    const { peer } = this.#connection;
    const { commands } = this.#context.deps;
    if (result === "acknowledged") {
      await commands.markDelivered(peer.tenantId, peer.deviceId, [command.id]);
    } else if (result !== "closed") {
      const error = result === "refused" ? "the device refused it" : "too large for the device";
      await commands.recordResult(peer, command.id, { status: "rejected", error });
    }
    this.#settled.add(command.id);
  }

  async #sendUpdate(): Promise<void> {
    const { peer, outbound } = this.#connection;
    if (!this.#listens("update")) return;
    const { rollouts } = this.#context.deps;
    const envelope = await rollouts.currentAssignment(peer.tenantId, peer.deviceId);
    if (!envelope || envelope.signed.sequence <= this.#lastSequence) return;
    if (outbound.free <= 0) throw new Error("the device acknowledges nothing");
    this.#lastSequence = envelope.signed.sequence;
    const attributes = { ...spanAttributes(peer), "vautn.update": envelope.signed.updateId };
    void withSpan(
      "update.deliver",
      attributes,
      async (span) => {
        const result = await this.#send("update", JSON.stringify(envelope), traceparentOf(span));
        span.setAttribute("vautn.delivery", result);
        deliveriesTotal.inc({ kind: "update", outcome: result });
      },
      { parent: envelope.signed.traceparent, kind: SpanKind.PRODUCER },
    );
  }

  /** The device stands elsewhere than we thought: it is told all of it once more. */
  resendDesired(): void {
    this.#lastDesired = -1;
    this.wake("twin");
  }

  /** What the device ought to be: what has changed where it holds the rest, or else the whole. */
  async #sendDesired(): Promise<void> {
    const { peer, outbound } = this.#connection;
    const { devices } = this.#context.deps;
    if (!devices.twins || this.#connection.isQuarantined || !this.#listens("desired")) return;
    const twin = await devices.twins.forDelivery(peer.tenantId, peer.deviceId);
    if (!twin || twin.desiredVersion === this.#lastDesired) return;
    if (outbound.free <= 0) throw new Error("the device acknowledges nothing");
    const held = this.#lastDesired ?? twin.heldVersion;
    this.#lastDesired = twin.desiredVersion;
    const body = JSON.stringify(desiredMessage(twin, held));
    const result = await this.#send("desired", body, currentTraceparent());
    deliveriesTotal.inc({ kind: "twin", outcome: result });
  }

  /** So that devices follow a new root before anything is signed by its keys alone. */
  async #sendTrustRoots(): Promise<void> {
    const { peer, outbound } = this.#connection;
    const { firmware } = this.#context.deps;
    if (!firmware || !this.#listens("trust")) return;
    const roots = await firmware.newestTrustRoots(peer.tenantId);
    const version = roots.at(-1)?.signed.version ?? 0;
    if (version <= this.#lastTrustRoot) return;
    if (outbound.free <= 0) throw new Error("the device acknowledges nothing");
    this.#lastTrustRoot = version;
    const result = await this.#send("trust", JSON.stringify({ roots }), currentTraceparent());
    deliveriesTotal.inc({ kind: "trust", outcome: result });
  }

  /** Again only where it has changed since. */
  async #sendAuthorities(): Promise<void> {
    const { peer, outbound } = this.#connection;
    if (!this.#listens("certificate/authorities")) return;
    const { rotation } = this.#context.deps.identity;
    const body = JSON.stringify(await rotation.authorities(peer.tenantId));
    if (body === this.#lastAuthorities) return;
    if (outbound.free <= 0) throw new Error("the device acknowledges nothing");
    this.#lastAuthorities = body;
    const result = await this.#send("certificate/authorities", body, currentTraceparent());
    deliveriesTotal.inc({ kind: "authorities", outcome: result });
  }

  #send(
    suffix: string,
    payload: string,
    traceparent: string,
    { expirySeconds, command }: { expirySeconds?: number; command?: string } = {},
  ): Promise<OutboundResult> {
    const { peer, outbound, subscriptions } = this.#connection;
    const topic = deviceTopic(peer, suffix);
    const match = subscriptions.match(topic);
    if (!match) return Promise.resolve("closed");
    const { qos, identifiers } = match;
    return outbound.send({
      topic,
      payload,
      qos,
      ...(command === undefined ? {} : { command }),
      properties: {
        payloadFormatIndicator: true,
        contentType: "application/json",
        userProperties: { traceparent },
        ...(expirySeconds === undefined ? {} : { messageExpiryInterval: expirySeconds }),
        ...(identifiers.length === 0 ? {} : { subscriptionIdentifier: identifiers }),
      },
    });
  }

  #listens(suffix: string): boolean {
    const { peer, subscriptions } = this.#connection;
    return subscriptions.match(deviceTopic(peer, suffix)) !== undefined;
  }

  #retry(kind: DeliveryKind, error: unknown): void {
    const { clock, logger } = this.#context.deps;
    const { tenantId, deviceId } = this.#connection.peer;
    if (!isAppError(error, "unavailable")) {
      logger.error({ tenantId, deviceId, kind, error: messageOf(error) }, "a delivery failed");
    }
    clock.after(RETRY_MS, () => {
      if (this.#connection.isOpen) this.wake(kind);
    });
  }
}

function desiredMessage(twin: Twin, held: number): DesiredMessage {
  const { desiredVersion: version, desired, lastPatch, reportedVersion } = twin;
  if (held === version) return { version, from: version, patch: {}, reportedVersion };
  if (held === version - 1 && lastPatch) {
    return { version, from: held, patch: lastPatch, reportedVersion };
  }
  return { version, from: 0, patch: desired, reportedVersion };
}

/** What the device continues: the delivery's own span, even where nobody records spans. */
function traceparentOf(span: Span): string {
  const context = span.spanContext();
  return isSpanContextValid(context)
    ? formatTraceparent(context.traceId, context.spanId)
    : currentTraceparent();
}
