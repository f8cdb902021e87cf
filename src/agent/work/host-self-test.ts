import { readFile } from "node:fs/promises";
import { type Clock, messageOf, sleep } from "../../kernel/index.ts";
import type { SelfTestResult } from "../ports.ts";
import { runProgram } from "./run-program.ts";

/** What a machine has to show before a new image stays; each part is left out where it is absent. */
export interface HostSelfTest {
  /** Program whose exit status 0 means that the image is fit to stay. */
  command?: readonly string[] | undefined;
  timeoutSeconds?: number | undefined;
  /** Units of the service manager that must be up. */
  services?: readonly string[] | undefined;
  /** Memory that must be left for others. */
  minFreeMemoryBytes?: number | undefined;
  /** How long all of it must hold before the program is asked. */
  settleSeconds?: number | undefined;
}

export interface HostSelfTestDeps {
  clock: Clock;
  /** How a service is asked for; `systemctl is-active` on a real machine. */
  isActive?: (service: string, signal: AbortSignal) => Promise<string>;
  memoryFile?: string;
}

const DEFAULT_TIMEOUT_SECONDS = 120;
const LOOK_AGAIN_MS = 1_000;

/** Services may still be starting: they have until `signal` ends. Memory is judged once they are up. */
export async function runHostSelfTest(
  test: HostSelfTest,
  deps: HostSelfTestDeps,
  signal: AbortSignal,
): Promise<SelfTestResult> {
  for (const service of test.services ?? []) {
    const result = await untilActive(service, deps, signal);
    if (!result.passed) return result;
  }
  if (test.settleSeconds) await sleep(deps.clock, test.settleSeconds * 1_000, signal);
  for (const service of test.services ?? []) {
    const state = await (deps.isActive ?? askServiceManager)(service, signal);
    if (state !== "active") return failed(`service-${service}`, `it is ${state} again`);
  }
  const memory = await testMemory(test.minFreeMemoryBytes, deps.memoryFile);
  if (!memory.passed) return memory;
  return test.command ? runScript(test.command, test.timeoutSeconds, signal) : { passed: true };
}

async function untilActive(
  service: string,
  deps: HostSelfTestDeps,
  signal: AbortSignal,
): Promise<SelfTestResult> {
  let state = "unknown";
  while (!signal.aborted) {
    try {
      state = await (deps.isActive ?? askServiceManager)(service, signal);
      if (state === "active") return { passed: true };
      if (state === "failed") break;
      await sleep(deps.clock, LOOK_AGAIN_MS, signal);
    } catch (error) {
      if (!signal.aborted) return failed(`service-${service}`, messageOf(error));
    }
  }
  return failed(`service-${service}`, `it is ${state}, not active`);
}

async function askServiceManager(service: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await runProgram(["systemctl", "is-active", "--", service], signal);
  return stdout.trim() || "unknown";
}

async function testMemory(
  minFreeBytes: number | undefined,
  memoryFile = "/proc/meminfo",
): Promise<SelfTestResult> {
  if (!minFreeBytes) return { passed: true };
  // proc(5): what can be given to programs without swapping, in KiB.
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile(memoryFile, "utf8"))?.[1];
  const free = Number(available ?? 0) * 1024;
  if (free >= minFreeBytes) return { passed: true };
  return failed("memory", `${free} bytes are free, ${minFreeBytes} are needed`);
}

async function runScript(
  command: readonly string[],
  timeoutSeconds = DEFAULT_TIMEOUT_SECONDS,
  signal: AbortSignal,
): Promise<SelfTestResult> {
  const limit = AbortSignal.timeout(timeoutSeconds * 1_000);
  try {
    const { status, output } = await runProgram(command, AbortSignal.any([signal, limit]));
    if (status === 0) return { passed: true };
    return failed("self-test", `exit status ${status}: ${output}`);
  } catch (error) {
    if (limit.aborted) return failed("self-test", `did not end within ${timeoutSeconds} s`);
    if (signal.aborted) throw error;
    return failed("self-test", `cannot be started: ${messageOf(error)}`);
  }
}

function failed(element: string, message: string): SelfTestResult {
  return { passed: false, element, message: message.slice(0, 1_000) };
}
