import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { CallInput } from "../client/index.ts";
import { type Cli, type CommonOptions, parseJson, several, wholeNumber } from "./cli.ts";
import { CliError, misuse } from "./cli-error.ts";
import { commandTable, describeBatch, isFinal } from "./command-view.ts";
import { watchCommand } from "./command-watch.ts";

interface SendOptions extends CommonOptions {
  device?: string[];
  query?: string;
  group?: string;
  args?: string;
  ttl: number;
  priority?: number;
  key?: string;
  deliverWithin?: number;
  acceptWithin?: number;
  runWithin?: number;
  attempts?: number;
  retryDelay?: number;
  retryOn?: string[];
  concurrency?: number;
  batchSize?: number;
  interval?: number;
  wait?: boolean;
}

type Body = CallInput<"sendCommand">["body"];

const POLL_MS = 500;
const MONTH_SECONDS = 30 * 86_400;

export function sendOptions(command: Command): Command {
  const seconds = (name: string) => wholeNumber(name, 1, MONTH_SECONDS);
  return command
    .option("-d, --device <id>", "device (several times)", several)
    .option("-q, --query <query>", "every device that a fleet query finds")
    .option("-g, --group <name>", "every device of a group")
    .option("--args <json>", "arguments as JSON")
    .option("--ttl <seconds>", "expires after", seconds("--ttl"), 3_600)
    .option("--priority <number>", "higher comes first", wholeNumber("--priority", -100, 100))
    .option("--key <key>", "replaces undelivered commands of the same key")
    .option("--deliver-within <seconds>", "fails when not delivered", seconds("--deliver-within"))
    .option("--accept-within <seconds>", "fails when not accepted", seconds("--accept-within"))
    .option("--run-within <seconds>", "fails when not finished", seconds("--run-within"))
    .option("--attempts <count>", "attempts in all", wholeNumber("--attempts", 1, 10))
    .option("--retry-delay <seconds>", "before another", wholeNumber("--retry-delay", 0, 86_400))
    .option("--retry-on <end>", "failed, timed-out (several times)", several)
    .option("--concurrency <count>", "under way at once", wholeNumber("--concurrency", 1, 50_000))
    .option("--batch-size <count>", "sent together", wholeNumber("--batch-size", 1, 1_000))
    .option("--interval <seconds>", "between two of them", wholeNumber("--interval", 1, 86_400))
    .option("--wait", "until every device has answered; status 1 when one did not succeed");
}

export async function sendCommand(cli: Cli, name: string, options: SendOptions): Promise<void> {
  const session = cli.session(options);
  const sent = await session.call("sendCommand", { body: bodyOf(name, options) });
  const { batch, items } = sent;
  if (batch) {
    if (options.wait) return watchCommand(cli, batch.id, options);
    cli.print(options, sent, () => describeBatch(batch));
    cli.note(`Next: vautn command watch ${batch.id}`);
    return;
  }
  const [first] = items;
  if (!first) {
    cli.print(options, sent, () => "No active device was found: nothing was sent.\n");
    return;
  }
  if (!options.wait) {
    cli.print(options, sent, () => commandTable(items));
    const trace = first.traceparent?.split("-")[1];
    const further = trace ? `, or vautn trace ${trace}` : "";
    cli.note(`Next: vautn command watch ${first.id}${further}`);
    return;
  }
  let [last] = items;
  while (last && !(isFinal(last.status) && !last.retriedBy)) {
    await delay(POLL_MS, undefined, { signal: cli.io.interrupted });
    const id: string = last.retriedBy ?? last.id;
    last = await session.call("getCommand", { params: { command: id } });
  }
  const settled = last ? [last] : [];
  cli.print(options, { items: settled, batch }, () => commandTable(settled));
  if (last && last.status !== "succeeded") {
    throw new CliError("1 of 1 did not succeed", {
      next: `see why with: vautn command show ${last.id}`,
    });
  }
}

function bodyOf(name: string, options: SendOptions): Body {
  const { device: devices, query, group } = options;
  if ([devices, query, group].filter((target) => target !== undefined).length !== 1) {
    throw misuse("for which devices?", "give one of --device ID, --query QUERY and --group NAME");
  }
  const { attempts, retryDelay, retryOn } = options;
  if (attempts === undefined && (retryDelay !== undefined || retryOn)) {
    throw misuse("how many attempts?", "give --attempts COUNT");
  }
  for (const end of retryOn ?? []) {
    if (end !== "failed" && end !== "timed-out") {
      throw misuse(`--retry-on takes failed or timed-out, not "${end}"`);
    }
  }
  const body = {
    ...given({ devices, query, group, priority: options.priority, coalesceKey: options.key }),
    name,
    args: options.args === undefined ? {} : parseJson(options.args, "--args"),
    ttlSeconds: options.ttl,
    deadlines: given({
      deliveredSeconds: options.deliverWithin,
      acceptedSeconds: options.acceptWithin,
      runningSeconds: options.runWithin,
    }),
    ...(attempts === undefined
      ? {}
      : { retry: { attempts, ...given({ delaySeconds: retryDelay, on: retryOn }) } }),
    ...paceOf(options),
  };
  return body as Body;
}

function paceOf(options: SendOptions): { pace?: object } {
  const pace = given({
    concurrency: options.concurrency,
    batchSize: options.batchSize,
    intervalSeconds: options.interval,
  });
  return Object.keys(pace).length === 0 ? {} : { pace };
}

function given<Fields extends object>(fields: Fields): Partial<Fields> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Partial<Fields>;
}
