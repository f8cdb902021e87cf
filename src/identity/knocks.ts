import { createHash, type X509Certificate } from "node:crypto";
import type { Database } from "../db/index.ts";
import { type Clock, isAppError, messageOf, type Timer } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import { storableText } from "../kernel/storable.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { tenantExists } from "./authority-store.ts";
import { addKnocks, type KnockRow } from "./knocks-store.ts";

/** How long knocks are gathered before they are written together. */
const GATHER_MS = 2_000;
/** Certificates that are gathered; more in this time are counted only. */
const MAX_GATHERED = 500;
const MAX_TEXT = 512;

const dropped = counter(
  "vautn_certificate_knocks_dropped_total",
  "Refused certificates that were too many to be listed",
);

interface Knock extends KnockRow {
  /** The tenant that the certificate names, whether there is one or not. */
  named: string | undefined;
}

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
}

/** Writes down which certificates were shown and refused: within bounds, whatever comes. */
export class Knocks {
  readonly #deps: Deps;
  #gathered = new Map<string, Knock>();
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #started = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#started = true;
  }

  async stop(): Promise<void> {
    this.#started = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#flush();
    await this.#writing;
  }

  /** Costs a look into a map; `error` says why, and where it is known of whom. */
  note(certificate: X509Certificate, address: string | undefined, error: unknown): void {
    if (!this.#started || !isAppError(error, "certificate-refused")) return;
    const fingerprint = createHash("sha256").update(certificate.raw).digest("hex");
    const known = this.#gathered.get(fingerprint);
    const now = new Date(this.#deps.clock.now());
    const { reason, tenantId, deviceId } = error.details;
    if (known) {
      known.count += 1;
      known.last_seen_at = now;
      known.address = address ?? null;
      return;
    }
    if (this.#gathered.size >= MAX_GATHERED) {
      dropped.inc();
      return;
    }
    this.#gathered.set(fingerprint, {
      fingerprint,
      subject: oneLine(certificate.subject),
      issuer: oneLine(certificate.issuer),
      device_id: typeof deviceId === "string" ? deviceId : null,
      reason: String(reason),
      count: 1,
      first_seen_at: now,
      last_seen_at: now,
      address: address ?? null,
      named: typeof tenantId === "string" ? tenantId : undefined,
    });
    this.#timer ??= this.#deps.clock.after(GATHER_MS, () => this.#flush());
  }

  #flush(): void {
    this.#timer = undefined;
    const gathered = [...this.#gathered.values()];
    this.#gathered = new Map();
    if (gathered.length === 0) return;
    this.#writing = this.#writing
      .then(() => this.#write(gathered))
      .catch((error) => {
        dropped.inc(gathered.length);
        this.#deps.logger.warn({ error: messageOf(error) }, "refused certificates were not listed");
      });
  }

  async #write(gathered: readonly Knock[]): Promise<void> {
    const { db } = this.#deps;
    const byTenant = Map.groupBy(gathered, (knock) => knock.named ?? PLATFORM_CHAIN);
    for (const [tenantId, knocks] of byTenant) {
      const rows = knocks.map(({ named: _named, ...row }) => row);
      const isTenant =
        tenantId !== PLATFORM_CHAIN && (await db.platform((tx) => tenantExists(tx, tenantId)));
      // A name that nobody bears is the platform's affair.
      if (isTenant) await db.tenant(tenantId, (tx) => addKnocks(tx, tenantId, rows));
      else await db.platform((tx) => addKnocks(tx, PLATFORM_CHAIN, rows));
    }
  }
}

function oneLine(name: string): string {
  return storableText(name.replaceAll("\n", ", "), MAX_TEXT);
}
