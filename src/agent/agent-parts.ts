import type { LogLevel } from "../protocol/index.ts";
import type { AgentDeps } from "./agent.ts";
import { WatchdogKeeper } from "./boot/watchdog.ts";
import type { Connection } from "./connection/connection.ts";
import { Outbox, type OutboxOptions } from "./offline/outbox.ts";
import { Twin } from "./work/twin.ts";

/** Parts of the agent that need little of the others. */
export function outboxOf(
  { storage, clock }: AgentDeps,
  options: OutboxOptions,
  others: { connection(): Connection; onProblem(message: string): void },
): Outbox {
  const { connection, onProblem } = others;
  return new Outbox({
    ...{ storage, clock, options, onProblem },
    isConnected: () => connection().isConnected,
    publish: (topic, payload, publishing) => connection().publish(topic, payload, publishing),
  });
}

export function twinOf(
  { storage, twin }: AgentDeps,
  life: AbortSignal,
  connection: Connection,
  log: (level: LogLevel, message: string) => void,
): Twin {
  return new Twin({
    ...{ storage, handler: twin, life, log },
    isConnected: () => connection.isConnected,
    publish: (topic, payload) => connection.publish(topic, payload),
  });
}

export function watchdogKeeperOf(
  { watchdog, clock, storage }: AgentDeps,
  onProblem: (message: string) => void,
): WatchdogKeeper | undefined {
  if (!watchdog) return undefined;
  const works = () => storage.list().then(() => {});
  return new WatchdogKeeper({ watchdog, clock, works, onProblem });
}
