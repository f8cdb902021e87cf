import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { ApiClient } from "../../src/client/index.ts";
import { freePort } from "../../src/db/index.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const START_TIMEOUT_MS = 180_000;

export interface PlatformProcess {
  /** What it has said so far. */
  output(): string;
  /** Resolves when its output matches. */
  untilSaid(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  /** Kills it and every process below it at once, as a power cut of the machine would. */
  killAll(): Promise<void>;
  /** SIGTERM; resolves with the exit status. */
  stop(): Promise<number | null>;
}

/** Ports that stay the same over restarts, as an installation's do. */
export async function fixedPorts(): Promise<Record<string, string>> {
  return {
    VAUTN_API_PORT: String(await freePort()),
    VAUTN_DEVICE_HTTP_PORT: String(await freePort()),
    VAUTN_MQTT_PORT: String(await freePort()),
  };
}

/** `vautn` with these arguments as a process of its own. */
export function startProcess(args: string[], environment: Record<string, string>): PlatformProcess {
  const child = spawn(process.execPath, [path.join(ROOT, "src/main.ts"), ...args], {
    env: { ...process.env, VAUTN_LOG_LEVEL: "error", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const ended = once(child, "close");
  return {
    output: () => said,
    async untilSaid(pattern, timeoutMs = START_TIMEOUT_MS) {
      const end = Date.now() + timeoutMs;
      for (;;) {
        const match = said.match(pattern);
        if (match) return match;
        if (child.exitCode !== null || Date.now() > end) {
          throw new Error(`${pattern} was not said:\n${said}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    async killAll() {
      const all = [child.pid as number, ...descendants(child.pid as number)];
      for (const pid of all) sendTo(pid, "SIGKILL");
      await ended;
      // A database whose process is still listed, though killed, lets no other one start in its folder.
      const end = Date.now() + 10_000;
      while (all.some((pid) => sendTo(pid, 0)) && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    stop: () => stopOf(child, ended),
  };
}

/** False where the process is gone. */
function sendTo(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

async function stopOf(child: ChildProcess, ended: Promise<unknown>): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
  await ended;
  return child.exitCode;
}

/** Processes below this one, read before any of them is gone. */
function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended while we looked.
    }
  }
  const below = (parent: number): number[] =>
    (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(pid);
}

/** The API as the administrator, whose password the first start has said. */
export async function signInTo(url: string, output: string): Promise<ApiClient> {
  const email = /e-mail {2,}(\S+)/.exec(output)?.[1];
  const password = /password {2,}(\S+)/.exec(output)?.[1];
  const response = await new ApiClient(url, {}).raw(
    "signIn",
    {},
    {
      headers: { "content-type": "application/json", "x-requested-with": "vautn" },
      body: JSON.stringify({ email, password }),
    },
  );
  const cookie = response.headers.getSetCookie().map((header) => header.split(";")[0]);
  if (!response.ok) throw new Error(`the sign-in answered ${response.status}`);
  return new ApiClient(url, { cookie: cookie.join("; ") });
}
