import type { ActiveUpdate } from "../agent-state.ts";
import type { UpdateContext } from "./update-context.ts";

type Change = Partial<ActiveUpdate>;

/** Changes the update under way, on disk first; nothing happens where there is none. */
export async function changeUpdate(
  context: Pick<UpdateContext, "state">,
  patch: Change | ((current: ActiveUpdate) => Change),
): Promise<void> {
  await context.state.update((state) => {
    if (!state.update) return state;
    const fields = typeof patch === "function" ? patch(state.update) : patch;
    return { ...state, update: { ...state.update, ...fields } };
  });
}
