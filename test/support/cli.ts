import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { expect } from "vitest";
import { runCli } from "../../src/cli/index.ts";

const actions = { up: async () => 0, demo: async () => 0 };

export interface CliResult {
  status: number;
  out: string;
  err: string;
}

/** Runs commands in this process against a platform, signed in by a key. */
export function createTestCli(url: string, apiKey: string, tenant = "acme") {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-cli-"));
  async function run(...argv: string[]): Promise<CliResult> {
    const result: CliResult = { status: -1, out: "", err: "" };
    result.status = await runCli(argv, actions, {
      out: (text) => {
        result.out += text;
      },
      err: (text) => {
        result.err += text;
      },
      input: Readable.from([]),
      isInteractive: false,
      columns: undefined,
      environment: {
        XDG_CONFIG_HOME: directory,
        VAUTN_URL: url,
        VAUTN_API_KEY: apiKey,
        VAUTN_TENANT: tenant,
      },
      interrupted: new AbortController().signal,
    });
    return result;
  }
  return {
    run,
    /** Runs a command that must succeed; its JSON. */
    async json(...argv: string[]) {
      const result = await run(...argv, "--json");
      expect(result.status, result.err).toBe(0);
      return JSON.parse(result.out);
    },
    close: () => fs.rmSync(directory, { recursive: true, force: true }),
  };
}
