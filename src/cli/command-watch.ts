import { setTimeout as delay } from "node:timers/promises";
import { ApiRefusal, type CommandBatch, type Command as DeviceCommand } from "../client/index.ts";
import type { Cli, CommonOptions } from "./cli.ts";
import { CliError, misuse } from "./cli-error.ts";
import { describeBatch, describeCommand, ended, isFinal } from "./command-view.ts";
import { printable } from "./printable.ts";
import { countsText } from "./rollout-view.ts";
import type { Session } from "./session.ts";

const POLL_MS = 1_000;

/** The command or the batch that an id names. */
export type Found = { command: DeviceCommand } | { batch: CommandBatch };

export async function findById(session: Session, id: string): Promise<Found> {
  checkId(id);
  try {
    return { command: await session.call("getCommand", { params: { command: id } }) };
  } catch (error) {
    if (!(error instanceof ApiRefusal) || error.code !== "not-found") throw error;
  }
  try {
    return { batch: await session.call("getCommandBatch", { params: { batch: id } }) };
  } catch (error) {
    if (!(error instanceof ApiRefusal) || error.code !== "not-found") throw error;
    throw new CliError(`there is no command and no command batch ${id}`, {
      next: "vautn command list, or vautn command batches",
    });
  }
}

/** Ids of commands and batches, which people copy by hand. */
export function checkId(id: string): void {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return;
  throw misuse(`"${id}" is no id of a command`, "vautn command list, or vautn command batches");
}

/**
 * Follows a command or a batch to its end: a bar on a terminal, a line for each change in a pipe, a
 * JSON object a line with --json. Fails where not everything succeeded.
 */
export async function watchCommand(cli: Cli, id: string, options: CommonOptions): Promise<void> {
  const session = cli.session(options);
  const found = await findById(session, id);
  const show = options.json ? jsonLines(cli) : cli.io.isInteractive ? await bar(cli) : lines(cli);
  let last = found;
  let written = "";
  try {
    for (;;) {
      show.update(last);
      const stream = "command" in last ? (last.command.stream ?? "") : "";
      if (stream !== written) show.say(newPart(written, stream));
      written = stream;
      if (isOver(last)) break;
      await delay(POLL_MS, undefined, { signal: cli.io.interrupted });
      last = await again(session, last);
    }
  } finally {
    show.end();
  }
  if (!options.json) {
    cli.io.out(
      // What it has written stands above.
      "command" in last
        ? describeCommand({ ...last.command, stream: null })
        : describeBatch(last.batch),
    );
  }
  refuseUnwell(last);
}

/** What has been written since; all that there is where the beginning was cut off meanwhile. */
function newPart(before: string, now: string): string {
  return now.startsWith(before) ? now.slice(before.length) : now;
}

/** A new attempt takes the place of the one that it follows. */
async function again(session: Session, last: Found): Promise<Found> {
  if ("batch" in last) {
    const { id } = last.batch;
    return { batch: await session.call("getCommandBatch", { params: { batch: id } }) };
  }
  const id = last.command.retriedBy ?? last.command.id;
  return { command: await session.call("getCommand", { params: { command: id } }) };
}

function isOver(found: Found): boolean {
  if ("command" in found) return isFinal(found.command.status) && !found.command.retriedBy;
  return ended(found.batch) >= found.batch.devices;
}

function refuseUnwell(found: Found): void {
  if ("command" in found) {
    const { status, id } = found.command;
    if (status === "succeeded") return;
    throw new CliError(`the command ended as ${status}`, {
      next: `vautn command show ${id}`,
    });
  }
  const { counts, devices, id } = found.batch;
  if (counts.succeeded === devices) return;
  const [status] =
    Object.entries(counts).find(([one, count]) => one !== "succeeded" && count > 0) ?? [];
  throw new CliError(`${devices - counts.succeeded} of ${devices} did not succeed`, {
    next: `vautn command devices ${id} --status ${status}`,
  });
}

interface View {
  update(found: Found): void;
  /** A piece of what the command writes while it runs. */
  say(text: string): void;
  end(): void;
}

function jsonLines(cli: Cli): View {
  return {
    update: (found) =>
      cli.io.out(`${JSON.stringify("command" in found ? found.command : found.batch)}\n`),
    // It stands in the objects.
    say() {},
    end() {},
  };
}

function lines(cli: Cli): View {
  let last = "";
  return {
    update(found) {
      const line = lineOf(found);
      if (line !== last) cli.io.out(`${line}\n`);
      last = line;
    },
    say: (text) => cli.io.out(lineBreak(printable(text))),
    end() {},
  };
}

function lineOf(found: Found): string {
  if ("batch" in found) {
    const { batch } = found;
    return `${batch.state}  ${ended(batch)}/${batch.devices}  ${countsText(batch.counts)}`;
  }
  const { status, progress, attempt } = found.command;
  const share = progress === null ? "" : `  ${Math.round(progress * 100)} %`;
  return `${status}${attempt > 1 ? ` (attempt ${attempt})` : ""}${share}`;
}

function lineBreak(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

async function bar(cli: Cli): Promise<View> {
  const { SingleBar } = await import("cli-progress");
  const format = "{bar} {value}/{total}  {text}";
  const drawn = new SingleBar({ format, clearOnComplete: true, hideCursor: true });
  let isStarted = false;
  const stop = () => {
    if (isStarted) drawn.stop();
    isStarted = false;
  };
  return {
    update(found) {
      const [value, total, text] =
        "batch" in found
          ? [ended(found.batch), found.batch.devices, countsText(found.batch.counts)]
          : [Math.round((found.command.progress ?? 0) * 100), 100, found.command.status];
      if (isStarted) drawn.update(value, { text });
      else drawn.start(total, value, { text });
      isStarted = true;
    },
    say(text) {
      // The next update draws the bar below.
      stop();
      cli.io.out(lineBreak(printable(text)));
    },
    end: stop,
  };
}
