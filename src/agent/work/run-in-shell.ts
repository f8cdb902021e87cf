import { type ProgramOptions, type ProgramResult, runProgram } from "./run-program.ts";

/** A script of several lines; the text goes by a pipe: no file could be changed between check and use. */
export function runInShell(
  content: string,
  signal: AbortSignal,
  options: Omit<ProgramOptions, "input"> = {},
): Promise<ProgramResult> {
  return runProgram(["/bin/sh", "-s"], signal, { ...options, input: content });
}
