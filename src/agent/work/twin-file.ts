import path from "node:path";
import type { JsonObject } from "../../protocol/index.ts";
import { isJsonObject } from "../../protocol/index.ts";
import { replaceFile } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";
import { runProgram } from "./run-program.ts";
import type { TwinHandler } from "./twin.ts";

/** What programs of the device read: what it ought to be, whole. */
export const DESIRED_FILE = "desired.json";
const MAX_ANSWER_BYTES = 64 * 1024;

export interface TwinFileOptions {
  storage: Storage;
  dataDirectory: string;
  /** Takes the file into use; `{file}` and `{version}` stand for it. May print what then is, as JSON. */
  apply?: readonly string[] | undefined;
  timeoutMs: number;
}

/** The twin of an ordinary machine: a file, and a program that makes it so or says why not. */
export function twinByFile(options: TwinFileOptions): TwinHandler {
  const { storage, dataDirectory, apply, timeoutMs } = options;
  return {
    async apply(desired, version, signal) {
      const text = Buffer.from(`${JSON.stringify(desired, null, 2)}\n`);
      await replaceFile(storage, DESIRED_FILE, text);
      if (!apply) return undefined;
      const file = path.join(dataDirectory, DESIRED_FILE);
      const command = apply.map((argument) =>
        argument.replaceAll("{file}", file).replaceAll("{version}", String(version)),
      );
      const limit = AbortSignal.timeout(timeoutMs);
      const { status, output, stdout } = await runProgram(
        command,
        AbortSignal.any([signal, limit]),
        { maxOutputBytes: MAX_ANSWER_BYTES },
      ).catch((error) => {
        throw limit.aborted ? new Error(`not done within ${timeoutMs} ms`) : error;
      });
      if (status !== 0) throw new Error(`${command[0]} ended with status ${status}: ${output}`);
      return answerOf(stdout);
    },
  };
}

function answerOf(text: string): JsonObject | undefined {
  if (text.trim() === "") return undefined;
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (error) {
    throw new Error("what it printed is no JSON", { cause: error });
  }
  if (!isJsonObject(answer)) throw new Error("what it printed is no JSON object");
  return answer;
}
