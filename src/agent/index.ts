export * from "./agent.ts";
export { readAgentConfig } from "./agent-config.ts";
export * from "./agent-settings.ts";
export { StateStore } from "./agent-state.ts";
export * from "./boot/boot-back-end.ts";
export * from "./boot/boot-selection.ts";
export { EfiVariables } from "./boot/efi-variables.ts";
export { bootFromFiles } from "./boot/files-bootloader.ts";
export { openSystemdBoot, partitionDevice } from "./boot/systemd-boot.ts";
export * from "./boot/systemd-boot-entries.ts";
export { uefiChain } from "./boot/uefi-chain.ts";
export * from "./components/component.ts";
export { createHttpsArtifacts } from "./connection/https-client.ts";
export { createMqttTransport } from "./connection/mqtt-transport.ts";
export { PublishRefused } from "./connection/publish-refused.ts";
export { CredentialStore } from "./identity/credential-store.ts";
export { type EnrolmentOptions, enrolByClaim } from "./identity/enrolment.ts";
export { createEstClient, ReenrolmentRefused } from "./identity/est-client.ts";
export { IdentityRefused } from "./identity/identity-refused.ts";
export { type Provisioning, readProvisioning, writeProvisioning } from "./identity/provisioning.ts";
export { readDocument, replaceFile, writeDocument } from "./offline/atomic-file.ts";
export { fileSlots, openFileStorage } from "./offline/file-storage.ts";
export { OUTBOX_DEFAULTS, Outbox, type OutboxOptions } from "./offline/outbox.ts";
export { SequenceNumbers } from "./offline/sequence-numbers.ts";
export * from "./ports.ts";
export { type DeviceParts, RESTART_STATUS, runAgent } from "./run-agent.ts";
export { askStatus, describeStatus } from "./status-socket.ts";
export * from "./update/conditions.ts";
export {
  hashSlot,
  readSlotRecord,
  recordOfRelease,
  type SlotRecord,
  writeSlotRecord,
} from "./update/slot-record.ts";
export { type CommandContext, type CommandHandler, RESTARTING } from "./work/commands.ts";
export { Configurations, SETTINGS_FILE } from "./work/configurations.ts";
export { CONSENT_FILE } from "./work/host-facts.ts";
export { Twin, type TwinHandler } from "./work/twin.ts";
export { DESIRED_FILE, twinByFile } from "./work/twin-file.ts";
