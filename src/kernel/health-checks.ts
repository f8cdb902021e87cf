import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";

/** Resolves where a part works, with a reason where it works badly; throws where it does not. */
export type HealthCheck = () => Promise<{ reason: string } | undefined>;

export interface CheckResult {
  name: string;
  state: "ok" | "degraded" | "failed";
  /** Empty where all is well. Public: names no path, no host and no tenant. */
  reason: string;
}

const TIMEOUT_MS = 3_000;
/** Answers are kept this long, so that asking often does not load the stores. */
const KEPT_MS = 1_000;

/** All checks at once, each within its time. */
export function createHealthChecks(
  clock: Clock,
  checks: Readonly<Record<string, HealthCheck>>,
): () => Promise<CheckResult[]> {
  let latest: { at: number; answer: Promise<CheckResult[]> } | undefined;
  return () => {
    const now = clock.now();
    if (!latest || now - latest.at > KEPT_MS || now < latest.at) {
      const all = Object.entries(checks).map(([name, check]) => resultOf(name, check));
      latest = { at: now, answer: Promise.all(all) };
    }
    return latest.answer;
  };
}

async function resultOf(name: string, check: HealthCheck): Promise<CheckResult> {
  try {
    const found = await withinTime(check);
    return { name, state: found ? "degraded" : "ok", reason: found?.reason ?? "" };
  } catch (error) {
    return {
      name,
      state: "failed",
      reason: error instanceof Unwell ? messageOf(error) : "no answer",
    };
  }
}

/** A failure whose words may be shown to anybody; of others only that there was one is. */
export class Unwell extends Error {
  override name = "Unwell";
}

function withinTime(check: HealthCheck): ReturnType<HealthCheck> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Unwell(`no answer within ${TIMEOUT_MS / 1_000} s`));
    const timer = setTimeout(late, TIMEOUT_MS);
    check()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
