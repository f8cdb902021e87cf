import { type Clock, sleep } from "../../kernel/index.ts";
import type { StateStore } from "../agent-state.ts";
import type { Reboot } from "../ports.ts";

/** How long a restart waits for the platform to hear of it. */
const FAREWELL_MS = 1_000;

export interface RestartForCommandDeps {
  clock: Clock;
  state: StateStore;
  life: AbortSignal;
  publish(topic: string, payload: string): Promise<void>;
  reboot: Reboot;
}

/** Restarts the machine for a command; who asked for it is on disk first, to be answered after it. */
export async function restartForCommand(
  deps: RestartForCommandDeps,
  commandId: string,
): Promise<void> {
  await deps.state.update((state) => ({ ...state, restart: { reason: "command", commandId } }));
  const told = deps
    .publish(`commands/${commandId}/result`, JSON.stringify({ status: "running" }))
    .catch(() => {
      // The result after the boot says everything.
    });
  await Promise.race([told, sleep(deps.clock, FAREWELL_MS, deps.life)]);
  deps.reboot("command");
}
