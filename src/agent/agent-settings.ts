import { PACKING_LIBRARIES } from "../delta/index.ts";
import { ARTIFACT_FORMATS, type ArtifactFormat } from "../protocol/index.ts";
import { CONNECTION_DEFAULTS, type ConnectionOptions } from "./connection/connection.ts";
import { ROTATION_DEFAULTS, type RotationOptions } from "./identity/rotation.ts";
import { OUTBOX_DEFAULTS, type OutboxOptions } from "./offline/outbox.ts";

/** What may differ from device to device; everything has a safe default. */
export interface AgentSettings {
  heartbeatIntervalMs: number;
  /** The first connect after a boot comes within this time, at random. */
  connectSpreadMs: number;
  connection: ConnectionOptions;
  formats: readonly ArtifactFormat[];
  maxPatchMemoryBytes: number;
  /** Boots that a new image gets before the bootloader falls back. */
  trialTries: number;
  allowedCommands: readonly string[];
  rotation: RotationOptions;
  outbox: OutboxOptions;
}

export const AGENT_DEFAULTS: AgentSettings = {
  heartbeatIntervalMs: 60_000,
  connectSpreadMs: 0,
  connection: CONNECTION_DEFAULTS,
  formats: ARTIFACT_FORMATS,
  maxPatchMemoryBytes: 512 * 1024 ** 2,
  trialTries: 3,
  allowedCommands: [
    "ping",
    "reboot",
    "set-log-level",
    "collect-diagnostics",
    "rotate-certificate",
    "apply-configuration",
  ],
  rotation: ROTATION_DEFAULTS,
  outbox: OUTBOX_DEFAULTS,
};

/** Intervals of a device on a line that costs money (`"thin": true`). */
export const THIN_INTERVALS = {
  heartbeatSeconds: 1_800,
  telemetrySeconds: 3_600,
  /** Above the heartbeat's, so that no ping is ever due. */
  keepaliveSeconds: 1_860,
};

/** Formats that the device applies, and the libraries that patches between unpacked forms ask for. */
export function announcedFormats(formats: readonly ArtifactFormat[]): string[] {
  const packs = formats.some((format) => format.startsWith("unpacked-"));
  return packs ? [...formats, ...PACKING_LIBRARIES] : [...formats];
}
