import type { Command } from "commander";
import { type Cli, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";

const ROWS_HELP =
  "rows are `timestamp,value`, or JSON objects with these names: seconds, milliseconds or a date, then a number (empty, NaN or null for none)";
const BATCH_LENGTH = 16_384;

export function detectCommand(program: Command, cli: Cli): void {
  leaf(program, {
    usage: "detect",
    summary:
      "score rows of standard input, `timestamp,value` or JSON lines: one score from 0 to 1 a row",
    example: "vautn detect --period 300 < temperature.csv",
  })
    .option("--period <seconds>", "time between rows whose timestamps cannot be read", periodOf)
    .option("--json", "print a JSON object a row")
    .action(async (options: { period?: number; json?: boolean }) => {
      const { linesOf, RowFault, scoreStream } = await import("../../health/index.ts");
      const { io } = cli;
      if (io.input.isTTY) throw misuse("nothing to read", "vautn detect < rows.csv");
      const settings = options.period ? { periodSeconds: options.period } : {};
      let batch = "";
      let timer: NodeJS.Timeout | undefined;
      const flush = () => {
        clearTimeout(timer);
        timer = undefined;
        if (batch) io.out(batch);
        batch = "";
      };
      try {
        for await (const score of scoreStream(linesOf(io.input), settings)) {
          batch += options.json ? `${JSON.stringify({ score })}\n` : `${score}\n`;
          // Prompt for who reads along, in pieces for who reads a file.
          if (batch.length >= BATCH_LENGTH) flush();
          else timer ??= setTimeout(flush, 50);
        }
      } catch (error) {
        if (!(error instanceof RowFault)) throw error;
        throw new CliError(error.message, { cause: error, next: ROWS_HELP });
      } finally {
        flush();
      }
    });
}

function periodOf(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw misuse(`--period takes seconds above 0, not "${text}"`);
}
