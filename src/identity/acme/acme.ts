import { setTimeout as timeout } from "node:timers/promises";
import type { Database } from "../../db/index.ts";
import type { TlsListener } from "../../kernel/acme-settings.ts";
import { type Clock, messageOf } from "../../kernel/index.ts";
import type { Logger } from "../../kernel/logger.ts";
import { counter, gauge } from "../../kernel/metrics.ts";
import type { Sealer } from "../../kernel/sealing.ts";
import { storableText } from "../../kernel/storable.ts";
import { newPrivateKey } from "../authority-key.ts";
import type { ServerCredentials } from "../server-credentials.ts";
import { AcmeFault, type AcmeResult, orderCertificate } from "./acme-order.ts";
import { type AcmeOptions, type AcmeStatus, renewalOf, statusOf } from "./acme-status.ts";
import * as store from "./acme-store.ts";

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  sealer: Sealer;
  acme?: AcmeOptions | undefined;
  /** Listeners load their certificate at once. */
  announce(): void;
}

/** Longer than an order may take: afterwards another process may order. */
const LEASE_MS = 15 * 60_000;
const ORDER_DEADLINE_MS = 10 * 60_000;
const CHALLENGE_KEPT_MS = 3_600_000;
/** Minutes until the next attempt; authorities count failures by the hour and lock out by the week. */
const RETRY_MINUTES = [1, 5, 30, 120, 720];
const MINUTE_MS = 60_000;
/** However short a certificate's life or wrong a clock: orders come no closer to one another. */
const MIN_ORDER_INTERVAL_MS = 10 * MINUTE_MS;
const DEFAULT_POLL_MS = 1_000;

const attempts = counter("vautn_acme_attempts_total", "ACME orders by outcome", ["outcome"]);
const expiry = gauge("vautn_acme_certificate_not_after_seconds", "End of the ACME certificate");

/** The server certificate of an ACME authority: kept for all processes in the database. */
export class AcmeCertificates {
  readonly #deps: Deps;
  #loaded: { notBefore: number; notAfter: number; credentials: ServerCredentials } | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get #subject(): store.AcmeSubject | undefined {
    const { acme } = this.#deps;
    return acme && { directoryUrl: acme.directoryUrl, names: [...acme.names].sort().join(",") };
  }

  /** For a listener that takes its certificate from here; undefined where there is none in force. */
  async credentials(listener: TlsListener | undefined): Promise<ServerCredentials | undefined> {
    const { acme, clock } = this.#deps;
    const subject = this.#subject;
    if (!acme || !subject || !listener || !acme.listeners.includes(listener)) return undefined;
    const row = await this.#deps.db.platform((tx) => store.findAcmeCertificate(tx, subject));
    const loaded = row && this.#load(row, subject);
    // Better our own certificate, which some believe, than one that nobody does.
    return loaded && loaded.notAfter > clock.now() ? loaded.credentials : undefined;
  }

  #load(row: store.AcmeCertificateRow, subject: store.AcmeSubject) {
    const { certificate_pem: pem, private_key_sealed: sealed, not_before, not_after } = row;
    if (!pem || !sealed || !not_before || !not_after) return undefined;
    if (this.#loaded?.credentials.certificatePem === pem) return this.#loaded;
    const keyPem = this.#deps.sealer.open(sealed, contextOf(subject)).toString("utf8");
    const credentials = {
      keyPem,
      certificatePem: pem,
      notAfter: not_after,
      isProvisional: false,
    };
    expiry.set(not_after.getTime() / 1_000);
    this.#loaded = { notBefore: not_before.getTime(), notAfter: not_after.getTime(), credentials };
    return this.#loaded;
  }

  /** Orders where something is due; whatever comes of it, it is written down. Never throws. */
  async renewIfDue(): Promise<void> {
    const { db, clock, logger } = this.#deps;
    const subject = this.#subject;
    if (!subject) return;
    const now = clock.now();
    const times = { now: new Date(now), until: new Date(now + LEASE_MS) };
    const leased = await db
      .platform((tx) => store.leaseAcmeOrder(tx, subject, times))
      .catch((error) => logger.warn({ error: messageOf(error) }, "ACME cannot look what is due"));
    if (!leased) return;
    try {
      const deadline = timeout(ORDER_DEADLINE_MS, undefined, { ref: false }).then(() => {
        throw new Error("the order was not over after ten minutes");
      });
      deadline.catch(() => {});
      await this.#keep(subject, await Promise.race([this.#order(subject), deadline]));
    } catch (error) {
      const failures = leased.failures + 1;
      const minutes = RETRY_MINUTES[Math.min(failures, RETRY_MINUTES.length) - 1] as number;
      const step = error instanceof AcmeFault ? error.step : "order";
      await this.#change(subject, {
        failures,
        last_step: step,
        // The authority's words: whatever is in them.
        last_error: storableText(messageOf(error)).replace(/\p{Cc}+/gu, " "),
        next_attempt_at: new Date(clock.now() + minutes * MINUTE_MS),
        leased_until: null,
      }).catch((cause) => logger.error({ error: messageOf(cause) }, "ACME's failure was not kept"));
      attempts.inc({ outcome: "failed" });
      logger.error(
        { step, error: messageOf(error), failures, nextAttemptMinutes: minutes },
        "the server certificate could not be had by ACME",
      );
    }
  }

  async #order(subject: store.AcmeSubject): Promise<AcmeResult> {
    const { acme, db, clock } = this.#deps;
    if (!acme) throw new Error("ACME is off");
    const { directoryUrl, externalAccount } = acme;
    const account = { directoryUrl, externalKeyId: externalAccount?.kid ?? "" };
    const { keyPem, accountUrl } = await this.#account(account);
    const order = (url: string | null) =>
      orderCertificate({
        ...{ directoryUrl, names: subject.names.split(","), externalAccount },
        ...{ email: acme.email, caFile: acme.caFile, pollMs: acme.pollMs ?? DEFAULT_POLL_MS },
        accountKeyPem: keyPem,
        accountUrl: url,
        remember: (found) => db.platform((tx) => store.setAcmeAccountUrl(tx, account, found)),
        publish: (token, keyAuthorization) => {
          const now = clock.now();
          const expiresAt = new Date(now + CHALLENGE_KEPT_MS);
          return db.platform((tx) =>
            store.putChallenge(tx, { token, keyAuthorization, expiresAt }, new Date(now)),
          );
        },
        withdraw: (token) => db.platform((tx) => store.removeChallenge(tx, token)),
      });
    try {
      return await order(accountUrl);
    } catch (error) {
      if (!(error instanceof AcmeFault) || error.step !== "account" || !accountUrl) throw error;
      // Has the authority forgotten us? The same key finds or makes the account (RFC 8555 §7.3).
      return order(null);
    }
  }

  async #account(account: { directoryUrl: string; externalKeyId: string }) {
    const { db, clock, sealer } = this.#deps;
    const context = `acme-account:${account.directoryUrl}:${account.externalKeyId}`;
    const fresh = newPrivateKey().export({ type: "pkcs8", format: "pem" }) as string;
    const keySealed = sealer.seal(fresh, context);
    const now = new Date(clock.now());
    const found = await db.platform((tx) =>
      store.acmeAccountOr(tx, { ...account, keySealed, now }),
    );
    const keyPem = sealer.open(found.keySealed, context).toString("utf8");
    return { keyPem, accountUrl: found.accountUrl };
  }

  async #keep(subject: store.AcmeSubject, result: AcmeResult): Promise<void> {
    const { clock, sealer, logger, announce } = this.#deps;
    const { certificatePem, keyPem, notBefore, notAfter } = result;
    if (notAfter.getTime() <= clock.now()) {
      throw new AcmeFault("certificate", new Error("the certificate has ended already"));
    }
    const soonest = clock.now() + MIN_ORDER_INTERVAL_MS;
    const renewAt = Math.max(renewalOf(notBefore, notAfter).getTime(), soonest);
    await this.#change(subject, {
      certificate_pem: certificatePem,
      private_key_sealed: sealer.seal(keyPem, contextOf(subject)),
      not_before: notBefore,
      not_after: notAfter,
      failures: 0,
      last_step: null,
      last_error: null,
      next_attempt_at: new Date(renewAt),
      leased_until: null,
    });
    attempts.inc({ outcome: "issued" });
    logger.info({ names: subject.names, notAfter }, "a server certificate was had by ACME");
    announce();
  }

  async #change(subject: store.AcmeSubject, changed: Partial<store.AcmeCertificateRow>) {
    await this.#deps.db.platform((tx) => store.updateAcmeCertificate(tx, subject, changed));
  }

  /** What the authority is told when it asks for a token. */
  challenge(token: string): Promise<string | undefined> {
    const now = new Date(this.#deps.clock.now());
    return this.#deps.db.platform((tx) => store.keyAuthorizationOf(tx, token, now));
  }

  /** Null where ACME is off. */
  async status(): Promise<AcmeStatus | null> {
    const { acme, db, clock } = this.#deps;
    const subject = this.#subject;
    if (!acme || !subject) return null;
    const row = await db.platform((tx) => store.findAcmeCertificate(tx, subject));
    return statusOf(acme, row, clock.now());
  }

  /** The next attempt is due at once, whatever failed before. */
  async renewNow(): Promise<AcmeStatus | null> {
    const { db, clock } = this.#deps;
    const subject = this.#subject;
    if (!subject) return null;
    const now = new Date(clock.now());
    await db.platform((tx) => store.updateAcmeCertificate(tx, subject, { next_attempt_at: now }));
    return this.status();
  }
}

function contextOf({ directoryUrl, names }: store.AcmeSubject): string {
  return `acme:${directoryUrl}:${names}`;
}
