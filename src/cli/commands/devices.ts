import type { Command } from "commander";
import type { Device } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, pairs, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { ago, facts, table } from "../output.ts";
import { confirm } from "../prompt.ts";
import { deviceStandingCommands } from "./device-standing.ts";
import { timelineCommand } from "./device-timeline.ts";
import { deviceTwinCommands } from "./device-twin.ts";
import { enrolCommand } from "./enrol.ts";

type ListOptions = CommonOptions & { query?: string; limit: number; sort?: string };

export function deviceCommands(program: Command, cli: Cli): void {
  const device = group(program, "device", "the registry of devices", "vautn device list");
  readingCommands(device, cli);
  timelineCommand(device, cli);
  enrolCommand(device, cli);
  writingCommands(device, cli);
  deviceTwinCommands(device, cli);
  deviceStandingCommands(device, cli);
}

function readingCommands(device: Command, cli: Cli): void {
  leaf(device, {
    usage: "list",
    summary: "devices, all or those that a fleet query finds",
    example: `vautn device list -q 'firmware.version < "2.4.0" and online'`,
    data: true,
    tenant: true,
  })
    .option("-q, --query <query>", "fleet query")
    .option("--sort <field>", "id, lastSeen, firmware.version, presence, product; - reverses")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .action(async (options: ListOptions) => {
      const { query: q, sort } = options;
      const page = await cli
        .session(options)
        .collect("listDevices", { query: { q, sort } }, options.limit);
      cli.printList(
        options,
        page,
        deviceTable,
        q
          ? "No device matches."
          : "No devices yet. Next: vautn device enroll ID --product NAME --hardware REVISION",
      );
    });

  leaf(device, {
    usage: "show <device>",
    summary: "one device: what it is, what it runs, its certificates and updates",
    example: "vautn device show hub-001",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const session = cli.session(options);
    const input = { params: { device: id } };
    const [found, certificates, updates] = await Promise.all([
      session.call("getDevice", input),
      session.call("listDeviceCertificates", input),
      session.call("listDeviceUpdates", input),
    ]);
    const data = { ...found, certificates: certificates.items, updates: updates.items };
    cli.print(options, data, () => {
      const parts = [describe(found)];
      if (updates.items.length > 0) {
        const rows = updates.items.slice(0, 10).map((update) => {
          const path = `${update.sourceVersion ?? "?"} -> ${update.targetVersion}`;
          const { state, waitingFor } = update;
          const standing = waitingFor ? `${state}, waits for ${waitingFor.element}` : state;
          return [update.rolloutName, path, standing, update.format, ago(update.offeredAt)];
        });
        parts.push(table(["UPDATE", "FROM -> TO", "STATE", "BY", "OFFERED"], rows));
      }
      if (certificates.items.length > 0) {
        const rows = certificates.items
          .slice(0, 10)
          .map(({ serial, status, notAfter, issuedVia }) => [serial, status, notAfter, issuedVia]);
        parts.push(table(["CERTIFICATE", "STATUS", "UNTIL", "VIA"], rows));
      }
      return parts.join("\n");
    });
  });
}

function deviceTable(items: Device[]): string {
  return table(
    ["DEVICE", "PRESENCE", "HEALTH", "FIRMWARE", "PRODUCT", "HARDWARE", "REGION", "LAST SEEN"],
    items.map((item) => [
      item.id,
      item.status === "active" ? item.presence : item.status,
      [item.health, ...item.healthReasons.slice(0, 1).map(({ code }) => code)].join(": "),
      item.firmware?.version,
      item.product,
      item.hardwareRevision,
      item.region,
      ago(item.lastSeenAt),
    ]),
  );
}

/** Secure Boot in a word, then each stage with its version. */
function describeChain(chain: Device["bootChain"]): [string, string | null][] {
  if (!chain) return [["secure boot", null]];
  const state = chain.setupMode ? "in setup mode: no keys are enrolled" : "off";
  return [
    ["secure boot", chain.secureBoot ? `on (${chain.kind})` : state],
    ...chain.stages.map(({ stage, version, counter, floor, source, fault }): [string, string] => {
      const floors = floor ? `, counter ${counter ?? 0} of at least ${floor}` : "";
      const rest = `${floors}${source ? `, ${source}` : ""}${fault ? `, fault: ${fault}` : ""}`;
      return [`  ${stage}`, `${version}${rest}`];
    }),
  ];
}

function describe(device: Device): string {
  const { firmware, otherSlot } = device;
  const tags = Object.entries(device.tags).map(([key, value]) => `${key}=${value}`);
  return facts([
    ["device", device.id],
    ["status", device.status],
    ["presence", `${device.presence}, last seen ${ago(device.lastSeenAt)}`],
    ["health", device.health],
    ...device.healthReasons.map(({ code, message, since }): [string, string] => [
      `  ${code}`,
      `${message} (since ${ago(since)})`,
    ]),
    ["product", `${device.product}, hardware ${device.hardwareRevision}`],
    ["region", device.region],
    ["tags", tags.join(" ")],
    ["firmware", firmware && `${firmware.version} in slot ${firmware.slot}`],
    ["other slot", otherSlot?.version],
    ...describeChain(device.bootChain),
    ["clock", clockOf(device.clockOffsetMs)],
    ["uptime", device.uptimeSeconds === null ? null : `${Math.round(device.uptimeSeconds)} s`],
  ]);
}

function writingCommands(device: Command, cli: Cli): void {
  leaf(device, {
    usage: "tag <device>",
    summary: "set and remove tags, and set the region",
    example: "vautn device tag hub-001 --set site=berlin --unset old",
    data: true,
    tenant: true,
  })
    .option("--set <key=value>", "set a tag (several times)", several)
    .option("--unset <key>", "remove a tag (several times)", several)
    .option("--region <region>", "set the region")
    .action(async (id: string, options: TagOptions) => {
      if (!options.set && !options.unset && options.region === undefined) {
        throw misuse("nothing to change", "give --set KEY=VALUE, --unset KEY or --region REGION");
      }
      const session = cli.session(options);
      const params = { device: id };
      const { tags } = await session.call("getDevice", { params });
      const changed = { ...tags, ...pairs(options.set, "--set") } as Record<string, string>;
      for (const key of options.unset ?? []) delete changed[key];
      const { region } = options;
      const body = { tags: changed, ...(region === undefined ? {} : { region }) };
      const updated = await session.call("updateDevice", { params, body });
      cli.print(options, updated, () => describe(updated));
    });

  leaf(device, {
    usage: "revoke <device>",
    summary: "end a device's certificates; its connections end at once",
    example: 'vautn device revoke hub-001 --reason "stolen" --yes',
    tenant: true,
  })
    .requiredOption("--reason <text>", "why, for the audit log")
    .option("--serial <hex>", "one certificate only")
    .option("--yes", "do not ask")
    .action(async (id: string, options: RevokeOptions) => {
      await confirm(cli.io, options.yes, `revoking ${id}`);
      const { reason, serial } = options;
      const body = { reason, ...(serial ? { serial } : {}) };
      await cli.session(options).call("revokeDevice", { params: { device: id }, body });
      cli.note(`${id} was revoked`);
    });

  leaf(device, {
    usage: "delete <device>",
    summary: "remove a device from the registry",
    example: "vautn device delete hub-001 --yes",
    tenant: true,
  })
    .option("--yes", "do not ask")
    .action(async (id: string, options: CommonOptions & { yes?: boolean }) => {
      await confirm(cli.io, options.yes, `deleting ${id}`);
      await cli.session(options).call("deleteDevice", { params: { device: id } });
      cli.note(`${id} was deleted`);
    });
}

type TagOptions = CommonOptions & { set?: string[]; unset?: string[]; region?: string };
type RevokeOptions = CommonOptions & { reason: string; serial?: string; yes?: boolean };

/** Within two minutes a clock is right: the rest is the line. */
const RIGHT_WITHIN_MS = 120_000;

function clockOf(offsetMs: number | null): string | null {
  if (offsetMs === null) return null;
  if (Math.abs(offsetMs) <= RIGHT_WITHIN_MS) return "right";
  const seconds = Math.round(Math.abs(offsetMs) / 1_000);
  return `${seconds} s ${offsetMs > 0 ? "behind" : "ahead"}; its times are put right`;
}
