import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { messageOf } from "../kernel/index.ts";
import type { ConformanceCase } from "./case.ts";
import { DeviceProcess } from "./device-process.ts";
import { Kit } from "./kit.ts";
import {
  COMMAND_CASES,
  ENROLMENT_CASES,
  LAST_CASES,
  LIFE_CASES,
  TWIN_CASES,
} from "./life-cases.ts";
import { ROTATION_CASES } from "./rotation-cases.ts";
import { UPDATE_CASES } from "./update-cases.ts";

/** In the order in which a device lives through them. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = [
  ...ENROLMENT_CASES,
  ...LIFE_CASES,
  ...COMMAND_CASES,
  ...TWIN_CASES,
  ...ROTATION_CASES,
  ...UPDATE_CASES,
  ...LAST_CASES,
];

export interface ConformanceResult {
  id: string;
  title: string;
  outcome: "passed" | "failed" | "skipped";
  /** What was seen, or why it did not pass. */
  detail: string;
  /** Where it is asked for. */
  section: string;
  seconds: number;
}

export interface ConformanceOptions {
  /** Line of a shell; `{folder}` stands for the folder. Absent: the device comes by itself. */
  command?: string | undefined;
  /** Of the device program. */
  environment?: NodeJS.ProcessEnv;
  /** Kept where it is given; else a temporary one. */
  folder?: string | undefined;
  patienceMs: number;
  /** Letters or names of cases; those that they need are run too. */
  only?: readonly string[] | undefined;
  onReady?(folder: string): void;
  onResult?(result: ConformanceResult): void;
}

const SECTION = "docs/protocol/device.md";

/** Drives one device through the protocol; resolves with a result for each requirement, and its log. */
export async function runConformance(
  options: ConformanceOptions,
): Promise<{ results: ConformanceResult[]; log: string }> {
  const given = options.folder;
  const folder = given ?? fs.mkdtempSync(path.join(os.tmpdir(), "vautn-conformance-"));
  fs.mkdirSync(folder, { recursive: true });
  const kit = new Kit({ folder, patienceMs: options.patienceMs });
  const command = options.command?.replaceAll("{folder}", folder);
  const device =
    command === undefined
      ? undefined
      : new DeviceProcess(command, { ...options.environment, VAUTN_CONFORMANCE: folder });
  const results: ConformanceResult[] = [];
  try {
    await kit.listen();
    options.onReady?.(folder);
    device?.start();
    for (const one of chosen(options.only)) {
      const result = await runCase(one, { kit, device }, results);
      results.push(result);
      options.onResult?.(result);
    }
    return { results, log: device?.log ?? "" };
  } finally {
    await device?.stop();
    await kit.close();
    if (!given) fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function runCase(
  one: ConformanceCase,
  bench: Parameters<ConformanceCase["run"]>[0],
  before: readonly ConformanceResult[],
): Promise<ConformanceResult> {
  const { id, title, needs = [] } = one;
  const about = { id, title, section: `${SECTION} ${id}` };
  const missing = needs.find(
    (need) => before.find((each) => each.id === need)?.outcome !== "passed",
  );
  if (missing) {
    return { ...about, outcome: "skipped", detail: `${missing} did not pass`, seconds: 0 };
  }
  const startedAt = performance.now();
  const end = (outcome: "passed" | "failed", detail: string): ConformanceResult => {
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    return { ...about, outcome, detail, seconds };
  };
  try {
    return end("passed", await one.run(bench));
  } catch (error) {
    return end("failed", messageOf(error));
  }
}

function chosen(only: readonly string[] | undefined): readonly ConformanceCase[] {
  if (!only) return CONFORMANCE_CASES;
  const wanted = new Set<string>(["E1"]);
  const add = (one: ConformanceCase) => {
    wanted.add(one.id);
    for (const need of one.needs ?? []) {
      const found = CONFORMANCE_CASES.find(({ id }) => id === need);
      if (found) add(found);
    }
  };
  for (const name of only) {
    const found = CONFORMANCE_CASES.filter(
      ({ id }) => id === name || id.replace(/\d+$/, "") === name,
    );
    for (const one of found) add(one);
  }
  return CONFORMANCE_CASES.filter(({ id }) => wanted.has(id));
}
