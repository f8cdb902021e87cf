export * from "./agent.ts";
export * from "./agent-settings.ts";
export { replaceFile } from "./atomic-file.ts";
export * from "./boot-back-end.ts";
export * from "./boot-selection.ts";
export { type CommandContext, type CommandHandler, RESTARTING } from "./commands.ts";
export { Configurations, SETTINGS_FILE } from "./configurations.ts";
export { CredentialStore } from "./credential-store.ts";
export { EfiVariables } from "./efi-variables.ts";
export { type EnrolmentOptions, enrolByClaim } from "./enrolment.ts";
export { createEstClient, ReenrolmentRefused } from "./est-client.ts";
export { fileSlots, openFileStorage } from "./file-storage.ts";
export { bootFromFiles } from "./files-bootloader.ts";
export { createHttpsArtifacts } from "./https-client.ts";
export { IdentityRefused } from "./identity-refused.ts";
export { createMqttTransport } from "./mqtt-transport.ts";
export * from "./ports.ts";
export { type Provisioning, readProvisioning, writeProvisioning } from "./provisioning.ts";
export { PublishRefused } from "./publish-refused.ts";
export { RESTART_STATUS, runAgent } from "./run-agent.ts";
export {
  hashSlot,
  readSlotRecord,
  recordOfRelease,
  type SlotRecord,
  writeSlotRecord,
} from "./slot-record.ts";
export { openSystemdBoot, partitionDevice } from "./systemd-boot.ts";
export * from "./systemd-boot-entries.ts";
export { uefiChain } from "./uefi-chain.ts";
