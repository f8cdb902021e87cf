import { X509Certificate } from "node:crypto";
import { messageOf } from "../../kernel/index.ts";
import { StateStore } from "../agent-state.ts";
import type { Storage, TlsCredentials } from "../ports.ts";
import { runProgram } from "../work/run-program.ts";

const SETTING_MS = 10_000;

/**
 * A machine whose clock has no battery wakes up decades ago, and then no certificate is valid yet. The
 * latest time that the agent has ever known is nearer to the truth: the clock is put forward to it,
 * never back, and a time server sets it right later.
 */
export async function setClockForward(
  { setClock }: { setClock?: readonly string[] | undefined },
  storage: Storage,
  credentials: { current: TlsCredentials },
  log: (level: "info" | "error", message: string) => void,
  now: () => number = Date.now,
): Promise<void> {
  const state = await StateStore.load(storage, { now: () => 0 } as never);
  const { validFromDate } = new X509Certificate(credentials.current.certificate);
  const known = Math.max(state.current.highestTimeMs, validFromDate.getTime());
  if (now() >= known) return;
  const time = new Date(known).toISOString();
  if (!setClock) {
    log("error", `the clock is behind ${time}: certificates may not be valid yet (see setClock)`);
    return;
  }
  const seconds = String(Math.ceil(known / 1_000));
  const command = setClock.map((word) => word.replaceAll("{seconds}", seconds));
  try {
    const { status, output } = await runProgram(command, AbortSignal.timeout(SETTING_MS));
    if (status === 0) log("info", `the clock was put forward to ${time}`);
    else log("error", `the clock could not be set: ${command[0]} ended with ${status}: ${output}`);
  } catch (error) {
    log("error", `the clock could not be set: ${messageOf(error)}`);
  }
}
