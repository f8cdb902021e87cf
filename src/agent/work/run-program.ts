import { spawn } from "node:child_process";

const MAX_OUTPUT_CHARACTERS = 4_000;

export interface ProgramResult {
  /** Null where a signal ended it. */
  status: number | null;
  /** The end of what it wrote, on both ways. */
  output: string;
  /** What it wrote on standard output, up to `maxOutputBytes`. */
  stdout: string;
}

export interface ProgramOptions {
  input?: string;
  maxOutputBytes?: number;
  onOutput?: (text: string) => void;
}

/** Runs a program without a shell, to its end or that of `signal`; rejects where it cannot start. */
export function runProgram(
  command: readonly string[],
  signal: AbortSignal,
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const { input, maxOutputBytes = MAX_OUTPUT_CHARACTERS, onOutput } = options;
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    let output = "";
    let stdout = "";
    const keep = (text: string) => {
      output = `${output}${text}`.slice(-MAX_OUTPUT_CHARACTERS);
      onOutput?.(text);
    };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (stdout.length < maxOutputBytes) stdout += text.slice(0, maxOutputBytes - stdout.length);
      keep(text);
    });
    child.stderr?.setEncoding("utf8").on("data", keep);
    // A program that does not read its input is judged by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, output: output.trim(), stdout }));
  });
}
