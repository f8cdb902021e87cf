import path from "node:path";
import { systemClock, systemRandom } from "../kernel/index.ts";
import type { AgentConfig, ComponentConfig } from "./agent-config.ts";
import { THIN_INTERVALS } from "./agent-settings.ts";
import { deviceWatchdog, systemdWatchdog, type Watchdog } from "./boot/watchdog.ts";
import { AgentComponent } from "./components/agent-component.ts";
import { CommandComponent } from "./components/command-component.ts";
import type { Component, Components } from "./components/component.ts";
import { FileComponent } from "./components/file-component.ts";
import { McubootComponent } from "./components/mcuboot-component.ts";
import { serialLine, tcpLine } from "./components/smp/lines.ts";
import type { SlotName, Storage } from "./ports.ts";
import { CONDITION_DEFAULTS, type Conditions } from "./update/conditions.ts";
import { CoreDumps } from "./work/core-dumps.ts";
import { HostApplication, type HostHelper } from "./work/host-application.ts";
import { hostFacts } from "./work/host-facts.ts";
import { HostMetrics } from "./work/host-metrics.ts";
import type { HostSelfTest } from "./work/host-self-test.ts";
import { LogShipping } from "./work/log-shipping.ts";
import type { TwinHandler } from "./work/twin.ts";
import { twinByFile } from "./work/twin-file.ts";

const DEFAULT_TELEMETRY_SECONDS = 60;
const DEFAULT_COMPONENT_SECONDS = 600;
const DEFAULT_TWIN_SECONDS = 60;
const DEFAULT_WATCHDOG_SECONDS = 10;

/** Parts of the agent as an ordinary Linux machine has them, by its configuration. */
export function applicationOf(config: AgentConfig, running: SlotName): HostApplication {
  const image = path.join(config.data, `${running}.img`);
  const resolved = (command: readonly string[] | undefined) =>
    command?.map((argument) => argument.replaceAll("{image}", image));
  const selfTest: HostSelfTest | undefined = isCommandLine(config.selfTest)
    ? { command: config.selfTest }
    : config.selfTest;
  return new HostApplication({
    clock: systemClock,
    random: systemRandom,
    command: resolved(config.application),
    selfTest: selfTest && { ...selfTest, command: resolved(selfTest.command) },
    metrics: new HostMetrics({ dataDirectory: config.data }),
    helpers: helpersOf(config),
    telemetryIntervalMs:
      (config.telemetryIntervalSeconds ??
        (config.thin ? THIN_INTERVALS.telemetrySeconds : DEFAULT_TELEMETRY_SECONDS)) * 1000,
  });
}

function helpersOf({ logs, coreDumps, data }: AgentConfig): HostHelper[] {
  const clock = systemClock;
  const stateFile = path.join(data, "core-dumps.txt");
  return [
    ...(logs ? [new LogShipping({ clock, ...logs })] : []),
    ...(coreDumps ? [new CoreDumps({ clock, ...coreDumps, stateFile })] : []),
  ];
}

function isCommandLine(value: AgentConfig["selfTest"]): value is string[] {
  return Array.isArray(value);
}

/** Where the launcher looks for the hash of an agent that works. */
export function healthyFileOf(config: AgentConfig): string {
  return path.join(config.data, "agent.healthy");
}

/** The file that this process runs. */
export function runningFile(): string {
  return process.argv[1] ?? "";
}

export function componentsOf(
  config: AgentConfig,
  storage: Storage,
  restartAgent: () => void,
): Components {
  const locate = (name: string) => path.join(config.data, name);
  const healthyFile = healthyFileOf(config);
  const all = (config.components ?? []).map((one) => {
    const component =
      one.kind === "agent"
        ? new AgentComponent({
            ...{ home: one.home, running: runningFile(), healthyFile, restart: restartAgent },
          })
        : componentOf(one, storage, locate);
    return [one.component, component] as const;
  });
  const components = new Map(all);
  if (components.size < all.length) throw new Error("a component is named twice");
  return components;
}

function componentOf(
  config: Exclude<ComponentConfig, { kind: "agent" }>,
  storage: Storage,
  locate: (name: string) => string,
): Component {
  if (config.kind === "file") return new FileComponent(config);
  if (config.kind === "mcuboot") return mcubootOf(config, storage);
  const { component: name, timeoutSeconds = DEFAULT_COMPONENT_SECONDS, ...commands } = config;
  return new CommandComponent({
    ...commands,
    ...{ name, storage, locate, timeoutMs: timeoutSeconds * 1_000 },
  });
}

function mcubootOf(
  config: Extract<ComponentConfig, { kind: "mcuboot" }>,
  storage: Storage,
): Component {
  const { component: name, line, baud = 115_200, chunkBytes = 256, restartSeconds = 60 } = config;
  const [, host, port] = /^tcp:(.+):(\d+)$/.exec(line) ?? [];
  return new McubootComponent({
    ...{ name, storage, chunkBytes, clock: systemClock, restartMs: restartSeconds * 1_000 },
    open: () => (host ? tcpLine(host, Number(port)) : serialLine(line, baud)),
  });
}

export function twinOf({ twin, data }: AgentConfig, storage: Storage): TwinHandler {
  const timeoutMs = (twin?.timeoutSeconds ?? DEFAULT_TWIN_SECONDS) * 1_000;
  return twinByFile({ storage, dataDirectory: data, apply: twin?.apply, timeoutMs });
}

export function conditionsOf({ conditions, data }: AgentConfig): Conditions {
  return { rules: { ...CONDITION_DEFAULTS, ...conditions }, facts: hostFacts(data) };
}

export async function watchdogOf(
  { watchdog }: AgentConfig,
  environment: NodeJS.ProcessEnv,
): Promise<Watchdog | undefined> {
  // A unit with WatchdogSec ends who stays silent, whatever the configuration says.
  if (!watchdog || watchdog.kind === "systemd") return systemdWatchdog(environment);
  const { path: device = "/dev/watchdog", intervalSeconds = DEFAULT_WATCHDOG_SECONDS } = watchdog;
  return deviceWatchdog(device, intervalSeconds * 1_000);
}
