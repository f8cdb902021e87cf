// Entry of the self-contained dist/vautn-agent.mjs.

import { messageOf } from "../kernel/index.ts";
import { readAgentConfig } from "./agent-config.ts";
import { runAgent } from "./run-agent.ts";
import { askStatus, describeStatus } from "./status-socket.ts";

/** Put in by tools/build-agent.ts. */
declare const VAUTN_VERSION: string;

const USAGE = `vautn-agent: the device agent of Vautn

Usage: vautn-agent run --config FILE
       vautn-agent status --config FILE [--json]
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
  if (first === "status" && rest[0] === "--config" && rest[1]) {
    return tellStatus(rest[1], rest[2] === "--json");
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

async function tellStatus(configFile: string, json: boolean): Promise<number> {
  try {
    const { data } = await readAgentConfig(configFile);
    const status = await askStatus(data);
    if (!status) throw new Error("the agent is starting");
    process.stdout.write(json ? `${JSON.stringify(status)}\n` : describeStatus(status));
    return 0;
  } catch (error) {
    process.stderr.write(`vautn-agent: no agent answers: ${messageOf(error)}\n`);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
