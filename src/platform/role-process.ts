// Entry of a role process: waits for `start`, runs its roles until `stop` or until the supervisor
// disappears.
import { LocalBus } from "../bus/index.ts";
import { messageOf } from "../kernel/index.ts";
import type { FromRoleProcess, ToRoleProcess } from "./messages.ts";
import { type RunningRoles, startRoles } from "./roles.ts";

let running: Promise<RunningRoles> | undefined;
const bus = new LocalBus((subject, message) => send({ kind: "bus", subject, message }));

process.on("message", (message: ToRoleProcess) => {
  if (message.kind === "bus") bus.deliver(message.subject, message.message);
  else if (message.kind === "uplink") bus.setUplink(message.isConnected, message.flood);
  else if (message.kind === "stop") void stop(0);
  else void start(message);
});
// The supervisor is gone, be it by kill -9: nobody would stop this process any more.
process.on("disconnect", () => void stop(1));
// Ctrl-C reaches the whole process group; the supervisor decides the order of stopping.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => void stop(0));

async function start(message: Extract<ToRoleProcess, { kind: "start" }>): Promise<void> {
  try {
    running = startRoles({ ...message, bus });
    await running;
    send({ kind: "ready" });
  } catch (error) {
    send({ kind: "failed", message: messageOf(error) });
    await stop(1);
  }
}

async function stop(status: number): Promise<void> {
  const deadline = setTimeout(() => process.exit(1), 10_000);
  deadline.unref();
  try {
    await (await running)?.stop();
  } catch {
    // Reported by the start that failed.
  }
  process.exit(status);
}

function send(message: FromRoleProcess): void {
  if (process.connected) process.send?.(message);
}
