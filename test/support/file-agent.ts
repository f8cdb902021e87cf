import fs from "node:fs";
import path from "node:path";
import {
  AGENT_DEFAULTS,
  type Agent,
  type AgentSettings,
  type Application,
  bootFromFiles,
  CredentialStore,
  createAgent,
  createEstClient,
  createHttpsArtifacts,
  createMqttTransport,
  fileSlots,
  openFileStorage,
  readProvisioning,
  type Storage,
} from "../../src/agent/index.ts";
import { systemClock, systemRandom } from "../../src/kernel/index.ts";

export interface FileAgent {
  agent: Agent;
  credentials: CredentialStore;
  log: string[];
}

/**
 * The real agent on real files and the real wire. `folder` holds `identity`, as provisioned, and
 * `data`; `wrap` may come between the agent and the files of its identity.
 */
export async function startFileAgent(
  folder: string,
  options: {
    way?: "auto" | "est" | "mqtt";
    settings?: Partial<AgentSettings>;
    wrap?: (storage: Storage) => Storage;
    reboot?: () => void;
    application?: Partial<Application>;
  } = {},
): Promise<FileAgent> {
  const { way = "auto", wrap = (storage) => storage } = options;
  const directory = path.join(folder, "identity");
  const provisioning = await readProvisioning(directory);
  const credentials = await CredentialStore.open(wrap(await openFileStorage(directory)));
  const storage = await openFileStorage(path.join(folder, "data"));
  const current = async () => credentials.current;
  const log: string[] = [];
  const agent = createAgent({
    identity: provisioning,
    trustRoot: provisioning.trustRoot,
    clock: systemClock,
    random: systemRandom,
    storage,
    slots: fileSlots(storage, 1_000_000),
    bootloader: await bootFromFiles(storage, "power-on"),
    credentials,
    reenrolment: createEstClient(provisioning),
    transport: createMqttTransport({
      url: provisioning.mqttUrl,
      tenantId: provisioning.tenant,
      deviceId: provisioning.device,
      credentials: current,
    }),
    artifacts: createHttpsArtifacts(current),
    application: {
      start: async () => {},
      stop: async () => {},
      selfTest: async () => ({ passed: true }),
      metrics: () => ({}),
      ...options.application,
    },
    reboot: options.reboot ?? (() => {}),
    localLog: (level, message) => log.push(`${level} ${message}`),
    settings: {
      connection: { ...AGENT_DEFAULTS.connection, backOff: { baseMs: 100, capMs: 500 } },
      rotation: {
        ...AGENT_DEFAULTS.rotation,
        way,
        backOff: { baseMs: 200, capMs: 1_000 },
        timeoutMs: 10_000,
      },
      ...options.settings,
    },
  });
  await agent.start();
  return { agent, credentials, log };
}

/** Every file below a folder with the rights that others have on it. */
export function rightsIn(folder: string): Record<string, number> {
  return Object.fromEntries(
    fs.readdirSync(folder).map((name) => [name, fs.statSync(path.join(folder, name)).mode & 0o777]),
  );
}
