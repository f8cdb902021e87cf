import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { misuse } from "./cli-error.ts";
import type { CliIo } from "./io.ts";

const MAX_INPUT_BYTES = 64 * 1024;

/** Everything that stands on standard input, which must not be much. */
export async function readAll(io: CliIo): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.input) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_INPUT_BYTES) throw misuse("standard input is longer than expected here");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Asks at the terminal; a hidden answer is not shown while it is typed. `unasked` is how to say it
 * where there is no terminal.
 */
export function ask(
  io: CliIo,
  question: string,
  { hidden = false, unasked }: { hidden?: boolean; unasked?: string } = {},
): Promise<string> {
  if (!io.isInteractive) {
    const what = question.trim().replace(/:$/, "");
    return Promise.reject(misuse(`there is no terminal to ask for: ${what}`, unasked));
  }
  io.err(question);
  const echo = new Writable({
    write(chunk, _encoding, done) {
      if (!hidden) io.err(String(chunk));
      done();
    },
  });
  const lines = createInterface({ input: io.input, output: echo, terminal: true });
  return new Promise((resolve, reject) => {
    lines.once("line", (line) => {
      if (hidden) io.err("\n");
      resolve(line);
      lines.close();
    });
    lines.once("close", () => reject(misuse("the answer is missing")));
  });
}

/** Asks before what cannot be undone; `--yes` answers it, and a pipe must give that. */
export async function confirm(io: CliIo, yes: boolean | undefined, what: string): Promise<void> {
  if (yes) return;
  if (!io.isInteractive) throw misuse(`${what} cannot be undone`, "add --yes to confirm");
  const answer = await ask(io, `${what} cannot be undone. Go on? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw misuse("nothing was changed");
}
