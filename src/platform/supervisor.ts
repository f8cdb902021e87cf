import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { BusMessage } from "../bus/index.ts";
import type { Config, Role } from "../kernel/config.ts";
import { messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { ConnectUplink } from "./between-machines.ts";
import { tell } from "./child-channel.ts";
import type { FromRoleProcess, ToRoleProcess } from "./messages.ts";
import type { StoreAddresses } from "./stores.ts";

const ENTRY = path.resolve(import.meta.dirname, "role-process.ts");
/** What Node has no option for. An operator's own configuration of OpenSSL stands. */
const OPENSSL_CONF = path.resolve(import.meta.dirname, "openssl.cnf");
const START_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 15_000;
const MAX_RESTARTS_PER_MINUTE = 5;

export interface ProcessPlan {
  name: string;
  roles: Role[];
}

/**
 * Which roles share a process. TLS handshakes and decoding (gateway), the console (api) and the
 * background work each have an event loop of their own, so that a storm in one stalls none of the
 * others.
 */
export function planProcesses(config: Config): ProcessPlan[] {
  const has = (role: Role) => config.roles.includes(role);
  const plans: ProcessPlan[] = [];
  if (has("gateway")) {
    for (let index = 1; index <= config.gatewayProcesses; index += 1) {
      plans.push({ name: `gateway-${index}`, roles: ["gateway"] });
    }
  }
  if (has("api")) plans.push({ name: "api", roles: ["api"] });
  const background = (["device-http", "worker"] as const).filter(has);
  if (background.length > 0) plans.push({ name: background.join("+"), roles: background });
  return plans;
}

export interface Supervisor {
  /** Resolves with the reason when a role process keeps failing. */
  failed: Promise<string>;
  stop(): Promise<void>;
}

/** Runs the planned processes, passes bus messages between them and restarts those that die. */
export async function superviseRoles(options: {
  config: Config;
  stores: StoreAddresses;
  logger: Logger;
  allowPrivateWebhooks: boolean;
  /** Makes the bus to other machines, where there are any. */
  connect?: ConnectUplink | undefined;
}): Promise<Supervisor> {
  const { logger } = options;
  const children = new Map<string, ChildProcess>();
  const restarts = new Map<string, number[]>();
  let stopping = false;
  let reportFailure: (reason: string) => void = () => {};
  const failed = new Promise<string>((resolve) => {
    reportFailure = resolve;
  });

  let uplinkState: Extract<ToRoleProcess, { kind: "uplink" }> = {
    kind: "uplink",
    isConnected: false,
  };
  const uplink = options.connect?.({
    onMessage: (subject, message) => tellAll({ kind: "bus", subject, message }),
    onState(isConnected, flood) {
      uplinkState = { kind: "uplink", isConnected, flood };
      tellAll(uplinkState);
    },
  });
  const plans = planProcesses(options.config);
  try {
    await Promise.all(plans.map(startProcess));
  } catch (error) {
    await stop();
    throw error;
  }
  return { failed, stop };

  async function startProcess(plan: ProcessPlan): Promise<void> {
    const child = fork(ENTRY, [], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { OPENSSL_CONF, ...process.env },
    });
    children.set(plan.name, child);
    child.on("message", (message: FromRoleProcess) => {
      if (message.kind === "bus") relay(plan.name, message.subject, message.message);
    });
    child.once("exit", (status, signal) => onExit(plan, child, signal ?? String(status)));
    send(child, {
      kind: "start",
      config: options.config,
      stores: options.stores,
      roles: plan.roles,
      processName: plan.name,
      processes: plans.length,
      allowPrivateWebhooks: options.allowPrivateWebhooks,
    });
    if (uplink) send(child, uplinkState);
    await waitUntilReady(plan.name, child);
  }

  function tellAll(message: ToRoleProcess): void {
    for (const child of children.values()) send(child, message);
  }

  function relay(from: string, subject: string, message: BusMessage): void {
    for (const [name, child] of children) {
      if (name !== from) send(child, { kind: "bus", subject, message });
    }
    uplink?.publish(subject, message);
  }

  function onExit(plan: ProcessPlan, child: ChildProcess, how: string): void {
    if (children.get(plan.name) === child) children.delete(plan.name);
    if (stopping) return;
    const now = Date.now();
    const recent = (restarts.get(plan.name) ?? []).filter((at) => now - at < 60_000);
    restarts.set(plan.name, [...recent, now]);
    if (recent.length >= MAX_RESTARTS_PER_MINUTE) {
      reportFailure(`${plan.name} ended ${recent.length + 1} times within a minute (${how})`);
      return;
    }
    logger.error({ process: plan.name, how }, "a role process ended; starting it again");
    startProcess(plan).catch((error) => {
      logger.error({ process: plan.name, error: messageOf(error) }, "the restart failed");
    });
  }

  async function stop(): Promise<void> {
    stopping = true;
    await Promise.all(
      [...children.values()].map(async (child) => {
        const exited = once(child, "exit");
        send(child, { kind: "stop" });
        const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
        await exited;
        clearTimeout(timer);
      }),
    );
    await uplink?.close();
  }
}

async function waitUntilReady(name: string, child: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const finish = (error?: Error) => {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
      if (error) reject(error);
      else resolve();
    };
    const onMessage = (message: FromRoleProcess) => {
      if (message.kind === "ready") finish();
      else if (message.kind === "failed") finish(new Error(`${name}: ${message.message}`));
    };
    const onExit = () => finish(new Error(`${name} ended while it was starting`));
    const timer = setTimeout(
      () => finish(new Error(`${name} did not become ready in time`)),
      START_TIMEOUT_MS,
    );
    child.on("message", onMessage);
    child.once("exit", onExit);
  });
}

function send(child: ChildProcess, message: ToRoleProcess): void {
  tell(child, message);
}
