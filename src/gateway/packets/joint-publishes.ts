import type { IPublishPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import type { Taken } from "../error-reports.ts";
import { countMessage } from "../gateway-metrics.ts";
import type { AckRun } from "../ordered-acks.ts";
import { plainPubacks } from "../publish-codec.ts";
import { passOn } from "./publish-outcome.ts";

/** A message that has been let in. */
export interface Arrival {
  packet: IPublishPacket;
  sizeBytes: number;
  receivedAt: number;
}

/** What puts its acknowledgement in line; absent where there is none. */
export type Acknowledge = ((send: () => void) => void) | undefined;

/**
 * Telemetry of one connection that is in the same batch of the store: it becomes durable at one moment,
 * and is settled and acknowledged at once. A chain of promises for each message cost more than all else.
 */
export class JointPublishes {
  readonly durable: Promise<void>;
  readonly #connection: Connection;
  readonly #arrivals: Arrival[] = [];
  readonly #runs: AckRun[] = [];
  /** By QoS. */
  readonly #counts: [number, number] = [0, 0];
  readonly #sizes: [number, number] = [0, 0];
  #points = 0;
  #partly: Taken[] | undefined;

  /** `apart` settles a message by itself where all of them could not be made durable. */
  constructor(
    connection: Connection,
    durable: Promise<void>,
    apart: (arrival: Arrival, acknowledge: Acknowledge) => void,
  ) {
    this.#connection = connection;
    this.durable = durable;
    durable.then(
      () => this.#settle(),
      () => this.#settleApart(apart),
    );
  }

  add(arrival: Arrival, taken: Taken): void {
    const { packet, sizeBytes, receivedAt } = arrival;
    this.#arrivals.push(arrival);
    const qos = packet.qos === 0 ? 0 : 1;
    this.#counts[qos] += 1;
    this.#sizes[qos] += sizeBytes;
    this.#points += taken.accepted;
    if (taken.rejectedCount > 0) {
      this.#partly ??= [];
      this.#partly.push(taken);
    }
    if (qos === 0) return;
    const { acks } = this.#connection.inbound;
    const run = acks.join(receivedAt, this, packet.messageId ?? 0);
    if (this.#runs.at(-1) !== run) this.#runs.push(run);
  }

  #settle(): void {
    const connection = this.#connection;
    const { inbound, context, peer } = connection;
    const [zeroes, ones] = this.#counts;
    inbound.forget(this);
    if (zeroes > 0) inbound.leave(this.#sizes[0], 0, zeroes);
    if (ones > 0) inbound.leave(this.#sizes[1], 1, ones);
    countMessage("telemetry", "stored", zeroes + ones);
    context.router.settled(peer, this.#points);
    for (const taken of this.#partly ?? []) {
      const reply = (suffix: string, body: unknown) => connection.deliveries.reply(suffix, body);
      context.router.tell({ peer, reply }, taken);
    }
    if (connection.subscriptions.hearsOwn || context.fanOut.isHeard) {
      for (const { packet } of this.#arrivals) passOn(connection, packet);
    }
    for (const run of this.#runs) {
      inbound.acks.settleRun(run, (ids) => connection.sendBytes(plainPubacks(ids)));
    }
  }

  #settleApart(apart: (arrival: Arrival, acknowledge: Acknowledge) => void): void {
    const { inbound } = this.#connection;
    inbound.forget(this);
    const places = this.#runs.flatMap((run) => inbound.acks.splitRun(run)).values();
    for (const arrival of this.#arrivals) {
      apart(arrival, arrival.packet.qos === 0 ? undefined : places.next().value);
    }
  }
}
