import { messageOf } from "../../kernel/index.ts";
import { type RootMetadata, verifyScript } from "../../protocol/index.ts";
import type { CommandHandler } from "./commands.ts";
import { runInShell } from "./run-in-shell.ts";

export interface RunScriptDeps {
  identity: { tenant: string; product: string; device: string };
  root(): RootMetadata;
  trustedNow(): number;
  log(level: "info" | "warn", message: string): void;
}

/** The command `run-script`: verifies the signature, then hands the text to a shell by a pipe. */
export function runScriptCommand(deps: RunScriptDeps): CommandHandler {
  return async (args, context) => {
    const envelope = (args as { script?: unknown } | null)?.script;
    const verdict = verifyScript(envelope, deps.root(), {
      ...deps.identity,
      trustedTimeMs: deps.trustedNow(),
    });
    if (!verdict.accepted) {
      deps.log("warn", `a script was refused: ${verdict.check}, ${verdict.message}`);
      throw new Error(`the script is refused: ${verdict.check}, ${verdict.message}`);
    }
    const { name, content, timeoutSeconds } = verdict.script;
    deps.log("info", `running script ${name}`);
    const limit = AbortSignal.timeout(timeoutSeconds * 1_000);
    try {
      const signal = AbortSignal.any([context.signal, limit]);
      const onOutput = (text: string) => context.write(text);
      const { status, output } = await runInShell(content, signal, { onOutput });
      if (status !== 0) throw new Error(`${name}: exit status ${status}: ${output}`);
      return { name, output };
    } catch (error) {
      if (limit.aborted) throw new Error(`${name}: not done within ${timeoutSeconds} s`);
      throw error instanceof Error ? error : new Error(messageOf(error));
    }
  };
}
