import type { ActiveUpdate } from "../agent-state.ts";
import type { UpdateContext } from "./update-context.ts";

type Change = Partial<ActiveUpdate>;

/** Changes the update under way, on disk first; nothing happens where there is none. */
export async function changeUpdate(
  context: Pick<UpdateContext, "state" | "log">,
  patch: Change | ((current: ActiveUpdate) => Change),
): Promise<void> {
  const before = context.state.current.update;
  await context.state.update((state) => {
    if (!state.update) return state;
    const fields = typeof patch === "function" ? patch(state.update) : patch;
    return { ...state, update: { ...state.update, ...fields } };
  });
  const phase = context.state.current.update?.phase;
  if (before && phase !== before.phase) phaseEnded(context, before);
}

/** Leaves a span of the phase in the trace of its assignment. */
export function phaseEnded(
  { state, log }: Pick<UpdateContext, "state" | "log">,
  { phase, phaseStartedAt, assignment }: ActiveUpdate,
  error?: string,
): void {
  const durationMs = Math.max(0, state.trustedNow() - phaseStartedAt);
  const message = `${phase} took ${(durationMs / 1_000).toFixed(1)} s`;
  const span = { name: `update ${phase}`, durationMs, error };
  log("info", message, assignment.signed.traceparent, span);
}
