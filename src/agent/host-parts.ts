import path from "node:path";
import { systemClock, systemRandom } from "../kernel/index.ts";
import type { AgentConfig, ComponentConfig } from "./agent-config.ts";
import { deviceWatchdog, systemdWatchdog, type Watchdog } from "./boot/watchdog.ts";
import { CommandComponent } from "./components/command-component.ts";
import type { Component, Components } from "./components/component.ts";
import { FileComponent } from "./components/file-component.ts";
import { McubootComponent } from "./components/mcuboot-component.ts";
import { serialLine, tcpLine } from "./components/smp/lines.ts";
import type { SlotName, Storage } from "./ports.ts";
import { CONDITION_DEFAULTS, type Conditions } from "./update/conditions.ts";
import { HostApplication } from "./work/host-application.ts";
import { hostFacts } from "./work/host-facts.ts";
import type { HostSelfTest } from "./work/host-self-test.ts";

const DEFAULT_TELEMETRY_SECONDS = 60;
const DEFAULT_COMPONENT_SECONDS = 600;
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
    telemetryIntervalMs: (config.telemetryIntervalSeconds ?? DEFAULT_TELEMETRY_SECONDS) * 1000,
  });
}

function isCommandLine(value: AgentConfig["selfTest"]): value is string[] {
  return Array.isArray(value);
}

export function componentsOf(config: AgentConfig, storage: Storage): Components {
  const locate = (name: string) => path.join(config.data, name);
  const all = (config.components ?? []).map(
    (one) => [one.component, componentOf(one, storage, locate)] as const,
  );
  const components = new Map(all);
  if (components.size < all.length) throw new Error("a component is named twice");
  return components;
}

function componentOf(
  config: ComponentConfig,
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

export function conditionsOf({ conditions, data }: AgentConfig): Conditions {
  return { rules: { ...CONDITION_DEFAULTS, ...conditions }, facts: hostFacts(data) };
}

export async function watchdogOf(
  { watchdog }: AgentConfig,
  environment: NodeJS.ProcessEnv,
): Promise<Watchdog | undefined> {
  if (!watchdog) return undefined;
  if (watchdog.kind === "systemd") return systemdWatchdog(environment);
  const { path: device = "/dev/watchdog", intervalSeconds = DEFAULT_WATCHDOG_SECONDS } = watchdog;
  return deviceWatchdog(device, intervalSeconds * 1_000);
}
