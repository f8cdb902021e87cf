import { isAppError } from "../kernel/index.ts";
import type { JudgedKind } from "./plan-store.ts";
import type { Hop } from "./planning.ts";
import type { DeltaDemand, RolloutsDeps } from "./types.ts";

const MAX_DELTA_SOURCES = 200;
/** Images, the commonest first, back to which deltas are made beforehand. */
const MAX_WAYS_BACK = 20;

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

/** Deltas of every hop, from what devices run now and from the hop before. */
export async function askForDeltas(
  { firmware }: Pick<RolloutsDeps, "firmware">,
  tenantId: string,
  hops: readonly Hop[],
  kinds: readonly JudgedKind[],
): Promise<void> {
  for (const [index, hop] of hops.entries()) {
    const direct = demandOf(kinds.filter((kind) => kind.hop === index + 1));
    const before = hops[index - 1];
    const passing = kinds.filter((kind) => kind.hop <= index);
    const sources = [
      ...(before
        ? demandOf(passing.map((kind) => ({ ...kind, firmware_sha256: before.sha256 })))
        : []),
      ...direct,
    ].slice(0, MAX_DELTA_SOURCES);
    if (sources.length > 0) await firmware.requestDeltas(tenantId, hop.sha256, sources);
  }
}

/**
 * Deltas back to what devices run now, after all others: a rollback tells everybody at once, and what is
 * not there by then is sent as a whole image to those whose other slot does not hold it any more.
 */
export async function askForWayBack(
  { firmware }: Pick<RolloutsDeps, "firmware">,
  tenantId: string,
  hops: readonly Hop[],
  kinds: readonly JudgedKind[],
): Promise<void> {
  const bad = hops.at(-1)?.sha256;
  if (bad === undefined) return;
  for (const { sha256, formats } of demandOf(kinds).slice(0, MAX_WAYS_BACK)) {
    try {
      await firmware.requestDeltas(tenantId, sha256, [{ sha256: bad, devices: 0, formats }]);
    } catch (error) {
      // What a device runs need not have come from this platform.
      if (!isAppError(error, "not-found")) throw error;
    }
  }
}
