import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { admissionCommands } from "./admission.ts";
import { alertCommands } from "./alerts.ts";
import { anomalyCommands } from "./anomalies.ts";
import { applicationCommands } from "./applications.ts";
import { auditCommands } from "./audit.ts";
import { backupCommands } from "./backup.ts";
import { certificateCommands } from "./certificates.ts";
import { claimCommands } from "./claims.ts";
import { commandCommands } from "./commands.ts";
import { conformanceCommand } from "./conformance.ts";
import { deltaCommands } from "./deltas.ts";
import { detectCommand } from "./detect.ts";
import { deviceCommands } from "./devices.ts";
import { factorCommands } from "./factors.ts";
import { firmwareCommands } from "./firmware.ts";
import { fleetCommands } from "./fleet.ts";
import { keyCommands } from "./keys.ts";
import { lookingCommands } from "./looking.ts";
import { operationsCommands } from "./operations.ts";
import { pkiCommands } from "./pki.ts";
import { type PlatformActions, platformCommands } from "./platform.ts";
import { presenceCommands } from "./presence.ts";
import { providerCommands } from "./providers.ts";
import { registeredAuthorityCommands } from "./registered-authorities.ts";
import { roleCommands } from "./roles.ts";
import { rolloutCommands } from "./rollouts.ts";
import { scriptCommands } from "./script.ts";
import { securebootCommands } from "./secureboot.ts";
import { serviceAccountCommands } from "./service-accounts.ts";
import { sessionCommands } from "./sessions.ts";
import { signInCommands } from "./sign-in.ts";
import { deviceSideCommands } from "./simulate.ts";
import { tenancyCommands } from "./tenancy.ts";

/** Every command, in the groups and the order in which help shows them. */
export function registerCommands(
  program: Command,
  cli: Cli,
  actions: PlatformActions,
  outcome: { status: number },
  version: string,
): void {
  program.commandsGroup("The platform:");
  platformCommands(program, cli, actions, outcome);
  operationsCommands(program, cli);
  backupCommands(program, cli, version);
  program.commandsGroup("Signing in:");
  signInCommands(program, cli);
  sessionCommands(program, cli);
  program.commandsGroup("Tenants and people:");
  tenancyCommands(program, cli);
  roleCommands(program, cli);
  keyCommands(program, cli);
  serviceAccountCommands(program, cli);
  providerCommands(program, cli);
  factorCommands(program, cli);
  auditCommands(program, cli);
  program.commandsGroup("Devices:");
  deviceCommands(program, cli);
  fleetCommands(program, cli);
  commandCommands(program, cli);
  scriptCommands(program, cli);
  applicationCommands(program, cli);
  program.commandsGroup("Certificates and enrolment:");
  certificateCommands(program, cli);
  pkiCommands(program, cli);
  claimCommands(program, cli);
  admissionCommands(program, cli);
  registeredAuthorityCommands(program, cli);
  program.commandsGroup("Firmware and rollouts:");
  firmwareCommands(program, cli);
  rolloutCommands(program, cli);
  deltaCommands(program, cli);
  securebootCommands(program, cli);
  program.commandsGroup("Looking:");
  lookingCommands(program, cli);
  alertCommands(program, cli);
  presenceCommands(program, cli);
  anomalyCommands(program, cli);
  detectCommand(program, cli);
  program.commandsGroup("The device's side:");
  deviceSideCommands(program, cli, outcome);
  conformanceCommand(program, cli);
}
