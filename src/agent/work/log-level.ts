import type { LogLevel } from "../../protocol/index.ts";

/** The lowest level that leaves the device, and where it goes back to by itself. */
export interface LogLevelState {
  logLevel: LogLevel;
  /** Set while a level was asked for a while only; survives restarts. */
  logLevelReverts: { atMs: number; to: LogLevel } | null;
}

export function logLevelAt({ logLevel, logLevelReverts }: LogLevelState, nowMs: number): LogLevel {
  return logLevelReverts && nowMs >= logLevelReverts.atMs ? logLevelReverts.to : logLevel;
}

/** A level for good, or for so many seconds; then the last one that was meant for good comes back. */
export function withLogLevel<State extends LogLevelState>(
  state: State,
  level: LogLevel,
  { forSeconds, nowMs }: { forSeconds: number | undefined; nowMs: number },
): State {
  if (forSeconds === undefined) return { ...state, logLevel: level, logLevelReverts: null };
  const to = state.logLevelReverts?.to ?? state.logLevel;
  const atMs = nowMs + forSeconds * 1_000;
  return { ...state, logLevel: level, logLevelReverts: { atMs, to } };
}
