import { isIPv6 } from "node:net";
import { AppError, type Clock } from "../kernel/index.ts";

const MAX_ENTRIES = 20_000;

/** Slows down who guesses claim tokens: only failures count, each against its network address. */
export class FailureLimit {
  readonly #options: { clock: Clock; maxFailures: number; windowMs: number };
  readonly #failures = new Map<string, { count: number; startedAt: number }>();

  constructor(options: { clock: Clock; maxFailures: number; windowMs: number }) {
    this.#options = options;
  }

  /** Throws `rate-limited` for an address that has failed too often. */
  check(address: string): void {
    const { clock, maxFailures, windowMs } = this.#options;
    const entry = this.#current(network(address));
    if (!entry || entry.count < maxFailures) return;
    throw new AppError("rate-limited", "too many refused enrolments from this address", {
      retryAfterSeconds: Math.ceil((entry.startedAt + windowMs - clock.now()) / 1000),
    });
  }

  record(address: string): void {
    const key = network(address);
    const entry = this.#current(key);
    if (entry) {
      entry.count += 1;
      return;
    }
    // Bounded memory: what started longest ago gives way.
    if (this.#failures.size >= MAX_ENTRIES) {
      this.#failures.delete(this.#failures.keys().next().value as string);
    }
    this.#failures.set(key, { count: 1, startedAt: this.#options.clock.now() });
  }

  #current(key: string) {
    const entry = this.#failures.get(key);
    if (entry && this.#options.clock.now() - entry.startedAt < this.#options.windowMs) return entry;
    this.#failures.delete(key);
    return undefined;
  }
}

/** An IPv6 subscriber owns a /64, so that is what counts as one address. */
function network(address: string): string {
  if (!isIPv6(address) || address.includes(".")) return address;
  const [head = "", tail] = address.split("::") as [string, string?];
  const before = head === "" ? [] : head.split(":");
  const after = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array<string>(zeros).fill("0"), ...after].slice(0, 4).join(":");
}
