import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { messageOf, systemClock, systemRandom } from "../kernel/index.ts";
import { isReleaseEnvelope, type LogLevel } from "../protocol/index.ts";
import { type Agent, createAgent } from "./agent.ts";
import { type AgentConfig, readAgentConfig } from "./agent-config.ts";
import { AGENT_DEFAULTS, type AgentSettings, THIN_INTERVALS } from "./agent-settings.ts";
import type { BootBackEnd } from "./boot/boot-back-end.ts";
import { openBackEnd } from "./boot/open-back-end.ts";
import { notifyReady } from "./boot/watchdog.ts";
import { noteHealthyAgent } from "./components/agent-component.ts";
import type { Components } from "./components/component.ts";
import { createHttpsArtifacts } from "./connection/https-client.ts";
import { createMqttTransport } from "./connection/mqtt-transport.ts";
import {
  applicationOf,
  componentsOf,
  conditionsOf,
  healthyFileOf,
  runningFile,
  twinOf,
  watchdogOf,
} from "./host-parts.ts";
import { CredentialStore } from "./identity/credential-store.ts";
import { enrolByClaim } from "./identity/enrolment.ts";
import { createEstClient } from "./identity/est-client.ts";
import { type Provisioning, readProvisioning, writeProvisioning } from "./identity/provisioning.ts";
import { replaceFile } from "./offline/atomic-file.ts";
import { openFileStorage } from "./offline/file-storage.ts";
import { setClockForward } from "./offline/machine-clock.ts";
import type { Application, Slots, Storage } from "./ports.ts";
import { openStatusSocket, type StatusSocket } from "./status-socket.ts";
import { createSiteSources } from "./update/site-sources.ts";
import {
  hashSlot,
  readSlotRecord,
  recordOfRelease,
  writeSlotRecord,
} from "./update/slot-record.ts";
import type { CommandHandler } from "./work/commands.ts";
import type { TwinHandler } from "./work/twin.ts";

/** Tells the supervisor that the machine is to be started again (EX_TEMPFAIL of sysexits.h). */
export const RESTART_STATUS = 75;
const DEFAULT_SLOT_BYTES = 256 * 1024 ** 2;

/** What a device's own program puts in the place of the agent's parts. */
export interface DeviceParts {
  application?: Application;
  /** Allowed by being here, whatever the configuration allows. */
  commandHandlers?: Readonly<Record<string, CommandHandler>>;
  /** Beside, or instead of, those of the configuration. */
  components?: Components;
  /** Instead of a file and a program. */
  twin?: TwinHandler;
  /** A bootloader that the agent does not know. */
  backEnd?: BootBackEnd;
}

/**
 * Runs the agent on an ordinary machine, with slots and bootloader state as files. Resolves with
 * the exit status: 0 after SIGTERM or SIGINT, 75 when the machine is to be restarted and the
 * configuration names no command for that. Rejects when it cannot start, with the reason.
 */
export async function runAgent(
  configFile: string,
  environment: NodeJS.ProcessEnv,
  parts: DeviceParts = {},
): Promise<number> {
  const config = await readAgentConfig(configFile);
  const provisioning = await provision(config);
  const credentials = await CredentialStore.open(await openFileStorage(config.provisioning));
  const storage = await openFileStorage(config.data);
  await setClockForward(config, storage, credentials, writeLine);
  const backEnd =
    parts.backEnd ??
    (await openBackEnd(config.bootloader ?? { kind: "files" }, {
      storage,
      locate: (name) => path.join(config.data, name),
      capacityBytes: config.slotSizeBytes ?? DEFAULT_SLOT_BYTES,
    }));
  await installFactoryImage(config, storage, backEnd.slots);
  const { running } = await backEnd.bootloader.status();

  const outcome = Promise.withResolvers<number>();
  const agent = createAgent({
    identity: provisioning,
    trustRoot: await trustRootOf(config, provisioning),
    clock: systemClock,
    random: systemRandom,
    storage,
    slots: backEnd.slots,
    bootloader: backEnd.bootloader,
    chain: backEnd.chain,
    async healthy() {
      await backEnd.healthy();
      // A new agent on trial with its update is confirmed by that, or goes back with it.
      if (agent.status()?.update) return;
      await noteHealthyAgent(runningFile(), healthyFileOf(config));
    },
    ...(await connectionTo(config, provisioning, credentials)),
    application: parts.application ?? applicationOf(config, running),
    commandHandlers: parts.commandHandlers ?? {},
    components: new Map([
      ...componentsOf(config, storage, () => outcome.resolve(0)),
      ...(parts.components ?? []),
    ]),
    twin: parts.twin ?? twinOf(config, storage),
    conditions: conditionsOf(config),
    watchdog: await watchdogOf(config, environment),
    reboot: () => outcome.resolve(RESTART_STATUS),
    settings: settingsOf(config, Object.keys(parts.commandHandlers ?? {})),
    localLog: writeLine,
  });
  const onSignal = () => outcome.resolve(0);
  let statusSocket: StatusSocket | undefined;
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await agent.start();
    await notifyReady(environment);
    statusSocket = await openStatusSocket(config.data, () => agent.status()).catch((error) => {
      // A file system without sockets, or too long a path: the device works all the same.
      writeLine("warn", `the agent cannot be asked at the device: ${messageOf(error)}`);
      return undefined;
    });
    announce(agent, provisioning);
    const status = await outcome.promise;
    await agent.stop();
    return status === RESTART_STATUS && config.reboot ? await restart(config.reboot) : status;
  } finally {
    await statusSocket?.close();
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  }
}

async function provision(config: AgentConfig): Promise<Provisioning> {
  const { enrolment, provisioning: directory } = config;
  if (!enrolment || existsSync(path.join(directory, "device.json"))) {
    return readProvisioning(directory);
  }
  const { root, claimTokenFile, ...identity } = enrolment;
  const enrolled = await enrolByClaim({
    ...identity,
    root: await readFile(root, "utf8"),
    claimToken: (await readFile(claimTokenFile, "utf8")).trim(),
    key: await enrolmentKey(directory),
    async waitForPerson(seconds) {
      writeLine("warn", `a person has to accept this device; asking again in ${seconds} s`);
      await setTimeout(seconds * 1_000);
    },
  });
  await writeProvisioning(directory, enrolled);
  writeLine("info", `enrolled as ${enrolled.tenant}/${enrolled.device}`);
  return enrolled;
}

/**
 * The key that this device enrols with, on the disk before it is used: who is cut off while it asks,
 * or has to wait for a person, asks again with the same one, and no other is accepted then.
 */
async function enrolmentKey(directory: string): Promise<string> {
  const file = path.join(directory, "key.pem");
  if (existsSync(file)) return readFile(file, "utf8");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await replaceFile(await openFileStorage(directory), "key.pem", Buffer.from(pem));
  return pem;
}

/** A data partition can be written by who holds the disk: on verified machines it decides nothing. */
async function trustRootOf(config: AgentConfig, provisioning: Provisioning) {
  if (!config.trustRoot) return provisioning.trustRoot;
  return JSON.parse(await readFile(config.trustRoot, "utf8")) as Provisioning["trustRoot"];
}

/** The first start takes what the device was made with for the content of slot a. */
async function installFactoryImage(
  config: AgentConfig,
  storage: Storage,
  slots: Slots,
): Promise<void> {
  const { factory } = config;
  if (!factory || (await readSlotRecord(storage, "a")) || (await readSlotRecord(storage, "b"))) {
    return;
  }
  const release = JSON.parse(await readFile(factory.manifest, "utf8"));
  if (!isReleaseEnvelope(release)) throw new Error(`${factory.manifest} is no release manifest`);
  const record = recordOfRelease(release);
  if (factory.image) await writeFactoryImage(slots, factory.image);
  if ((await hashSlot(slots, "a", record.sizeBytes)) !== record.sha256) {
    const what = factory.image ?? "what slot a holds";
    throw new Error(`${what} is not the image that its manifest names`);
  }
  await writeSlotRecord(storage, "a", record);
}

async function writeFactoryImage(slots: Slots, image: string): Promise<void> {
  const slot = await slots.open("a");
  try {
    await slot.truncate(0);
    await slot.write(0, await readFile(image));
    await slot.sync();
  } finally {
    await slot.close();
  }
}

async function connectionTo(
  { downloadBases = [], thin, keepaliveSeconds }: AgentConfig,
  provisioning: Provisioning,
  credentials: CredentialStore,
) {
  const current = async () => credentials.current;
  const sites = await Promise.all(
    downloadBases.map(async ({ url, root }) => {
      const pem = root ? await readFile(root, "utf8") : undefined;
      const known = async () => ({ ...credentials.current, ...(pem ? { root: pem } : {}) });
      return { base: url, source: createHttpsArtifacts(known) };
    }),
  );
  return {
    credentials,
    reenrolment: createEstClient(provisioning),
    transport: createMqttTransport({
      url: provisioning.mqttUrl,
      tenantId: provisioning.tenant,
      deviceId: provisioning.device,
      credentials: current,
      ...(keepaliveSeconds || thin
        ? { keepaliveSeconds: keepaliveSeconds ?? THIN_INTERVALS.keepaliveSeconds }
        : {}),
    }),
    artifacts: createSiteSources({
      sites,
      platform: createHttpsArtifacts(current),
      clock: systemClock,
      log: (message) => writeLine("warn", message),
    }),
  };
}

function settingsOf(config: AgentConfig, own: readonly string[]): Partial<AgentSettings> {
  const {
    allowedCommands = AGENT_DEFAULTS.allowedCommands,
    maxPatchMemoryBytes,
    trialTries,
    thin,
  } = config;
  const heartbeatIntervalSeconds =
    config.heartbeatIntervalSeconds ?? (thin ? THIN_INTERVALS.heartbeatSeconds : undefined);
  const { certificate, outbox } = config;
  return {
    ...(heartbeatIntervalSeconds ? { heartbeatIntervalMs: heartbeatIntervalSeconds * 1000 } : {}),
    allowedCommands: [...allowedCommands, ...own],
    ...(maxPatchMemoryBytes !== undefined ? { maxPatchMemoryBytes } : {}),
    ...(trialTries ? { trialTries } : {}),
    ...(outbox ? { outbox: { ...AGENT_DEFAULTS.outbox, ...outbox } } : {}),
    ...(certificate ? { rotation: { ...AGENT_DEFAULTS.rotation, way: certificate.via } } : {}),
  };
}

async function restart(command: readonly string[]): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => resolve(status === 0 ? 0 : 1));
  });
}

function announce(agent: Agent, provisioning: Provisioning): void {
  const status = agent.status();
  if (!status) return;
  const { version, slot } = status.firmware;
  const name = `${provisioning.tenant}/${provisioning.device}`;
  writeLine("info", `${name} runs ${version} from slot ${slot} (${status.bootReason})`);
}

function writeLine(level: LogLevel, message: string): void {
  if (level === "trace" || level === "debug") return;
  // CR and LF of foreign origin must not make lines of their own.
  const line = messageOf(message).replace(/[\r\n]+/g, " ");
  process.stderr.write(`${new Date().toISOString()} ${level} ${line}\n`);
}
