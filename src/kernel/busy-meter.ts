import fs from "node:fs";
import { performance } from "node:perf_hooks";

/** proc(5): the time that the first thread has run, and waited for a processor, in nanoseconds. */
const SCHEDULING = "/proc/self/schedstat";

/**
 * Answers in which part of the time since the last call, 0 to 1, the event loop had something to do:
 * it ran, or what had woken it waited for a processor. Where nothing tells of the latter, it ran.
 */
export function createBusyMeter(): () => number {
  let loop = performance.eventLoopUtilization();
  let wanted = wantedMs();
  let at = performance.now();
  return () => {
    const [loopNow, wantedNow, now] = [
      performance.eventLoopUtilization(),
      wantedMs(),
      performance.now(),
    ];
    const { utilization } = performance.eventLoopUtilization(loopNow, loop);
    const wantedShare = now > at ? (wantedNow - wanted) / (now - at) : 0;
    loop = loopNow;
    wanted = wantedNow;
    at = now;
    return Math.min(1, Math.max(utilization, wantedShare));
  };
}

function wantedMs(): number {
  if (process.platform !== "linux") return 0;
  try {
    const [ran = 0, waited = 0] = fs.readFileSync(SCHEDULING, "utf8").split(" ").map(Number);
    return (ran + waited) / 1e6;
  } catch {
    return 0; // A kernel that does not count it.
  }
}
