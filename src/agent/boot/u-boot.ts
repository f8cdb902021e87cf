import { runProgram } from "../work/run-program.ts";
import type { BootEnvironment } from "./environment-boot.ts";

export interface UBootOptions {
  /** `fw_env.config`: where the environment lies; the tools' own default if nothing is said. */
  configFile?: string | undefined;
  /** Environment that the tools take where none is found yet. */
  defaultsFile?: string | undefined;
}

const LIMIT_MS = 30_000;

/** U-Boot's environment by the tools of libubootenv (or u-boot-tools). */
export function uBootEnvironment({ configFile, defaultsFile }: UBootOptions): BootEnvironment {
  const places = [
    ...(configFile ? ["-c", configFile] : []),
    ...(defaultsFile ? ["-f", defaultsFile] : []),
  ];
  return {
    async read() {
      const command = ["fw_printenv", ...places];
      const { stdout } = await succeed(command, { maxOutputBytes: 256 * 1024 });
      return parseVariables(stdout);
    },
    async write(changes) {
      // A script is one write of the whole environment: with a redundant one, all or nothing.
      const lines = Object.entries(changes).map(([name, value]) => `${name}=${value ?? ""}\n`);
      // `cat`, since the input that Node gives a program is a socket, which has no path to open.
      const script = ["sh", "-c", 'cat | "$@" -s /dev/stdin', "-", "fw_setenv", ...places];
      await succeed(script, { input: lines.join("") });
    },
  };
}

/** `name=value` lines; values may hold further equals signs. */
export function parseVariables(text: string): Record<string, string | undefined> {
  const variables: Record<string, string | undefined> = {};
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) variables[line.slice(0, at)] = line.slice(at + 1);
  }
  return variables;
}

/** Runs a program of the machine that must succeed. */
export async function succeed(
  command: readonly string[],
  options: { input?: string; maxOutputBytes?: number; limitMs?: number } = {},
): Promise<{ stdout: string }> {
  const { limitMs = LIMIT_MS, ...rest } = options;
  const { status, output, stdout } = await runProgram(command, AbortSignal.timeout(limitMs), rest);
  if (status === 0) return { stdout };
  throw new Error(`${command[0]} ended with status ${status}: ${output}`);
}
