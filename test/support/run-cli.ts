import { Readable } from "node:stream";
import { runCli } from "../../src/cli/index.ts";

export interface CliResult {
  status: number;
  out: string;
  err: string;
}

/** Runs a command of `vautn` in a pipe, with nothing of this process's environment. */
export async function runInPipe(
  argv: readonly string[],
  environment: Record<string, string>,
): Promise<CliResult> {
  const result: CliResult = { status: -1, out: "", err: "" };
  const actions = { up: async () => 0, demo: async () => 0 };
  result.status = await runCli(argv, actions, {
    out: (text) => {
      result.out += text;
    },
    err: (text) => {
      result.err += text;
    },
    input: Readable.from([]),
    isInteractive: false,
    columns: undefined,
    environment,
    interrupted: new AbortController().signal,
  });
  return result;
}
