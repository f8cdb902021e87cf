import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Static } from "typebox";
import * as Type from "typebox";
import { isAppError, messageOf } from "../kernel/index.ts";
import { checkMessage } from "../protocol/index.ts";
import { BackEndConfig } from "./boot/back-end-config.ts";

const FileName = Type.String({ minLength: 1 });
/** Program and arguments; no shell is involved. */
const CommandLine = Type.Array(Type.String(), { minItems: 1, maxItems: 100 });

const TimeOfDay = Type.String({ pattern: "^([01]\\d|2[0-3]):[0-5]\\d$" });
const component = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" });
const ComponentConfig = Type.Union([
  Type.Object(
    {
      component,
      kind: Type.Literal("file"),
      path: FileName,
      mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
      reload: Type.Optional(CommandLine),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      component,
      kind: Type.Literal("command"),
      install: CommandLine,
      revert: CommandLine,
      confirm: Type.Optional(CommandLine),
      installed: Type.Optional(CommandLine),
      timeoutSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 7_200 })),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      component,
      kind: Type.Literal("mcuboot"),
      /** Serial device, or `tcp:HOST:PORT` of a terminal server. */
      line: Type.String({ minLength: 1 }),
      baud: Type.Optional(Type.Integer({ minimum: 300, maximum: 4_000_000 })),
      chunkBytes: Type.Optional(Type.Integer({ minimum: 32, maximum: 16_384 })),
      restartSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 3_600 })),
    },
    { additionalProperties: false },
  ),
  /** The agent itself, where the launcher starts it. */
  Type.Object(
    { component, kind: Type.Literal("agent"), home: FileName },
    { additionalProperties: false },
  ),
]);
export type ComponentConfig = Static<typeof ComponentConfig>;

/** The file that `vautn agent run --config FILE` reads. Paths are relative to its folder. */
export const AgentConfig = Type.Object(
  {
    /** Folder with key, certificate, root, trust root and `device.json`. */
    provisioning: FileName,
    /** Folder of all that the agent keeps. */
    data: FileName,
    /** Trust root in the verified image; without it, the one of the provisioning folder. */
    trustRoot: Type.Optional(FileName),
    /** Where slots are and how one is chosen; files in the data folder if nothing is said. */
    bootloader: Type.Optional(BackEndConfig),
    slotSizeBytes: Type.Optional(Type.Integer({ minimum: 1 })),
    /**
     * What the device was made with; taken into slot a at the first start. Without an image slot a
     * holds it already, as a disk image does.
     */
    factory: Type.Optional(Type.Object({ image: Type.Optional(FileName), manifest: FileName })),
    /** How to get the provisioning folder filled where it is empty. */
    enrolment: Type.Optional(
      Type.Object({
        httpsUrl: Type.String(),
        root: FileName,
        tenant: Type.String(),
        device: Type.String(),
        product: Type.String(),
        hardwareRevision: Type.String(),
        claimTokenFile: FileName,
      }),
    ),
    /** Program to keep running; `{image}` stands for the file of the running slot. */
    application: Type.Optional(CommandLine),
    /**
     * What a new image has to show before it stays, besides that it reaches the platform: a program
     * whose exit status is 0, services that are up, memory that is free.
     */
    selfTest: Type.Optional(
      Type.Union([
        CommandLine,
        Type.Object(
          {
            command: Type.Optional(CommandLine),
            timeoutSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 3_600 })),
            services: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: 100 })),
            minFreeMemoryBytes: Type.Optional(Type.Integer({ minimum: 0 })),
            settleSeconds: Type.Optional(Type.Number({ minimum: 0, maximum: 3_600 })),
          },
          { additionalProperties: false },
        ),
      ]),
    ),
    /** What releases may bring beside the image, in the order in which it is taken into use. */
    components: Type.Optional(Type.Array(ComponentConfig, { maxItems: 32 })),
    /**
     * What takes `desired.json` of the data folder into use whenever it has changed: `{file}` and
     * `{version}` stand for it. An exit status other than 0 takes it back; what it prints, a JSON
     * object, is reported.
     */
    twin: Type.Optional(
      Type.Object(
        {
          apply: Type.Optional(CommandLine),
          timeoutSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 3_600 })),
        },
        { additionalProperties: false },
      ),
    ),
    /** What an update waits for. */
    conditions: Type.Optional(
      Type.Object(
        {
          minFreeBytes: Type.Optional(Type.Integer({ minimum: 0 })),
          minBatteryPercent: Type.Optional(Type.Number({ minimum: 0, maximum: 100 })),
          /** Restarts into an image happen only then, by the device's local time. */
          windows: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  days: Type.Optional(Type.Array(Type.Integer({ minimum: 0, maximum: 6 }))),
                  from: TimeOfDay,
                  to: TimeOfDay,
                },
                { additionalProperties: false },
              ),
              { maxItems: 32 },
            ),
          ),
          consent: Type.Optional(Type.Boolean()),
        },
        { additionalProperties: false },
      ),
    ),
    /** What resets the machine when the agent hangs: a device of Linux, or the service manager. */
    watchdog: Type.Optional(
      Type.Union([
        Type.Object({
          kind: Type.Literal("device"),
          path: Type.Optional(FileName),
          intervalSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 3_600 })),
        }),
        Type.Object({ kind: Type.Literal("systemd") }),
      ]),
    ),
    /** What restarts the machine; without it the agent exits with status 75. */
    reboot: Type.Optional(CommandLine),
    /** By which way the certificate is renewed; EST, and MQTT where that fails, if nothing is said. */
    certificate: Type.Optional(
      Type.Object({
        via: Type.Union([Type.Literal("auto"), Type.Literal("est"), Type.Literal("mqtt")]),
      }),
    ),
    /** Download caches of the site, in the order of preference; the platform is always the last. */
    downloadBases: Type.Optional(
      Type.Array(
        Type.Object({
          /** Origin, e.g. `https://cache.plant.example:8443`. */
          url: Type.String({ pattern: "^https://[^/?#]+/?$" }),
          /** Certificate that the cache is known by; the device's own root if nothing is said. */
          root: Type.Optional(FileName),
        }),
        { maxItems: 8 },
      ),
    ),
    /** Lines of the machine's log that go to the platform, from the level on that is set there. */
    logs: Type.Optional(
      Type.Object(
        {
          /** Units of the service manager; all of the journal where the list is empty. */
          journalUnits: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: 100 })),
          files: Type.Optional(Type.Array(FileName, { maxItems: 100 })),
        },
        { additionalProperties: false },
      ),
    ),
    /** Where core dumps appear, e.g. `/var/lib/systemd/coredump`. */
    coreDumps: Type.Optional(
      Type.Object(
        { directory: FileName, describe: Type.Optional(CommandLine) },
        { additionalProperties: false },
      ),
    ),
    /** Long intervals for lines that cost money: 2 MB a month for a device with nothing to say. */
    thin: Type.Optional(Type.Boolean()),
    /** How long MQTT may be silent. */
    keepaliveSeconds: Type.Optional(Type.Integer({ minimum: 5, maximum: 65_535 })),
    heartbeatIntervalSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 86_400 })),
    telemetryIntervalSeconds: Type.Optional(Type.Number({ minimum: 1, maximum: 86_400 })),
    allowedCommands: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
    /** What goes when the queue of a device without a connection is full, and how fast it is sent. */
    outbox: Type.Optional(
      Type.Object(
        {
          keep: Type.Optional(Type.Union([Type.Literal("newest"), Type.Literal("oldest")])),
          backlogItemsPerSecond: Type.Optional(Type.Number({ minimum: 1, maximum: 100_000 })),
        },
        { additionalProperties: false },
      ),
    ),
    /**
     * Sets the machine's clock at the start where it is earlier than the last time known; `{seconds}`
     * stands for that. For machines whose clock has no battery.
     */
    setClock: Type.Optional(CommandLine),
    maxPatchMemoryBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    trialTries: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
  },
  { additionalProperties: false },
);
export type AgentConfig = Static<typeof AgentConfig>;

function locateIn(one: ComponentConfig, locate: (name: string) => string): ComponentConfig {
  if (one.kind === "file") return { ...one, path: locate(one.path) };
  return one.kind === "agent" ? { ...one, home: locate(one.home) } : one;
}

/** Reads the file; every path in the result is absolute. The error names the file and the field. */
export async function readAgentConfig(file: string): Promise<AgentConfig> {
  let config: AgentConfig;
  try {
    config = JSON.parse(await readFile(file, "utf8")) as AgentConfig;
    checkMessage(AgentConfig, config);
  } catch (error) {
    const where = isAppError(error, "message-invalid") ? "is not valid at" : "cannot be read:";
    throw new Error(`${file} ${where} ${messageOf(error)}`, { cause: error });
  }
  const locate = (name: string) => path.resolve(path.dirname(file), name);
  const { factory, enrolment, downloadBases } = config;
  return {
    ...config,
    ...(downloadBases
      ? {
          downloadBases: downloadBases.map(({ url, root }) => ({
            url,
            ...(root ? { root: locate(root) } : {}),
          })),
        }
      : {}),
    ...(config.components
      ? {
          components: config.components.map((one) => locateIn(one, locate)),
        }
      : {}),
    provisioning: locate(config.provisioning),
    data: locate(config.data),
    ...(factory
      ? {
          factory: {
            ...(factory.image ? { image: locate(factory.image) } : {}),
            manifest: locate(factory.manifest),
          },
        }
      : {}),
    ...(config.trustRoot ? { trustRoot: locate(config.trustRoot) } : {}),
    ...(enrolment
      ? {
          enrolment: {
            ...enrolment,
            root: locate(enrolment.root),
            claimTokenFile: locate(enrolment.claimTokenFile),
          },
        }
      : {}),
  };
}
