import fs from "node:fs";
import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, pairs, several, wholeNumber } from "../cli.ts";
import { facts, table } from "../output.ts";
import { type PolicyOptions, policyOf, withPolicy } from "./claims.ts";

interface RegisterOptions extends CommonOptions, PolicyOptions {
  certificate: string;
  purpose: "devices" | "claims";
  map: string;
  field?: string[];
  devices: string;
  product: string;
  hardware: string;
  region?: string;
  max: number;
}

/** `authority`: a tenant's own authorities, by whose certificates its devices may come. */
export function registeredAuthorityCommands(program: Command, cli: Cli): void {
  const authority = group(
    program,
    "authority",
    "your own certificate authorities, whose devices may connect",
    "vautn authority list",
  );

  const register = leaf(authority, {
    usage: "register <name>",
    summary: "register an authority; prove that you hold its key next",
    example:
      "vautn authority register plant-7 --certificate ca.pem --map 'plant7-{serialNumber}' --product hub --hardware rev-a",
    data: true,
    tenant: true,
  })
    .requiredOption("--certificate <file>", "the authority's certificate (PEM)")
    .requiredOption("--product <name>", "product of its devices")
    .requiredOption("--hardware <revision>", "hardware revision of its devices")
    .option("--map <template>", "device id from {cn} {ou} {o} {serialNumber} {uri} {dns}", "{cn}")
    .option(
      "--field <name=pattern>",
      "what a field must look like, {} taken (several times)",
      several,
    )
    .option("--devices <pattern>", "device ids that it may bring, with * and ?", "*")
    .option("--region <region>", "region of its devices")
    .option(
      "--max <count>",
      "devices that it may bring",
      wholeNumber("--max", 1, 1_000_000),
      10_000,
    )
    .option(
      "--purpose <purpose>",
      "devices, or claims (each certificate proves a claim)",
      "devices",
    );
  withPolicy(register).action((name: string, options: RegisterOptions) =>
    registerAuthority(cli, name, options),
  );

  leaf(authority, {
    usage: "prove <authority>",
    summary: "prove possession: a certificate that the authority issued for the code",
    example: "vautn authority prove 0199… --certificate proof.pem",
    data: true,
    tenant: true,
  })
    .requiredOption("--certificate <file>", "certificate whose common name is the code (PEM)")
    .action(async (id: string, options: CommonOptions & { certificate: string }) => {
      const certificatePem = fs.readFileSync(options.certificate, "utf8");
      const input = { params: { registeredAuthority: id }, body: { certificatePem } };
      const proved = await cli.session(options).call("proveAuthority", input);
      cli.print(options, proved, () => `${proved.name} is ${proved.status}\n`);
    });

  leaf(authority, {
    usage: "list",
    summary: "registered authorities and how many devices each has brought",
    example: "vautn authority list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listRegisteredAuthorities");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["AUTHORITY", "NAME", "STATUS", "DEVICES", "RULE", "UNTIL"],
          items.map((item) => [
            item.id,
            item.name,
            item.status,
            `${item.deviceCount}/${item.maxDevices}`,
            item.mapping.template,
            item.notAfter,
          ]),
        ),
      "No authorities yet. Next: vautn authority register NAME --certificate FILE --product NAME --hardware REVISION",
    );
  });

  leaf(authority, {
    usage: "disable <authority>",
    summary: "accept its certificates no more",
    example: "vautn authority disable 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("disableAuthority", { params: { registeredAuthority: id } });
    cli.note("the authority is disabled");
  });
}

async function registerAuthority(cli: Cli, name: string, options: RegisterOptions): Promise<void> {
  const fields = pairs(options.field, "--field");
  const answer = await cli.session(options).call("registerAuthority", {
    body: {
      name,
      certificatePem: fs.readFileSync(options.certificate, "utf8"),
      purpose: options.purpose,
      mapping: { template: options.map, ...(options.field ? { fields } : {}) },
      devicePattern: options.devices,
      product: options.product,
      hardwareRevision: options.hardware,
      ...(options.region ? { region: options.region } : {}),
      maxDevices: options.max,
      ...policyOf(options),
    },
  });
  const { authority, webhookSecret } = answer;
  cli.print(options, answer, () =>
    facts([
      ["authority", authority.id],
      ["subject", authority.subject],
      ["code", authority.code],
      ["code until", authority.codeExpiresAt],
      ["webhook secret", webhookSecret],
    ]),
  );
  cli.note(
    `issue a certificate for the common name ${authority.code} with it, then: ` +
      `vautn authority prove ${authority.id} --certificate proof.pem`,
  );
}
