import { ApiRefusal, type Operations } from "../client/index.ts";
import { messageOf } from "../kernel/index.ts";
import type { Cli } from "./cli.ts";
import { effectiveContext } from "./context.ts";
import { table } from "./output.ts";
import { Session } from "./session.ts";

/** One line of `vautn doctor`. */
export interface Finding {
  check: string;
  state: "ok" | "note" | "problem";
  detail: string;
}

export type AcmeStatus = Operations["getAcmeStatus"]["answer"];

const STATES = {
  valid: "ok",
  waiting: "note",
  ordering: "note",
  failing: "problem",
  expired: "problem",
} as const satisfies Record<AcmeStatus["state"], Finding["state"]>;

const PATIENCE_MS = 5_000;

/** Who looks for faults is not kept waiting by one. */
function quickSession(cli: Cli): Session {
  return new Session(cli.io.environment, undefined, PATIENCE_MS);
}

/** The offline root's revocation list; nothing where the root signs by itself or nobody may look. */
export async function checkRootList(cli: Cli): Promise<Finding[]> {
  const { url, apiKey } = effectiveContext(cli.io.environment);
  if (!url || !apiKey) return [];
  try {
    const { rootList } = await quickSession(cli).call("getHierarchy");
    if (!rootList) return [];
    const { state, nextUpdate, unlisted } = rootList;
    const detail =
      state === "missing"
        ? "none was signed yet: vautn pki request"
        : `${state}, good until ${minute(nextUpdate)}, ${unlisted} revoked since`;
    const isFine = state === "current" || state === "missing";
    return [{ check: "root's crl", state: isFine ? "ok" : "problem", detail }];
  } catch {
    return []; // Whether the platform answers is another check's to say.
  }
}

/** How an ACME authority's certificate stands; nothing where none is named or nobody signed in. */
export async function checkAcme(cli: Cli): Promise<Finding[]> {
  const { url, apiKey } = effectiveContext(cli.io.environment);
  if (!url || !apiKey) return [];
  const check = "acme";
  try {
    const status = await quickSession(cli).call("getAcmeStatus");
    return [{ check, state: STATES[status.state], detail: storyOf(status) }];
  } catch (error) {
    // 404: no authority is named; 403: it is for the platform's administrators to know.
    if (error instanceof ApiRefusal && [403, 404].includes(error.status)) return [];
    return [{ check, state: "note", detail: messageOf(error) }];
  }
}

/** The state in one line, with what went wrong and when it is tried again. */
export function storyOf(status: AcmeStatus): string {
  const { state, notAfter, renewAt, failures, lastStep, lastError, nextAttemptAt } = status;
  const ends = notAfter ? `ends ${minute(notAfter)}` : "no certificate yet";
  const trouble =
    failures > 0
      ? `; failed ${failures} times, the last time at step ${lastStep}: ${lastError}; next attempt ${minute(nextAttemptAt)}`
      : renewAt && state === "valid"
        ? `, renewed ${minute(renewAt)}`
        : "";
  return `${status.names.join(", ")} for ${status.listeners.join(", ")}: ${state}, ${ends}${trouble}`;
}

export function drawAcme(status: AcmeStatus): string {
  return table(
    ["ACME", ""],
    [
      ["directory", status.directoryUrl],
      ["names", status.names.join(", ")],
      ["listeners", status.listeners.join(", ")],
      ["state", status.state],
      ["ends", minute(status.notAfter)],
      ["renewed", minute(status.renewAt)],
      ["last attempt", minute(status.attemptedAt)],
      ["next attempt", minute(status.nextAttemptAt)],
      ...(status.failures > 0
        ? [
            ["failures", String(status.failures)],
            ["failed at", status.lastStep ?? ""],
            ["because", status.lastError ?? ""],
          ]
        : []),
    ],
  );
}

function minute(moment: string | null): string {
  return moment ? `${moment.slice(0, 16).replace("T", " ")} UTC` : "-";
}

/** What `/readyz` answers. */
export interface Readiness {
  checks: Record<string, "up" | "degraded" | "down">;
  reasons?: Record<string, string>;
}

const STATES_OF_PARTS = { up: "ok", degraded: "note", down: "problem" } as const;

/** The embedded stores are looked after by the platform, others by whoever runs them. */
const storeAdvice = (variable: string) => ({
  down: `embedded: see what "vautn up" says of it; of your own: is it running, and does ${variable} reach it?`,
  degraded: "it answers, and slowly: see what else keeps its machine or its disk busy",
});

/** What to look at first where a part of the platform is not up. */
const NEXT: Record<string, { down: string; degraded: string }> = {
  postgresql: storeAdvice("DATABASE_URL"),
  clickhouse: {
    ...storeAdvice("CLICKHOUSE_URL"),
    down: `${storeAdvice("CLICKHOUSE_URL").down}; devices keep what they measure`,
  },
  blobs: {
    down: "put the folder back from a backup, with its owner and rights, or see whether BLOB_URL answers",
    degraded:
      "it answers, and slowly: see what else keeps the disk, or the store behind BLOB_URL, busy",
  },
  disk: always("make room in the data folder, or shorten what is kept"),
  writes: always(
    "nothing that was acknowledged is at risk: see what else writes there, whether the disk fails (smartctl), or what the cloud allows it (IOPS)",
  ),
  journal: always("the time-series store does not keep up: look at it first"),
  bus: always(
    "is the NATS server running, does NATS_URL reach it, and who else writes to it? Meanwhile machines hear of each other late",
  ),
};

function always(advice: string): { down: string; degraded: string } {
  return { down: advice, degraded: advice };
}

/** What a body of `/readyz` says; nothing where it is another program's. */
export function readReadiness(body: string): Readiness | undefined {
  try {
    const { checks, reasons } = JSON.parse(body) as Partial<Readiness>;
    return checks && Object.keys(checks).length > 0
      ? { checks, reasons: reasons ?? {} }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Each part of the platform with its reason and what to do next. */
export function findingsOf({ checks, reasons = {} }: Readiness): Finding[] {
  return Object.entries(checks).map(([check, state]) => {
    const words = [state, reasons[check], state === "up" ? undefined : NEXT[check]?.[state]];
    return { check, state: STATES_OF_PARTS[state], detail: words.filter(Boolean).join("; ") };
  });
}

const CLOCK_NOTE_MS = 5_000;
const CLOCK_PROBLEM_MS = 60_000;

/** How far this machine's clock is from the platform's, by the `Date` of its answer (whole seconds). */
export function checkClock(date: string | null, nowMs: number): Finding {
  const check = "clock";
  const theirs = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(theirs)) return { check, state: "note", detail: "the platform says no time" };
  const offMs = Math.abs(nowMs - theirs);
  const detail = `${(offMs / 1_000).toFixed(0)} s from the platform's`;
  if (offMs > CLOCK_PROBLEM_MS) {
    const why = "certificates and signatures may be refused; start time synchronisation (NTP)";
    return { check, state: "problem", detail: `${detail}: ${why}` };
  }
  return { check, state: offMs > CLOCK_NOTE_MS ? "note" : "ok", detail };
}
