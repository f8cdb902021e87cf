import type { DeltaDemand, RolloutsDeps } from "./types.ts";

/** Devices that run one image and apply the same formats. */
interface Kind {
  firmware_sha256: string | null;
  formats: readonly string[];
  devices: number;
}

/** What devices come from, the commonest first, and what of it some of them apply. */
export function demandOf(kinds: readonly Kind[]): DeltaDemand[] {
  const demands = new Map<string, { devices: number; formats: Set<string> }>();
  for (const { firmware_sha256: sha256, formats, devices } of kinds) {
    if (sha256 === null) continue;
    const demand = demands.get(sha256) ?? { devices: 0, formats: new Set<string>() };
    demand.devices += devices;
    for (const format of formats) demand.formats.add(format);
    demands.set(sha256, demand);
  }
  return [...demands]
    .map(([sha256, { devices, formats }]) => ({ sha256, devices, formats: [...formats] }))
    .sort((a, b) => b.devices - a.devices);
}

/** A device on its way to a target. */
interface Bound {
  firmware_sha256: string | null;
  target_sha256: string;
  formats: readonly string[];
}

/** Asks for the deltas that these devices could use, in the background: what there is serves until then. */
export async function askForDevices(
  { firmware }: Pick<RolloutsDeps, "firmware">,
  tenantId: string,
  bound: readonly Bound[],
): Promise<void> {
  const targets = Map.groupBy(bound, (device) => device.target_sha256);
  for (const [target, devices] of targets) {
    const demand = demandOf(devices.map((device) => ({ ...device, devices: 1 })));
    if (demand.length > 0) await firmware.requestDeltas(tenantId, target, demand);
  }
}
