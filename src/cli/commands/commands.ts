import type { Command } from "commander";
import { ApiRefusal, type CallInput } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { sendCommand, sendOptions } from "../command-send.ts";
import { batchTable, commandTable, describeBatch, describeCommand } from "../command-view.ts";
import { checkId, findById, watchCommand } from "../command-watch.ts";
import type { Session } from "../session.ts";

/** More are not open for one device. */
const MAX_OF_DEVICE = 1_000;

interface ListOptions extends CommonOptions {
  device?: string;
  status?: string;
  limit: number;
}

type Status = NonNullable<CallInput<"listCommands">["query"]>["status"];

export function commandCommands(program: Command, cli: Cli): void {
  const command = group(program, "command", "commands to devices", "vautn command list");
  sendOptions(
    leaf(command, {
      usage: "send <name>",
      summary: "queue a command for devices: delivered now, or when they connect",
      example: "vautn command send ping --device hub-001 --wait",
      data: true,
      tenant: true,
    }),
  ).action((name: string, options) => sendCommand(cli, name, options));
  listingCommands(command, cli);
  lookingCommands(command, cli);
  steeringCommands(command, cli);
}

function listingCommands(command: Command, cli: Cli): void {
  leaf(command, {
    usage: "list",
    summary: "commands and what became of them, newest first",
    example: "vautn command list --device hub-001",
    data: true,
    tenant: true,
  })
    .option("-d, --device <id>", "of one device")
    .option("-s, --status <status>", "in one state, e.g. queued or failed")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async ({ limit, ...options }: ListOptions) => {
      const query = { device: options.device, status: options.status as Status };
      const page = await cli.session(options).collect("listCommands", { query }, limit);
      const hint = "No commands yet. Next: vautn command send ping --device ID";
      cli.printList(options, page, commandTable, hint);
    });

  leaf(command, {
    usage: "batches",
    summary: "commands to many devices, newest first",
    example: "vautn command batches",
    data: true,
    tenant: true,
  })
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async ({ limit, ...options }: ListOptions) => {
      const page = await cli.session(options).collect("listCommandBatches", {}, limit);
      const hint = "No command batches yet. Next: vautn command send ping --query online";
      cli.printList(options, page, batchTable, hint);
    });

  leaf(command, {
    usage: "devices <batch>",
    summary: "the devices of a batch and what became of each",
    example: "vautn command devices 0199… --status failed",
    data: true,
    tenant: true,
  })
    .option("-s, --status <status>", "in one state, e.g. queued or failed")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 50_000), 50)
    .action(async (id: string, { limit, ...options }: ListOptions) => {
      checkId(id);
      const input = { params: { batch: id }, query: { status: options.status as Status } };
      const page = await cli.session(options).collect("listCommandBatchDevices", input, limit);
      cli.printList(options, page, commandTable, "No device is in that state.");
    });
}

function lookingCommands(command: Command, cli: Cli): void {
  leaf(command, {
    usage: "show <id>",
    summary: "a command with its output, or a batch with its counts",
    example: "vautn command show 0199…",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const found = await findById(cli.session(options), id);
    if ("command" in found) {
      cli.print(options, found.command, () => describeCommand(found.command));
    } else cli.print(options, found.batch, () => describeBatch(found.batch));
  });

  leaf(command, {
    usage: "watch <id>",
    summary: "follow a command or a batch to its end; status 1 when one did not succeed",
    example: "vautn command watch 0199…",
    data: true,
    tenant: true,
  }).action((id: string, options: CommonOptions) => watchCommand(cli, id, options));
}

function steeringCommands(command: Command, cli: Cli): void {
  leaf(command, {
    usage: "cancel [id]",
    summary: "call back a command that still waits, or what still waits of a batch or a device",
    example: "vautn command cancel 0199…",
    data: true,
    tenant: true,
  })
    .option("-d, --device <id>", "all that still waits for this device")
    .action(async (id: string | undefined, options: ListOptions) => {
      const session = cli.session(options);
      if ((id === undefined) === (options.device === undefined)) {
        throw misuse("either the id of a command or of a batch is needed, or --device");
      }
      if (options.device !== undefined) {
        const cancelled = await cancelAll(session, options.device);
        const hint = `Nothing waits for ${options.device}.`;
        cli.printList(options, { items: cancelled, nextCursor: null }, commandTable, hint);
        return;
      }
      const found = await findById(session, id as string);
      if ("command" in found) {
        const cancelled = await session.call("cancelCommand", {
          params: { command: id as string },
        });
        cli.print(options, cancelled, () => commandTable([cancelled]));
        return;
      }
      const batch = await session.call("cancelCommandBatch", { params: { batch: id as string } });
      cli.print(options, batch, () => describeBatch(batch));
    });

  for (const [verb, operation, summary] of [
    ["pause", "pauseCommandBatch", "hold back what a batch has not delivered"],
    ["resume", "resumeCommandBatch", "let a paused batch go on"],
  ] as const) {
    leaf(command, {
      usage: `${verb} <batch>`,
      summary,
      example: `vautn command ${verb} 0199…`,
      data: true,
      tenant: true,
    }).action(async (id: string, options: CommonOptions) => {
      checkId(id);
      const batch = await cli.session(options).call(operation, { params: { batch: id } });
      cli.print(options, batch, () => describeBatch(batch));
    });
  }
}

/** Calls back what waits for a device; what is delivered meanwhile stays. */
async function cancelAll(session: Session, device: string) {
  const cancelled = [];
  for (const status of ["waiting", "queued"] as const) {
    const query = { device, status };
    const { items } = await session.collect("listCommands", { query }, MAX_OF_DEVICE);
    // In the order of the list, the newest first: what is delivered meanwhile is what was first in line.
    for (const { id } of items) {
      try {
        cancelled.push(await session.call("cancelCommand", { params: { command: id } }));
      } catch (error) {
        if (!(error instanceof ApiRefusal) || error.code !== "conflict") throw error;
      }
    }
  }
  return cancelled;
}
