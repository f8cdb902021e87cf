import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { devicesFromCsv } from "../bulk-rows.ts";
import { type Cli, type CommonOptions, group, leaf, pairs, several, wholeNumber } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { readCsv } from "../csv.ts";
import { ago, table } from "../output.ts";

/** `enrolment`: those that wait for a person. `preauthorised`: those that are expected. */
export function admissionCommands(program: Command, cli: Cli): void {
  pendingCommands(program, cli);
  preauthorisedCommands(program, cli);
}

type Status = "pending" | "accepted" | "rejected";

function pendingCommands(program: Command, cli: Cli): void {
  const pending = group(
    program,
    "enrolment",
    "devices that wait until a person accepts them",
    "vautn enrolment list",
  );

  leaf(pending, {
    usage: "list",
    summary: "who waits, with the fingerprint of its key",
    example: "vautn enrolment list --status rejected",
    data: true,
    tenant: true,
  })
    .option("--status <status>", "pending, accepted or rejected", "pending")
    .action(async (options: CommonOptions & { status: Status }) => {
      const query = { status: options.status };
      const page = await cli.session(options).call("listPendingEnrolments", { query });
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["ENROLMENT", "DEVICE", "KEY (SHA-256)", "BY", "FROM", "ASKED"],
            items.map((item) => [
              item.id,
              item.deviceId,
              item.publicKeySha256,
              item.authorityName,
              item.address,
              ago(item.lastAskedAt),
            ]),
          ),
        "Nobody waits.",
      );
    });

  leaf(pending, {
    usage: "accept <enrolment>",
    summary: "let a device in; it gets its certificate when it asks again",
    example: "vautn enrolment accept 0199…",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const params = { enrolment: id };
    const accepted = await cli.session(options).call("acceptEnrolment", { params });
    cli.print(options, accepted, () => `${accepted.deviceId} is accepted\n`);
  });

  leaf(pending, {
    usage: "reject <enrolment>",
    summary: "refuse a device",
    example: 'vautn enrolment reject 0199… --reason "not ours"',
    data: true,
    tenant: true,
  })
    .requiredOption("--reason <text>", "why; the device is told")
    .action(async (id: string, options: CommonOptions & { reason: string }) => {
      const { reason } = options;
      const input = { params: { enrolment: id }, body: { reason } };
      const rejected = await cli.session(options).call("rejectEnrolment", input);
      cli.print(options, rejected, () => `${rejected.deviceId} is rejected\n`);
    });
}

interface AddOptions extends CommonOptions {
  csv: string;
  product?: string;
  hardware?: string;
  region?: string;
  tag?: string[];
}

/** Rows of one call. */
const BATCH = 500;

function preauthorisedCommands(program: Command, cli: Cli): void {
  const list = group(
    program,
    "preauthorised",
    "the list of devices that are expected",
    "vautn preauthorised list",
  );

  leaf(list, {
    usage: "add",
    summary: "put the devices of a table on the list, or change what it says of them",
    example: "vautn preauthorised add --csv expected.csv --product hub --hardware rev-a",
    data: true,
    tenant: true,
  })
    .requiredOption(
      "--csv <file>",
      "a table with id, and product, hardware, region, tag.<name>, serial, key (SHA-256, hex)",
    )
    .option("--product <name>", "product, where no column says it")
    .option("--hardware <revision>", "hardware revision, likewise")
    .option("--region <region>", "region, likewise")
    .option("--tag <key=value>", "tag of all (several times)", several)
    .action((options: AddOptions) => add(cli, options));

  leaf(list, {
    usage: "list",
    summary: "who is expected, and who has come",
    example: "vautn preauthorised list",
    data: true,
    tenant: true,
  })
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 1_000_000), 100)
    .action(async (options: CommonOptions & { limit: number }) => {
      const session = cli.session(options);
      const page = await session.collect("listPreauthorisedDevices", {}, options.limit);
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["DEVICE", "PRODUCT", "HARDWARE", "SERIAL", "KEY (SHA-256)", "ENROLLED"],
            items.map((item) => [
              item.deviceId,
              item.product,
              item.hardwareRevision,
              item.serialNumber,
              item.publicKeySha256,
              item.enrolledAt ? ago(item.enrolledAt) : "not yet",
            ]),
          ),
        "The list is empty. Next: vautn preauthorised add --csv FILE",
      );
    });

  leaf(list, {
    usage: "remove <device>",
    summary: "take a device off the list; its certificates stay as they are",
    example: "vautn preauthorised remove hub-001",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("removePreauthorisedDevice", { params: { device: id } });
    cli.note(`${id} is off the list`);
  });
}

async function add(cli: Cli, options: AddOptions): Promise<void> {
  const { csv, product, hardware, region } = options;
  const defaults = { product, hardware, region, tags: pairs(options.tag, "--tag") };
  const { devices, problems } = devicesFromCsv(csv, defaults);
  const more = new Map(
    readCsv(fs.readFileSync(csv, "utf8"), path.basename(csv)).map((row) => [row.line, row.fields]),
  );
  const session = cli.session(options);
  const counts = { added: 0, changed: 0 };
  for (let start = 0; start < devices.length; start += BATCH) {
    const batch = devices.slice(start, start + BATCH);
    const items = batch.map(
      ({ id, line, product: name, hardwareRevision, region: where, tags }) => {
        const { serial, key } = more.get(line) ?? {};
        return {
          deviceId: id,
          product: name,
          hardwareRevision,
          ...(where ? { region: where } : {}),
          tags,
          ...(serial ? { serialNumber: serial } : {}),
          ...(key ? { publicKeySha256: key.toLowerCase() } : {}),
        };
      },
    );
    const answer = await session.call("addPreauthorisedDevices", { body: { items } });
    answer.items.forEach(({ deviceId, outcome, reason }, index) => {
      const { from, line } = batch[index] as (typeof batch)[number];
      if (outcome !== "refused") counts[outcome] += 1;
      else problems.push({ id: deviceId, from, line, message: `refused for its ${reason}` });
    });
  }
  for (const { from, id, message } of problems) cli.note(`${from}: ${id}: ${message}`);
  const data = { ...counts, refused: problems };
  cli.print(options, data, () => `${counts.added} added, ${counts.changed} changed\n`);
  if (problems.length > 0) throw new CliError(`${problems.length} rows were refused`);
}
