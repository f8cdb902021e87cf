/**
 * Entry of the child process that holds the embedded ClickHouse engine. Its parent sends the order
 * over IPC and hears the port; when the parent is gone, so is the engine.
 */
import fs from "node:fs";
import { messageOf } from "../kernel/errors.ts";
import { type Endpoint, startEndpoint } from "./endpoint.ts";
import { Engine } from "./engine.ts";
import { prepareSpool } from "./spool.ts";

export interface StartOrder {
  kind: "start";
  directory: string;
  port: number;
  secret: string;
}
export type ToEngineProcess = StartOrder | { kind: "stop" };
export type FromEngineProcess =
  | { kind: "ready"; port: number }
  | { kind: "failed"; message: string };

const STOP_DEADLINE_MS = 15_000;

let running: { engine: Engine; endpoint: Endpoint; spoolDirectory: string } | undefined;
let stopping = false;

// Ctrl-C reaches the whole process group: the parent decides when this process stops.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => void stop());
process.on("disconnect", () => void stop());
process.on("message", (message: ToEngineProcess) => {
  if (message.kind === "start") void start(message);
  else void stop();
});

async function start(order: StartOrder): Promise<void> {
  try {
    const engine = await Engine.open(order.directory);
    const spoolDirectory = prepareSpool(order.directory);
    const { port, secret } = order;
    const endpoint = await startEndpoint({ engine, port, secret, spoolDirectory });
    running = { engine, endpoint, spoolDirectory };
    tell({ kind: "ready", port: endpoint.port });
  } catch (error) {
    tell({ kind: "failed", message: messageOf(error) });
    process.disconnect?.();
  }
}

function tell(message: FromEngineProcess): void {
  process.send?.(message);
}

/** Answers what was asked, closes the store, ends. */
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.kill(process.pid, "SIGKILL"), STOP_DEADLINE_MS).unref();
  await running?.endpoint.close();
  await running?.engine.close();
  if (running) fs.rmSync(running.spoolDirectory, { recursive: true, force: true });
  process.exit(0);
}
