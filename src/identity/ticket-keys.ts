import { hkdfSync, randomBytes } from "node:crypto";
import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { TLS_SESSION_SECONDS } from "../kernel/tls-policy.ts";
import * as store from "./ticket-key-store.ts";

/**
 * How long tickets are sealed with one key, and the longest time in which a session is resumed. RFC
 * 8446 §4.6.1 allows seven days; half a day keeps what a stolen key opens small (RFC 5077 §5.5).
 */
const LIFETIME_MS = TLS_SESSION_SECONDS * 1_000;
const SECRET_BYTES = 32;
/** What Node takes: a name, a key to authenticate with and one to encrypt with. */
const KEYS_BYTES = 48;

/** Which listener a ticket is for: one of another is not resumed. */
export type TicketPurpose = "mqtt" | "https";

interface Deps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
}

/**
 * The keys of TLS session tickets, the same in every process of the installation. Time is cut into
 * slots with a secret each, made a slot ahead and kept sealed: every process changes to the next one
 * by its own clock and asks nobody then.
 */
export class TicketKeys {
  readonly #deps: Deps;
  /** Slot -> secret; at most two are kept. */
  #secrets = new Map<number, Buffer>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The keys in force. Cheap to ask again and again. */
  async current(purpose: TicketPurpose): Promise<Buffer> {
    const slot = this.#slotNow();
    if (!this.#secrets.has(slot) || !this.#secrets.has(slot + 1)) await this.#load(slot);
    const secret = this.#secrets.get(slot);
    if (!secret) throw new Error("the ticket keys of this moment are missing");
    return Buffer.from(hkdfSync("sha256", secret, "", `vautn tickets ${purpose}`, KEYS_BYTES));
  }

  #slotNow(): number {
    return Math.floor(this.#deps.clock.now() / LIFETIME_MS);
  }

  async #load(slot: number): Promise<void> {
    const { db, clock, sealer } = this.#deps;
    const rows = await db.platform(async (tx) => {
      const known = await store.secretsFrom(tx, slot);
      const missing = [slot, slot + 1].filter((one) => !known.some((row) => row.slot === one));
      if (missing.length === 0) return known;
      for (const one of missing) {
        const sealed = sealer.seal(randomBytes(SECRET_BYTES), contextOf(one));
        await store.addSecret(tx, { slot: one, sealed, createdAt: new Date(clock.now()) });
      }
      // RFC 5077 §5.5: keys that are not used any more are destroyed.
      await store.forgetSecretsBefore(tx, slot);
      return store.secretsFrom(tx, slot);
    });
    const opened = rows.map((row) => [row.slot, sealer.open(row.sealed, contextOf(row.slot))]);
    this.#secrets = new Map(opened as [number, Buffer][]);
  }
}

function contextOf(slot: number): string {
  return `tls-ticket-keys:${slot}`;
}
