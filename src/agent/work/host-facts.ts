import { readdir, readFile, statfs } from "node:fs/promises";
import path from "node:path";
import type { ConditionFacts } from "../update/conditions.ts";

/** Written by `vautn agent consent`: the update, or the version, that a person has agreed to. */
export const CONSENT_FILE = "consent";

/** What a Linux machine tells about its disk, its battery, its clock and its people. */
export function hostFacts(
  dataDirectory: string,
  powerSupplies = "/sys/class/power_supply",
): ConditionFacts {
  return {
    async freeBytes() {
      const { bavail, bsize } = await statfs(dataDirectory);
      return bavail * bsize;
    },
    battery: () => battery(powerSupplies),
    async consentedTo() {
      const text = await textOf(path.join(dataDirectory, CONSENT_FILE));
      return text?.trim();
    },
    localTime(nowMs) {
      const time = new Date(nowMs);
      return { day: time.getDay(), minute: time.getHours() * 60 + time.getMinutes() };
    },
  };
}

/** Documentation/ABI/testing/sysfs-class-power: the emptiest battery counts. */
async function battery(folder: string) {
  let emptiest: { percent: number; charging: boolean } | undefined;
  for (const name of await readdir(folder).catch(() => [])) {
    const read = (file: string) => textOf(path.join(folder, name, file));
    if ((await read("type"))?.trim() !== "Battery") continue;
    const percent = Number(await read("capacity"));
    const status = (await read("status"))?.trim();
    if (!Number.isFinite(percent)) continue;
    const charging = status === "Charging" || status === "Full";
    if (!emptiest || percent < emptiest.percent) emptiest = { percent, charging };
  }
  return emptiest;
}

async function textOf(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}
