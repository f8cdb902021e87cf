import { type Clock, messageOf, sleep } from "../../kernel/index.ts";
import {
  CertificateResponse,
  checkMessage,
  decodePayload,
  type IssuedCertificate,
} from "../../protocol/index.ts";
import type { Connection } from "../connection/connection.ts";
import { withDeadline } from "../connection/deadline.ts";
import type { Reenrolment, Session, SessionHandlers, Transport } from "../ports.ts";
import type { CredentialStore } from "./credential-store.ts";
import { ReenrolmentRefused } from "./est-client.ts";
import { faultOf } from "./rotation-fault.ts";

/** By which way the next certificate is asked for; `auto` is EST, and MQTT where that fails. */
export type RotationWay = "auto" | "est" | "mqtt";

export interface RequesterDeps {
  store: CredentialStore;
  connection: Pick<Connection, "isConnected" | "publish" | "exclusively">;
  transport: Transport;
  reenrolment: Reenrolment | undefined;
  clock: Clock;
  life: AbortSignal;
  newId: () => string;
  way: RotationWay;
  timeoutMs: number;
}

type Answer = (response: CertificateResponse) => void;

/** Asks the platform for a certificate, by EST or by messages, with the identity in use. */
export class CertificateRequester {
  readonly #deps: RequesterDeps;
  readonly #waiting = new Map<string, Answer>();

  constructor(deps: RequesterDeps) {
    this.#deps = deps;
  }

  /** Rejects with a `RotationFault` of the step `request`. */
  async request(csr: Uint8Array): Promise<IssuedCertificate> {
    const { way, reenrolment } = this.#deps;
    let estProblem: unknown;
    if (way !== "mqtt" && reenrolment) {
      try {
        const identity = this.#deps.store.present();
        return await withDeadline(this.#deps, (signal) =>
          reenrolment.reenroll(csr, identity, signal),
        );
      } catch (error) {
        if (way === "est" || isFinal(error)) throw faultOf("request", "est", error, isFinal(error));
        estProblem = error;
      }
    }
    try {
      return await this.#requestByMessage(csr);
    } catch (error) {
      if (estProblem === undefined) throw faultOf("request", "mqtt", error, isFinal(error));
      const said = `${messageOf(estProblem)}; by MQTT: ${messageOf(error)}`;
      throw faultOf("request", "est", new Error(said, { cause: error }), isFinal(error));
    }
  }

  /** A `certificate/response`; one that nobody waits for any more is passed over. */
  receive(message: unknown): void {
    checkMessage(CertificateResponse, message);
    const response = message as CertificateResponse;
    this.#waiting.get(response.requestId)?.(response);
  }

  #requestByMessage(csr: Uint8Array): Promise<IssuedCertificate> {
    const { connection } = this.#deps;
    if (connection.isConnected) {
      return this.#ask(csr, (body) => connection.publish("certificate/request", body));
    }
    // Let in for the renewal only, perhaps: then the connection of the agent is closed to us.
    return connection.exclusively(async () => {
      const session = await this.#openSession();
      try {
        return await this.#ask(csr, (body) => session.publish("certificate/request", body));
      } finally {
        await session.close();
      }
    });
  }

  #openSession(): Promise<Session> {
    const { transport, store } = this.#deps;
    const handlers: SessionHandlers = {
      onMessage: async (topic, payload) => {
        if (topic === "certificate/response") this.receive(decodePayload(payload));
      },
      onClose: () => {},
    };
    const options = { credentials: store.present(), certificatesOnly: true };
    return withDeadline(this.#deps, (signal) => transport.connect(handlers, signal, options));
  }

  async #ask(
    csr: Uint8Array,
    publish: (body: string) => Promise<void>,
  ): Promise<IssuedCertificate> {
    const { newId, clock, life, timeoutMs } = this.#deps;
    const requestId = newId();
    const limit = new AbortController();
    const { promise, resolve } = Promise.withResolvers<CertificateResponse>();
    this.#waiting.set(requestId, resolve);
    try {
      await publish(JSON.stringify({ requestId, csr: Buffer.from(csr).toString("base64") }));
      const late = sleep(clock, timeoutMs, AbortSignal.any([life, limit.signal])).then(() => {
        throw new Error("the platform did not answer in time");
      });
      return issuedOf(await Promise.race([promise, late]));
    } finally {
      this.#waiting.delete(requestId);
      limit.abort();
    }
  }
}

function issuedOf({ certificate, chain, roots, error }: CertificateResponse): IssuedCertificate {
  if (error) {
    const message = `${error.message} (${error.code})`;
    throw new ReenrolmentRefused(message, error.code === "csr-invalid");
  }
  if (!certificate || chain === undefined || !roots) throw new Error("the answer is not whole");
  return { certificate, chain, roots };
}

function isFinal(error: unknown): boolean {
  return error instanceof ReenrolmentRefused && error.isFinal;
}
