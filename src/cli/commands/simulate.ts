import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import timers from "node:timers/promises";
import type { Command } from "commander";
import type { ReleaseManifest } from "../../protocol/index.ts";
import type { DeviceFault } from "../../simulator/index.ts";
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
import { openImage, readDocument } from "../document-files.ts";

interface SimulateOptions extends CommonOptions {
  devices: number;
  image: string;
  manifest: string;
  hardware?: string;
  prefix: string;
  fault?: string[];
  heartbeat: number;
  timeScale: number;
  seed: number;
}

const HOUR_MS = 3_600_000;
/** An agent that asks again at once does not take the whole processor. */
const RESTART_PAUSE_MS = 1_000;

export function deviceSideCommands(program: Command, cli: Cli, outcome: { status: number }): void {
  const agent = group(program, "agent", "the device agent", "vautn agent run --config agent.json");
  leaf(agent, {
    usage: "run",
    summary: "run the agent on this machine; status 75 asks for the machine to be restarted",
    example: "vautn agent run --config /etc/vautn/agent.json",
  })
    .requiredOption("--config <file>", "configuration of the agent")
    .option("--restart", "start the agent again instead of the machine, as a service manager would")
    .action(async ({ config, restart }: { config: string; restart?: boolean }) => {
      const { RESTART_STATUS, runAgent } = await import("../../agent/index.ts");
      outcome.status = await runAgent(config, process.env);
      while (restart && outcome.status === RESTART_STATUS) {
        await timers.setTimeout(RESTART_PAUSE_MS);
        outcome.status = await runAgent(config, process.env);
      }
      if (outcome.status === RESTART_STATUS) {
        cli.note(
          "the machine is to be restarted now: start the agent again, or have a service manager do " +
            `it at status ${RESTART_STATUS} (or --restart)`,
        );
      }
    });

  leaf(agent, {
    usage: "status",
    summary: "how the agent on this machine is: firmware, connection, update, backlog",
    example: "vautn agent status --config /etc/vautn/agent.json",
    data: true,
  })
    .requiredOption("--config <file>", "configuration of the agent")
    .action(async ({ config, ...options }: CommonOptions & { config: string }) => {
      const { askStatus, describeStatus, readAgentConfig } = await import("../../agent/index.ts");
      const { data } = await readAgentConfig(config);
      const status = await askStatus(data).catch(() => {
        throw new CliError(`no agent runs on ${data}`, { next: "start it: vautn agent run" });
      });
      if (!status) throw new CliError("the agent is starting", { next: "ask again in a moment" });
      cli.print(options, status, () => describeStatus(status).trimEnd());
    });
  leaf(agent, {
    usage: "consent <version>",
    summary: "agree, at the device, to an update that waits for it (a version or an update's id)",
    example: "vautn agent consent 1.2.0 --config /etc/vautn/agent.json",
  })
    .requiredOption("--config <file>", "configuration of the agent")
    .action(async (version: string, { config }: { config: string }) => {
      const { CONSENT_FILE, openFileStorage, readAgentConfig, replaceFile } = await import(
        "../../agent/index.ts"
      );
      const { data } = await readAgentConfig(config);
      await replaceFile(await openFileStorage(data), CONSENT_FILE, Buffer.from(version));
      cli.note(`the device may be updated to ${version}`);
    });

  leaf(program, {
    usage: "simulate",
    summary: "real agents on simulated machines, enrolled and run until Ctrl-C",
    example: "vautn simulate --devices 50 --image hub.bin --manifest hub.bin.manifest.json",
    data: true,
    tenant: true,
  })
    .option("--devices <count>", "how many", wholeNumber("--devices", 1, 10_000), 10)
    .requiredOption("--image <file>", "image that the devices were made with")
    .requiredOption("--manifest <file>", "its signed manifest")
    .option("--hardware <revision>", "hardware revision (default: the manifest's first)")
    .option("--prefix <text>", "device ids are this and a number", "sim-")
    .option("--fault <json>", 'what goes wrong, e.g. {"kind":"silence","afterMs":60000}*3', several)
    .option(
      "--heartbeat <seconds>",
      "time between heartbeats",
      wholeNumber("--heartbeat", 1, 3_600),
      30,
    )
    .option(
      "--time-scale <factor>",
      "hours of life in an hour",
      wholeNumber("--time-scale", 1, 100_000),
      1,
    )
    .option(
      "--seed <number>",
      "the same seed brings the same faults",
      wholeNumber("--seed", 0, 2 ** 31),
      1,
    )
    .action((options: SimulateOptions) => simulate(cli, options));
}

/** The devices enrol themselves with a claim token that is made for this run, as real ones would. */
async function simulate(cli: Cli, options: SimulateOptions): Promise<void> {
  const { runSimulation } = await import("../../simulator/index.ts");
  const { signed } = readDocument(options.manifest) as { signed: ReleaseManifest };
  openImage(options.image).destroy();
  const hardwareRevision = options.hardware ?? signed.hardwareRevisions[0] ?? "";
  const session = cli.session(options);
  const { httpsUrl, rootPem } = await session.call("getDeviceConnection");
  const claim = await session.call("createClaimToken", {
    body: {
      name: `simulation on ${os.hostname()}`.slice(0, 100),
      devicePattern: `${options.prefix}*`,
      product: signed.product,
      hardwareRevision,
      maxUses: options.devices,
      expiresAt: new Date(Date.now() + HOUR_MS).toISOString(),
    },
  });
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-simulate-"));
  const root = path.join(directory, "root.pem");
  fs.writeFileSync(root, rootPem);
  cli.note(`${options.devices} devices are being enrolled; Ctrl-C switches them off`);
  try {
    const status = await runSimulation({
      devices: options.devices,
      httpsUrl,
      root,
      tenant: session.tenant,
      claimToken: claim.token,
      product: signed.product,
      hardwareRevision,
      prefix: options.prefix,
      image: options.image,
      manifest: options.manifest,
      faults: (options.fault ?? []).map(parseFault),
      seed: options.seed,
      timeScale: options.timeScale,
      heartbeatIntervalMs: options.heartbeat * 1_000,
      onReport: (report) => cli.io.out(reportText(report, options)),
      signal: cli.io.interrupted,
    });
    const { devices, ...totals } = status;
    cli.note(`${devices.length} devices were switched off`);
    if (options.json) cli.io.out(`${JSON.stringify(totals)}\n`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function reportText(
  report: { connected: number; byVersion: Record<string, number> },
  options: CommonOptions,
) {
  if (options.json) return `${JSON.stringify(report)}\n`;
  const versions = Object.entries(report.byVersion).map(
    ([version, count]) => `${count} on ${version}`,
  );
  return `${report.connected} connected; ${versions.join(", ")}\n`;
}

/** A fault in JSON, with `*N` behind it for the first N devices (default: one). */
function parseFault(text: string): { fault: DeviceFault; count: number } {
  const match = /^(\{.*\})(?:\*(\d{1,5}))?$/s.exec(text);
  if (!match) throw misuse(`--fault takes {"kind": …} or {"kind": …}*COUNT, not "${text}"`);
  const fault = parseJson(match[1] as string, "--fault") as DeviceFault;
  return { fault, count: Number(match[2] ?? 1) };
}
