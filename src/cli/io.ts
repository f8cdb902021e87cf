import type { Readable } from "node:stream";

/** What a command may touch of the process it runs in. */
export interface CliIo {
  out(text: string): void;
  err(text: string): void;
  input: Readable & { isTTY?: boolean };
  /** Whether progress and prompts make sense: both ends are a terminal. */
  isInteractive: boolean;
  /** Columns of the terminal; undefined in a pipe. */
  columns: number | undefined;
  environment: NodeJS.ProcessEnv;
  /** Aborted by Ctrl-C while a command follows something. */
  interrupted: AbortSignal;
}

export function processIo(): CliIo {
  let interrupted: AbortSignal | undefined;
  // A reader that has seen enough (`| head`) ends the program, not with an error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    input: process.stdin,
    isInteractive: Boolean(process.stderr.isTTY && process.stdin.isTTY),
    columns: process.stdout.isTTY ? process.stdout.columns : undefined,
    environment: process.env,
    get interrupted() {
      // Only a command that follows something asks; any other is ended by Ctrl-C as usual.
      if (!interrupted) {
        const controller = new AbortController();
        process.once("SIGINT", () => controller.abort());
        interrupted = controller.signal;
      }
      return interrupted;
    },
  };
}
