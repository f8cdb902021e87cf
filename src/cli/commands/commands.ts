import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { Command as DeviceCommand } from "../../client/index.ts";
import {
  type Cli,
  type CommonOptions,
  group,
  leaf,
  parseJson,
  several,
  wholeNumber,
} from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { ago, table } from "../output.ts";
import type { Session } from "../session.ts";

interface SendOptions extends CommonOptions {
  device?: string[];
  query?: string;
  args?: string;
  ttl: number;
  wait?: boolean;
}

const FINAL: readonly string[] = ["succeeded", "failed", "rejected", "expired", "cancelled"];
const POLL_MS = 500;

export function commandCommands(program: Command, cli: Cli): void {
  const command = group(program, "command", "commands to devices", "vautn command list");

  leaf(command, {
    usage: "send <name>",
    summary: "queue a command for devices: delivered now, or when they connect",
    example: "vautn command send ping --device hub-001 --wait",
    data: true,
    tenant: true,
  })
    .option("-d, --device <id>", "device (several times)", several)
    .option("-q, --query <query>", "every device that a fleet query finds")
    .option("--args <json>", "arguments as JSON")
    .option("--ttl <seconds>", "expires after", wholeNumber("--ttl", 1, 30 * 86_400), 3_600)
    .option("--wait", "until every device has answered; status 1 when one did not succeed")
    .action((name: string, options: SendOptions) => send(cli, name, options));

  leaf(command, {
    usage: "list",
    summary: "commands and what became of them, newest first",
    example: "vautn command list --device hub-001",
    data: true,
    tenant: true,
  })
    .option("-d, --device <id>", "of one device")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: CommonOptions & { device?: string; limit: number }) => {
      const query = { device: options.device };
      const page = await cli.session(options).collect("listCommands", { query }, options.limit);
      cli.printList(
        options,
        page,
        commandTable,
        "No commands yet. Next: vautn command send ping --device ID",
      );
    });

  leaf(command, {
    usage: "cancel <command>",
    summary: "call back a command that still waits",
    example: "vautn command cancel 0199…",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const params = { command: id };
    const cancelled = await cli.session(options).call("cancelCommand", { params });
    cli.print(options, cancelled, () => commandTable([cancelled]));
  });
}

async function send(cli: Cli, name: string, options: SendOptions): Promise<void> {
  const { device: devices, query, ttl: ttlSeconds } = options;
  if ((devices === undefined) === (query === undefined)) {
    throw misuse("for which devices?", "give either --device ID or --query QUERY");
  }
  const args = options.args === undefined ? {} : parseJson(options.args, "--args");
  const session = cli.session(options);
  const body = { ...(devices ? { devices } : { query }), name, args, ttlSeconds };
  const sent = await session.call("sendCommand", { body });
  if (!options.wait) {
    cli.print(options, sent, () => commandTable(sent.items));
    const trace = sent.items[0]?.traceparent?.split("-")[1];
    if (trace) cli.note(`Next: vautn trace ${trace}`);
    return;
  }
  const items = await settle(session, sent.items, cli.io.interrupted);
  cli.print(options, { items }, () => commandTable(items));
  const unwell = items.filter(({ status }) => status !== "succeeded");
  if (unwell.length > 0) {
    throw new CliError(`${unwell.length} of ${items.length} did not succeed`, {
      next: `see why with: vautn device show ${unwell[0]?.deviceId}`,
    });
  }
}

/** Asks until every command has ended, at the latest by expiry. */
async function settle(
  session: Session,
  sent: readonly DeviceCommand[],
  signal: AbortSignal,
): Promise<DeviceCommand[]> {
  const latest = new Map(sent.map((item) => [item.id, item]));
  for (;;) {
    const open = [...latest.values()].filter(({ status }) => !FINAL.includes(status));
    if (open.length === 0) return [...latest.values()];
    await delay(POLL_MS, undefined, { signal });
    for (const { id } of open) {
      latest.set(id, await session.call("getCommand", { params: { command: id } }));
    }
  }
}

function commandTable(items: DeviceCommand[]): string {
  return table(
    ["COMMAND", "NAME", "DEVICE", "STATUS", "SENT", "OUTPUT"],
    items.map((item) => [
      item.id,
      item.name,
      item.deviceId,
      item.status,
      ago(item.createdAt),
      item.error ?? shorten(item.output),
    ]),
  );
}

function shorten(output: unknown): string {
  const text = output === null || output === undefined ? "" : JSON.stringify(output);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
