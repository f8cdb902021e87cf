// Entry of the self-contained dist/vautn-agent.mjs.

import { messageOf } from "../kernel/index.ts";
import { runAgent } from "./run-agent.ts";

/** Put in by tools/build-agent.ts. */
declare const VAUTN_VERSION: string;

const USAGE = `vautn-agent: the device agent of Vautn

Usage: vautn-agent run --config FILE
       vautn-agent --help | --version

Exit status: 0 ended by a signal, 1 failed, 2 misuse, 75 the machine is to be restarted.
`;

async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === "--help" || first === "-h") {
    process.stdout.write(USAGE);
    return 0;
  }
  if (first === "--version") {
    process.stdout.write(`${VAUTN_VERSION}\n`);
    return 0;
  }
  if (first !== "run" || rest.length !== 2 || rest[0] !== "--config") {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    return await runAgent(rest[1] as string, process.env);
  } catch (error) {
    process.stderr.write(`vautn-agent: ${messageOf(error)}\n`);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
