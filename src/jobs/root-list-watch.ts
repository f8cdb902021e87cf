import type { Logger } from "../kernel/logger.ts";
import { gauge } from "../kernel/metrics.ts";

export interface RootListWatchDeps {
  pki: {
    rootList(): Promise<{ state: string; nextUpdate: Date | null; unlisted: number } | null>;
  };
}

const nextUpdateGauge = gauge(
  "vautn_root_list_next_update_seconds",
  "Until when the offline root's revocation list is good",
);

/** Says, every hour, that the revocation list of the offline root needs a ceremony. */
export function createRootListWatch({ pki }: RootListWatchDeps, logger: Logger) {
  return async function watch(): Promise<void> {
    const list = await pki.rootList();
    if (!list) return;
    const { state, nextUpdate, unlisted } = list;
    if (nextUpdate) nextUpdateGauge.set(nextUpdate.getTime() / 1_000);
    // Who never signed one does without by choice.
    if (state === "current" || state === "missing") return;
    const facts = { state, nextUpdate, unlisted };
    const text =
      "the offline root's revocation list needs to be signed anew: " +
      "vautn pki request > bundle.json, vautn pki sign-bundle, vautn pki import";
    if (state === "ended") logger.error(facts, text);
    else logger.warn(facts, text);
  };
}
