import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { createCertificateRequest, toPem } from "../../protocol/index.ts";
import { type CommandEnvironment, callFor, tenantOptions } from "../command-context.ts";
import { tableOf } from "../output.ts";

/** `device …` and `command …`. */
export function deviceCommands(program: Command, env: CommandEnvironment): void {
  const device = program.command("device").description("registry of devices");
  tenantOptions(device.command("list").description("devices, filtered by a fleet query"))
    .option("-q, --query <query>", `e.g. 'firmware.version < "2.0.0" and online'`)
    .option("-n, --limit <count>", "devices", Number, 100)
    .action(async (options) => {
      const call = callFor(env, options);
      const query = options.query ? `?q=${encodeURIComponent(options.query)}` : "";
      const items = await call.api.list(call.at(`/devices${query}`), options.limit);
      if (call.json) env.output.json(items);
      else if (items.length === 0) {
        env.output.print(
          "No devices. Next: vautn device enroll ID --product P --hardware H --out DIR",
        );
      } else {
        const rows = items.map((item) => [
          item.id,
          item.product,
          item.hardwareRevision,
          item.region,
          item.presence,
          item.firmware?.version,
          item.lastSeenAt,
        ]);
        const head = ["ID", "PRODUCT", "HARDWARE", "REGION", "PRESENCE", "FIRMWARE", "LAST SEEN"];
        env.output.print(tableOf(head, rows));
      }
    });
  tenantOptions(device.command("show <id>")).action(async (id: string, options) => {
    const call = callFor(env, options);
    const found = await call.api.get(call.at(`/devices/${encodeURIComponent(id)}`));
    if (call.json) env.output.json(found);
    else env.output.print(tableOf(["FIELD", "VALUE"], fieldsOf(found)));
  });
  tenantOptions(device.command("enroll <id>").description("make key and certificate for a device"))
    .requiredOption("--product <product>", "product")
    .requiredOption("--hardware <revision>", "hardware revision")
    .option("--region <region>", "region", "")
    .requiredOption("--out <folder>", "folder for key, certificate and trust root")
    .action(async (id: string, options) => {
      const call = callFor(env, options);
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const commonName = `${call.tenant}/${id}`;
      const request = createCertificateRequest({
        privateKey,
        commonName,
        organization: call.tenant,
      });
      const made = await call.api.post(call.at("/devices"), {
        id,
        product: options.product,
        hardwareRevision: options.hardware,
        region: options.region,
        csr: toPem("CERTIFICATE REQUEST", request),
      });
      const trustRoot = await call.api.get(call.at("/trust-root")).catch(() => null);
      const write = (name: string, text: string, mode = 0o644) =>
        fs.writeFileSync(path.join(options.out, name), text, { mode });
      fs.mkdirSync(options.out, { recursive: true, mode: 0o700 });
      write("key.pem", privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
      write("certificate.pem", made.certificate.chainPem);
      write("root.pem", made.certificate.rootPem);
      if (trustRoot) write("trust-root.json", JSON.stringify(trustRoot, null, 2));
      if (call.json) env.output.json({ id, serial: made.certificate.serial, folder: options.out });
      else env.output.print(`enrolled ${id}; key and certificate are in ${options.out}`);
    });
  tenantOptions(device.command("revoke <id>").description("refuse the device from now on"))
    .requiredOption("--reason <reason>", "why, for the audit log")
    .action(async (id: string, options) => {
      const call = callFor(env, options);
      const body = { reason: options.reason };
      await call.api.post(call.at(`/devices/${encodeURIComponent(id)}/revoke`), body);
      env.output.print(`revoked ${id}; its connections are closed`);
    });

  const command = program.command("command").description("commands to devices");
  tenantOptions(command.command("send <name>").description("queue a command"))
    .option("-d, --device <id...>", "devices")
    .option("-q, --query <query>", "or a fleet query")
    .option("--args <json>", "arguments", "{}")
    .option("--ttl <seconds>", "expires after", Number, 3600)
    .action(async (name: string, options) => {
      const call = callFor(env, options);
      const answer = await call.api.post(call.at("/commands"), {
        ...(options.device ? { devices: options.device } : {}),
        ...(options.query ? { query: options.query } : {}),
        name,
        args: JSON.parse(options.args),
        ttlSeconds: options.ttl,
      });
      if (call.json) env.output.json(answer.items);
      else {
        env.output.print(`${answer.items.length} queued`);
        env.output.print(`Next: vautn command list, or vautn trace ${call.api.lastTraceId}`);
      }
    });
  tenantOptions(command.command("list").description("newest first"))
    .option("-n, --limit <count>", "commands", Number, 50)
    .action(async (options) => {
      const call = callFor(env, options);
      const items = await call.api.list(call.at("/commands"), options.limit);
      if (call.json) env.output.json(items);
      else {
        const rows = items.map((c) => [c.id, c.deviceId, c.name, c.status, c.createdAt]);
        env.output.print(tableOf(["ID", "DEVICE", "NAME", "STATUS", "CREATED"], rows));
      }
    });
  tenantOptions(command.command("cancel <id>")).action(async (id: string, options) => {
    const call = callFor(env, options);
    await call.api.post(call.at(`/commands/${encodeURIComponent(id)}/cancel`));
    env.output.print(`cancelled ${id}`);
  });
}

function fieldsOf(value: Record<string, unknown>): string[][] {
  return Object.entries(value).map(([name, member]) => [
    name,
    typeof member === "object" ? JSON.stringify(member) : String(member),
  ]);
}
