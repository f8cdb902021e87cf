import path from "node:path";
import type { Config, Role } from "../kernel/config.ts";

/** Where a process keeps its journal, and whose it takes over besides its own. */
export interface JournalPlace {
  directory: string;
  name: string;
  isLost(name: string): boolean;
}

/** Processes that have taken something in: those of `planProcesses`, and the one that is all. */
const WRITERS = /^(gateway-\d{1,2}|vautn)$/;

/**
 * Only who takes in messages has a journal. The engine's disk is the journal's where the engine is
 * embedded, so it holds nothing less firmly; a gateway whose ClickHouse is elsewhere may lose its disk
 * any time, and has a journal only where somebody says that it will not.
 */
export function journalOf(
  config: Pick<Config, "journal" | "clickhouseUrl" | "dataDirectory" | "gatewayProcesses">,
  processName: string,
  roles: readonly Role[],
): JournalPlace | undefined {
  const isWanted =
    config.journal === "on" || (config.journal === "auto" && config.clickhouseUrl === undefined);
  if (!isWanted || !roles.includes("gateway")) return undefined;
  const others = Array.from({ length: config.gatewayProcesses }, (_, at) => `gateway-${at + 1}`);
  const isFirst = processName === others[0] || !others.includes(processName);
  return {
    directory: path.join(config.dataDirectory, "journal"),
    name: processName,
    // Of processes that this configuration does not start any more: the first one feeds theirs.
    isLost: (name) =>
      isFirst &&
      WRITERS.test(name) &&
      name !== processName &&
      !(others.includes(processName) && others.includes(name)),
  };
}
