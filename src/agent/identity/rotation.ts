import { type Clock, isAppError, messageOf, type Random, sleep } from "../../kernel/index.ts";
import {
  AuthoritiesAnnouncement,
  checkMessage,
  createCertificateRequest,
  type LogLevel,
} from "../../protocol/index.ts";
import { fullJitter } from "../connection/back-off.ts";
import type { Connection } from "../connection/connection.ts";
import type { Reenrolment, Transport } from "../ports.ts";
import { CertificateRequester, type RotationWay } from "./certificate-requester.ts";
import type { CredentialStore } from "./credential-store.ts";
import type { IdentityRefused } from "./identity-refused.ts";
import type { ActiveRotation, RotationReason } from "./identity-state.ts";
import { checkIssued } from "./issued-certificate.ts";
import { faultOf, type RotationFault } from "./rotation-fault.ts";
import { RotationReports } from "./rotation-reports.ts";
import { catchUpMs, isRenewalDue, pace, shareOf } from "./rotation-schedule.ts";
import { confirmGeneration, tryGeneration } from "./rotation-steps.ts";

export interface RotationOptions {
  way: RotationWay;
  /** Bounds of the delay after a step that failed; a short-lived certificate shortens them. */
  backOff: { baseMs: number; capMs: number };
  /** Longest time of a request, a trial or a reconnect. */
  timeoutMs: number;
  /** Time over which devices spread that hear of new authorities. */
  authoritiesSpreadMs: number;
}

export const ROTATION_DEFAULTS: RotationOptions = {
  way: "auto",
  backOff: { baseMs: 30_000, capMs: 6 * 3_600_000 },
  timeoutMs: 60_000,
  authoritiesSpreadMs: 24 * 3_600_000,
};

export interface RotationDeps {
  identity: { tenant: string; device: string };
  store: CredentialStore;
  connection: Connection;
  transport: Transport;
  reenrolment: Reenrolment | undefined;
  clock: Clock;
  random: Random;
  life: AbortSignal;
  newId: () => string;
  options: RotationOptions;
  event(type: string, attributes: Record<string, unknown>): Promise<void>;
  log(level: LogLevel, message: string): void;
}

interface Waiter {
  resolve(outcome: { serial: string; notAfter: string }): void;
  reject(error: Error): void;
}

/**
 * Renews the device's certificate: when it is due, on command, when the platform's authorities have
 * changed, or when the present one is not accepted any more. Each step is durable before the next
 * begins, so that it goes on after a power cut where it was.
 */
export class Rotation {
  readonly #deps: RotationDeps;
  readonly #requester: CertificateRequester;
  readonly #reports: RotationReports;
  #wanted: RotationReason | undefined;
  #waiters: Waiter[] = [];
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(deps: RotationDeps) {
    this.#deps = deps;
    const { way, timeoutMs } = deps.options;
    this.#requester = new CertificateRequester({ ...deps, way, timeoutMs });
    this.#reports = new RotationReports(deps);
  }

  start(): void {
    this.#running = this.#run().catch((error) => {
      if (!this.#deps.life.aborted) this.#deps.log("error", `rotation: ${messageOf(error)}`);
    });
  }

  /** Resolves when nothing is under way any more; `life` must have ended. */
  stop(): Promise<void> {
    return this.#running;
  }

  /** Begins at once, or joins what is under way; rejects with the first step that fails. */
  rotateNow(): Promise<{ serial: string; notAfter: string }> {
    this.#wanted = "command";
    const { promise, ...waiter } = Promise.withResolvers<{ serial: string; notAfter: string }>();
    this.#waiters.push(waiter);
    this.#wake();
    return promise;
  }

  async receive(topic: string, message: unknown): Promise<void> {
    try {
      if (topic === "certificate/response") this.#requester.receive(message);
      else await this.#hearAuthorities(message);
    } catch (error) {
      if (!isAppError(error, "message-invalid")) throw error;
      this.#deps.log("warn", `a message on ${topic} was malformed: ${error.message}`);
    }
  }

  /** The connection was made with this generation. */
  async connected(number: number): Promise<void> {
    const { store, log } = this.#deps;
    if ((await store.accepted(number)) === "current") return;
    log("warn", "the new certificate is refused: the device has gone back to the one before");
    await this.#reports.step("reconnect", {
      error: { element: "platform", message: "the new certificate was refused, the old was not" },
    });
    this.refused();
  }

  /** The certificate in use is not accepted, or for its renewal only. */
  refused(error?: IdentityRefused): void {
    if (error) this.#deps.store.refused();
    if (this.#wanted) return;
    this.#wanted = "refused";
    this.#wake();
  }

  async #run(): Promise<void> {
    const { life, store, random } = this.#deps;
    let failures = 0;
    while (!life.aborted) {
      try {
        if (!store.state.rotation) {
          const reason = await this.#untilWanted();
          await this.#begin(reason);
        }
        await this.#goOn(store.state.rotation);
        failures = 0;
        this.#wanted = undefined;
        this.#settle();
      } catch (error) {
        if (life.aborted) return;
        const fault = faultOf("key", "device", error);
        await this.#failed(fault);
        const { baseMs, capMs } = this.#bounds();
        await this.#rest(baseMs + fullJitter(random, failures, { baseMs, capMs }));
        failures += 1;
      }
    }
  }

  /** The steps from where the rotation stands to its end. */
  async #goOn(rotation: ActiveRotation | null): Promise<void> {
    const { store, clock } = this.#deps;
    if (rotation?.step === "request") await this.#request();
    if (store.state.rotation?.step === "trial") {
      await this.#reports.step("trial");
      await tryGeneration(this.#deps, async () => {
        await this.#reports.step("switch");
        await store.switchOver(clock.now()).catch((error) => {
          throw faultOf("switch", "storage", error);
        });
      });
    }
    if (store.state.rotation?.step === "confirm") {
      await confirmGeneration(this.#deps, (step) => this.#reports.step(step));
    }
    if (store.state.rotation?.step === "finish") {
      await store.finish().catch((error) => {
        throw faultOf("done", "storage", error);
      });
      await this.#reports.step("done");
    }
  }

  async #begin(reason: RotationReason): Promise<void> {
    const { store, log } = this.#deps;
    this.#wanted = undefined;
    log("info", `the certificate is to be renewed (${reason})`);
    await store.begin(reason).catch((error) => {
      throw faultOf("key", "storage", error);
    });
    await this.#reports.step("key");
  }

  async #request(): Promise<void> {
    const { store, identity } = this.#deps;
    await this.#reports.step("request");
    const key = await store.candidateKey().catch((error) => {
      throw faultOf("request", "key", error, true);
    });
    const csr = createCertificateRequest({
      privateKey: key,
      commonName: `${identity.tenant}/${identity.device}`,
      organization: identity.tenant,
    });
    const issued = await this.#requester.request(csr);
    const checked = checkIssued(issued, key, store.current);
    await store.keep(checked).catch((error) => {
      throw faultOf("store", "storage", error);
    });
    await this.#reports.step("store");
  }

  async #failed(fault: RotationFault): Promise<void> {
    const { store, log } = this.#deps;
    const { step, element, message } = fault;
    log("warn", `the renewal failed at ${step} (${element}): ${message}`);
    const told = new Error(`the step ${step} failed (${element}): ${message}`, { cause: fault });
    for (const waiter of this.#waiters.splice(0)) waiter.reject(told);
    try {
      if (fault.isFinal && store.state.rotation) {
        this.#wanted ??= store.state.rotation.reason;
        await store.discard();
      }
      await this.#reports.step(step, { error: { element, message } });
    } catch (error) {
      // The storage fails as a whole; there will be another try.
      log("error", `the renewal's state cannot be kept: ${messageOf(error)}`);
    }
  }

  #settle(): void {
    const { serial, notAfter } = this.#deps.store.current;
    const outcome = { serial, notAfter: new Date(notAfter).toISOString() };
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(outcome);
    this.#deps.log("info", `the certificate ${serial} is in use`);
  }

  /** Resolves with the reason when there is one to rotate. */
  async #untilWanted(): Promise<RotationReason> {
    const { store, random, clock } = this.#deps;
    for (;;) {
      if (this.#wanted) return this.#wanted;
      const reason = this.#dueReason();
      if (reason === "policy") {
        // Devices that come back from an outage together do not ask together.
        await this.#rest(random.next() * catchUpMs(store.current, clock.now()));
        return this.#wanted ?? reason;
      }
      if (reason) return reason;
      await this.#rest(pace(store.current).checkEveryMs);
    }
  }

  #dueReason(): RotationReason | undefined {
    const { store, clock, identity, options } = this.#deps;
    const { current, state } = store;
    const now = clock.now();
    const names = [identity.tenant, identity.device];
    const life = { ...current, obtainedAt: state.obtainedAt };
    if (isRenewalDue(life, shareOf(...names, current.serial), now)) return "policy";
    if (!state.announced) return undefined;
    const { digest, heardAt } = state.announced;
    const waitMs = shareOf(...names, digest) * this.#authoritiesSpreadMs(options);
    return Math.abs(now - heardAt) >= waitMs ? "authorities" : undefined;
  }

  /** Other authorities than ours: kept, so that restarts do not put the renewal off for ever. */
  async #hearAuthorities(message: unknown): Promise<void> {
    checkMessage(AuthoritiesAnnouncement, message);
    const { store, clock, log } = this.#deps;
    const { issuer, roots } = message as AuthoritiesAnnouncement;
    const digest = [issuer, ...[...roots].sort()].join(" ");
    const { current, state } = store;
    const ours = [current.issuer ?? issuer, ...current.roots].join(" ");
    if (digest === ours || digest === state.answered) {
      if (state.announced) await store.noteAnnounced(null);
      return;
    }
    if (state.announced?.digest === digest) return;
    log("info", "the platform's authorities have changed: the certificate will be renewed");
    await store.noteAnnounced({ digest, heardAt: clock.now() });
    this.#wake();
  }

  #authoritiesSpreadMs({ authoritiesSpreadMs }: RotationOptions): number {
    const { notAfter, notBefore } = this.#deps.store.current;
    return Math.min(authoritiesSpreadMs, (notAfter - notBefore) / 10);
  }

  #bounds(): { baseMs: number; capMs: number } {
    const { options, store } = this.#deps;
    const { spreadMs } = pace(store.current);
    const capMs = Math.min(options.backOff.capMs, 6 * spreadMs);
    return { baseMs: Math.min(options.backOff.baseMs, capMs / 4), capMs };
  }

  /** Sleeps, unless something is wanted meanwhile. */
  async #rest(delayMs: number): Promise<void> {
    const { clock, life } = this.#deps;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(clock, delayMs, AbortSignal.any([life, woken.signal])).catch(() => {
      // Woken, or at an end; the caller looks.
    });
    this.#wake = () => {};
    life.throwIfAborted();
  }
}
