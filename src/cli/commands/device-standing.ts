import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";

const CHANGES = [
  {
    verb: "quarantine",
    operation: "quarantineDevice",
    summary: "let a device do no more than renew its certificate and be updated",
    example: 'vautn device quarantine hub-001 --reason "strange traffic"',
    done: "is in quarantine",
  },
  {
    verb: "release",
    operation: "releaseDevice",
    summary: "lift a device's quarantine",
    example: 'vautn device release hub-001 --reason "image verified"',
    done: "is out of quarantine",
  },
  {
    verb: "reinstate",
    operation: "reinstateDevice",
    summary: "let a revoked device enrol again",
    example: 'vautn device reinstate hub-001 --reason "was found"',
    done: "may enrol again",
  },
] as const;

/** What a device is allowed to do: quarantine, its end, and the way back from a revocation. */
export function deviceStandingCommands(device: Command, cli: Cli): void {
  for (const { verb, operation, summary, example, done } of CHANGES) {
    leaf(device, { usage: `${verb} <device>`, summary, example, tenant: true })
      .requiredOption("--reason <text>", "why, for the audit log")
      .action(async (id: string, options: CommonOptions & { reason: string }) => {
        const body = { reason: options.reason };
        await cli.session(options).call(operation, { params: { device: id }, body });
        cli.note(`${id} ${done}`);
      });
  }
}
