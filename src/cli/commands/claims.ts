import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { table } from "../output.ts";

interface CreateOptions extends CommonOptions {
  devices: string;
  product: string;
  hardware: string;
  region?: string;
  uses: number;
  days: number;
}

const DAY_MS = 86_400_000;

export function claimCommands(program: Command, cli: Cli): void {
  const claim = group(
    program,
    "claim",
    "tokens with which devices enrol themselves",
    "vautn claim list",
  );

  leaf(claim, {
    usage: "list",
    summary: "claim tokens and how much of them is used",
    example: "vautn claim list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listClaimTokens");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["CLAIM", "NAME", "DEVICES", "USED", "EXPIRES", "STATE"],
          items.map((item) => [
            item.id,
            item.name,
            item.devicePattern,
            `${item.usedCount}/${item.maxUses}`,
            item.expiresAt,
            item.revokedAt ? "revoked" : "in use",
          ]),
        ),
      "No claim tokens yet. Next: vautn claim create NAME --devices 'hub-*' --product NAME --hardware REVISION",
    );
  });

  leaf(claim, {
    usage: "create <name>",
    summary: "make a claim token; it is shown this once",
    example:
      "vautn claim create line-1 --devices 'hub-*' --product hub --hardware rev-a --uses 500",
    data: true,
    tenant: true,
  })
    .requiredOption("--devices <pattern>", "device ids that it may enrol, with * and ?")
    .requiredOption("--product <name>", "product of those devices")
    .requiredOption("--hardware <revision>", "hardware revision of those devices")
    .option("--region <region>", "region of those devices")
    .option("--uses <count>", "how many devices", wholeNumber("--uses", 1, 1_000_000), 1)
    .option("--days <count>", "how long it works", wholeNumber("--days", 1, 3_650), 30)
    .action(async (name: string, options: CreateOptions) => {
      const created = await cli.session(options).call("createClaimToken", {
        body: {
          name,
          devicePattern: options.devices,
          product: options.product,
          hardwareRevision: options.hardware,
          ...(options.region ? { region: options.region } : {}),
          maxUses: options.uses,
          expiresAt: new Date(Date.now() + options.days * DAY_MS).toISOString(),
        },
      });
      cli.print(options, created, () => `${created.token}\n`);
      cli.note("keep it: it is not shown again");
    });

  leaf(claim, {
    usage: "revoke <claim>",
    summary: "end a claim token",
    example: "vautn claim revoke 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("revokeClaimToken", { params: { claimToken: id } });
    cli.note("the claim token has ended");
  });
}
