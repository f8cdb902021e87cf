import fs from "node:fs";
import type { Command } from "commander";
import { PlatformUnreachable } from "../../client/index.ts";
import { describeConfig, readConfig, servesApiByTls } from "../../kernel/config.ts";
import { messageOf } from "../../kernel/index.ts";
import { RESERVED_DISK_BYTES } from "../../kernel/limits.ts";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { CliError, misuse, nextStepOf } from "../cli-error.ts";
import { effectiveContext } from "../context.ts";
import { table } from "../output.ts";
import {
  checkAcme,
  checkClock,
  checkRootList,
  type Finding,
  findingsOf,
  readReadiness,
} from "../server-checks.ts";
import { trustPrivateAuthority } from "../session.ts";
import { type Negotiated, negotiate } from "../tls-probe.ts";

const PROBE_TIMEOUT_MS = 5_000;

export function operationsCommands(program: Command, cli: Cli): void {
  leaf(program, {
    usage: "config",
    summary: "the effective configuration, secrets masked",
    example: "VAUTN_API_PORT=9000 vautn config",
    data: true,
  }).action((options: CommonOptions) => {
    const effective = describeConfig(configOf(cli));
    cli.print(options, effective, () =>
      table(
        ["SETTING", "VALUE"],
        Object.entries(effective).map(([name, value]) => [name, String(value ?? "(not set)")]),
      ),
    );
  });

  leaf(program, {
    usage: "doctor",
    summary: "look for what keeps this installation from working; status 1 when there is something",
    example: "vautn doctor",
    data: true,
  }).action(async (options: CommonOptions) => {
    const context = readContextOf(cli);
    const [platform, listeners] = await Promise.all([
      "url" in context ? checkPlatform(context.url) : [context.finding],
      checkListeners(cli),
    ]);
    // What takes a sign-in is asked where somebody answers who can know it.
    const isDown = platform.some(
      ({ check, state }) => ["platform", "postgresql"].includes(check) && state === "problem",
    );
    const signedIn =
      "url" in context && !isDown ? await Promise.all([checkAcme(cli), checkRootList(cli)]) : [];
    const items = [...checkMachine(cli), ...platform, ...listeners, ...signedIn.flat()];
    cli.print(options, { items }, () =>
      table(
        ["CHECK", "STATE", "DETAIL"],
        items.map(({ check, state, detail }) => [check, state, detail]),
      ),
    );
    const problems = items.filter(({ state }) => state === "problem");
    if (problems.length > 0) throw new CliError(`${problems.length} problem(s) found`);
  });
}

function configOf(cli: Cli) {
  try {
    return readConfig(cli.io.environment);
  } catch (error) {
    throw misuse(messageOf(error));
  }
}

function checkMachine(cli: Cli): Finding[] {
  const version = process.versions.node;
  const findings: Finding[] = [
    {
      check: "node",
      state: Number(version.split(".")[0]) >= 26 ? "ok" : "problem",
      detail: `${version} (26 or newer is needed)`,
    },
    {
      check: "tls",
      state: "ok",
      // Node's OpenSSL offers X25519MLKEM768 first since 3.5.
      detail: `OpenSSL ${process.versions.openssl}, ${hybridKeyExchange()}`,
    },
  ];
  try {
    const { dataDirectory } = readConfig(cli.io.environment);
    findings.push({ check: "configuration", state: "ok", detail: "every setting is valid" });
    findings.push(checkDataDirectory(dataDirectory));
  } catch (error) {
    const detail = messageOf(error).replaceAll(/:?\s*\n\s*/g, ": ");
    findings.push({ check: "configuration", state: "problem", detail });
  }
  return findings;
}

/** What a device of today would agree on with each listener of this machine. */
async function checkListeners(cli: Cli): Promise<Finding[]> {
  let config: ReturnType<typeof readConfig>;
  try {
    config = readConfig(cli.io.environment);
  } catch {
    return []; // It is named already.
  }
  const host = config.bindAddress === "0.0.0.0" ? "127.0.0.1" : config.bindAddress;
  const listeners = [
    ["mqtt tls", config.mqttPort],
    ["https tls", config.deviceHttpPort],
    ...(servesApiByTls(config) ? [["api tls", config.apiPort] as const] : []),
  ] as const;
  return Promise.all(
    listeners.map(async ([check, port]): Promise<Finding> => {
      try {
        return { check, ...judge(await negotiate(host, port, PROBE_TIMEOUT_MS), Date.now()) };
      } catch (error) {
        const cause = (error as { code?: string }).code ?? messageOf(error);
        return { check, state: "note", detail: `${host}:${port}: ${cause}` };
      }
    }),
  );
}

/** A day: the server's certificates are renewed long before it. */
const ENDING_SOON_MS = 86_400_000;

/** Tells a certificate that nobody can accept from one that is in order. */
export function judge(found: Negotiated, nowMs: number): Pick<Finding, "state" | "detail"> {
  const { protocol, cipher, group, subject, issuer, notAfter } = found;
  const ends = notAfter.toISOString().slice(0, 10);
  const detail = `${protocol}, ${cipher}, ${group}; ${subject}, ends ${ends}`;
  if (issuer.includes("waiting for the offline root")) {
    return { state: "problem", detail: `${detail}; it waits for the offline root: vautn pki show` };
  }
  if (notAfter.getTime() <= nowMs) {
    const next = "is this machine's clock right, and does the platform run that renews it?";
    return { state: "problem", detail: `${detail}: it has expired; ${next}` };
  }
  if (notAfter.getTime() - nowMs < ENDING_SOON_MS) {
    return { state: "note", detail: `${detail}: soon; it should have been renewed by now` };
  }
  if (!group.includes("MLKEM")) return { state: "note", detail: `${detail} (not post-quantum)` };
  return { state: "ok", detail };
}

/** Tells a disk that is full from one that will be. */
export function judgeRoom(directory: string, freeBytes: number): Pick<Finding, "state" | "detail"> {
  const freeGib = freeBytes / 1024 ** 3;
  const free = freeGib < 1 ? `${Math.floor(freeGib * 1024)} MiB` : `${freeGib.toFixed(1)} GiB`;
  const detail = `${directory}, ${free} free`;
  if (freeBytes < RESERVED_DISK_BYTES) {
    const next = "devices wait until there is room; make some, or shorten what is kept";
    return { state: "problem", detail: `${detail}: full; ${next}` };
  }
  if (freeGib < 1) {
    return { state: "problem", detail: `${detail}: make room before devices have to wait` };
  }
  if (freeGib < 10) return { state: "note", detail: `${detail}: less than 10 GiB` };
  return { state: "ok", detail };
}

function hybridKeyExchange(): string {
  const [major = 0, minor = 0] = process.versions.openssl.split(".").map(Number);
  return major > 3 || (major === 3 && minor >= 5)
    ? "post-quantum key exchange is on"
    : "no post-quantum key exchange";
}

function checkDataDirectory(directory: string): Finding {
  const check = "data folder";
  if (!fs.existsSync(directory)) {
    return { check, state: "note", detail: `${directory} is made at the first start` };
  }
  try {
    fs.accessSync(directory, fs.constants.W_OK);
  } catch {
    const next = "give it to the user that the platform runs as, or name another one in VAUTN_DATA";
    return { check, state: "problem", detail: `${directory} cannot be written to; ${next}` };
  }
  const { bavail, bsize } = fs.statfsSync(directory);
  return { check, ...judgeRoom(directory, bavail * bsize) };
}

/** Where the platform is; a finding where that cannot be known, or its authority not be read. */
function readContextOf(cli: Cli): { url: string } | { finding: Finding } {
  const check = "platform";
  try {
    const { url } = effectiveContext(cli.io.environment);
    if (!url) return { finding: { check, state: "note", detail: "none named: vautn login URL" } };
    trustPrivateAuthority(cli.io.environment);
    return { url };
  } catch (error) {
    const detail = [messageOf(error), nextStepOf(error)].filter(Boolean).join("; ");
    return { finding: { check, state: "problem", detail } };
  }
}

async function checkPlatform(url: string): Promise<Finding[]> {
  const check = "platform";
  try {
    const response = await fetch(`${url.replace(/\/+$/, "")}/readyz`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    const readiness = readReadiness(await response.text());
    if (!readiness) {
      const detail = `${url} answers ${response.status}, and not as Vautn does: is the address right (vautn login URL)?`;
      return [{ check, state: "problem", detail }];
    }
    return [
      { check, state: "ok", detail: `${url} answers` },
      ...findingsOf(readiness),
      checkClock(response.headers.get("date"), Date.now()),
    ];
  } catch (error) {
    const unreachable = new PlatformUnreachable(url, error);
    const next = unreachable.isUntrusted
      ? nextStepOf(unreachable)
      : "start it (vautn up), or read what it wrote last";
    return [{ check, state: "problem", detail: `${messageOf(unreachable)}; ${next}` }];
  }
}
