import type { AgentState } from "../agent-state.ts";
import type { BootStatus } from "../ports.ts";

export type BootReason = "power-on" | "watchdog" | "update" | "fallback" | "command";

/** Why the machine was started, for the `boot` event. */
export function bootReason(state: AgentState, boot: BootStatus): BootReason {
  const update = state.update;
  const afterRestart = update?.phase === "rebooting" || update?.phase === "confirming";
  if (update && afterRestart && boot.abandoned === update.targetSlot) return "fallback";
  if (boot.resetCause === "watchdog") return "watchdog";
  return state.restart?.reason ?? "power-on";
}
