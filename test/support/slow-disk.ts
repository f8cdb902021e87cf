import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";

/** Calls by which bytes get to the disk. */
const WRITES = "write,writev,pwrite64,pwritev,fsync,fdatasync";
const SYNCS = "fsync,fdatasync";

/** Whether strace is here and may hold up processes of our own. */
export function canSlowDisks(): boolean {
  const args = ["-o", "/dev/null", "-e", `trace=${SYNCS}`, "-e", `inject=${SYNCS}:delay_enter=1`];
  return spawnSync("strace", [...args, "true"]).status === 0;
}

/**
 * Has every write of this process's files, and every sync of another process, take longer by so much:
 * what a disk does that is at its end. Resolves to what ends it.
 */
export async function slowDisk(enginePid: number, delayMs: number): Promise<() => Promise<void>> {
  const threads = fs.readdirSync("/proc/self/task").filter((thread) => {
    // Files are written by these alone, and sockets by none of them.
    return fs.readFileSync(`/proc/self/task/${thread}/comm`, "utf8").startsWith("libuv-worker");
  });
  const tracers = [
    trace(["-f", "-p", String(enginePid)], SYNCS, delayMs),
    trace(
      threads.flatMap((thread) => ["-p", thread]),
      WRITES,
      delayMs,
    ),
  ];
  const [engine, own] = tracers as [ChildProcess, ChildProcess];
  await Promise.all([untilAttached(engine, 1), untilAttached(own, threads.length)]);
  return async () => {
    for (const tracer of tracers) tracer.kill("SIGINT");
    await Promise.all(
      tracers.map(async (tracer) => tracer.exitCode ?? (await once(tracer, "exit"))),
    );
  };
}

/** It names each process or thread once it has it. */
async function untilAttached(tracer: ChildProcess, count: number): Promise<void> {
  let said = "";
  while (said.split(" attached").length - 1 < count) {
    said += String((await once(tracer.stderr as NodeJS.ReadableStream, "data"))[0]);
  }
}

/** Says on its standard error when it has its threads. */
function trace(whom: string[], calls: string, delayMs: number): ChildProcess {
  const rule = `inject=${calls}:delay_enter=${delayMs * 1_000}`;
  const args = [...whom, "-o", "/dev/null", "-e", `trace=${calls}`, "-e", rule];
  return spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
}
