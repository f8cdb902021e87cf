import type { Platform } from "../platform/index.ts";
import { aborted } from "../platform/index.ts";
import { FleetFolder, startFleetProcess } from "../simulator/index.ts";
import { TENANTS, UP_PACE, VERSIONS } from "./cast.ts";
import { describeFleet } from "./fleet.ts";
import { keyDirectory, makeTenants, publish } from "./foundation.ts";
import { loadDemoImages } from "./images.ts";
import { KEY_FILES } from "./offline-keys.ts";
import { signIn } from "./sign-in.ts";

/** Runs the simulated fleet of the data folder until `stopped`, made first where `devices` asks. */
export async function runFleet(
  options: { directory: string; devices: number | undefined },
  platform: Platform,
  stopped: AbortSignal,
): Promise<void> {
  const print = (message: string) => process.stderr.write(`vautn: ${message}\n`);
  const folder = new FleetFolder(options.directory);
  if (options.devices !== undefined) {
    await prepareFleet(folder, platform, options.devices, print);
    print(`signing keys of its tenants: ${keyDirectory(folder, "…")}/${KEY_FILES.join(", ")}`);
  } else if (!folder.read()) return;
  const fleet = await startFleetProcess({
    directory: options.directory,
    mqttUrl: platform.mqttUrl,
    httpsUrl: platform.httpsUrl,
    signal: stopped,
    onNotice: print,
  });
  print(`a simulated fleet of ${fleet.devices} devices runs beside the platform`);
  const [refused] = fleet.refused;
  if (refused) {
    const { length } = fleet.refused;
    print(`${length} devices stay switched off; ${refused.device}: ${refused.reason}`);
  }
  await aborted(stopped);
  await fleet.stop();
}

async function prepareFleet(
  folder: FleetFolder,
  platform: Platform,
  devices: number,
  print: (message: string) => void,
): Promise<void> {
  const images = await loadDemoImages();
  const { api, signOut } = await signIn(platform);
  try {
    const keys = await makeTenants(api, folder, UP_PACE, { say: print });
    const stage = { api, keys, images };
    await describeFleet(stage, folder, devices, UP_PACE);
    // Something to roll out lies ready.
    for (const { id } of TENANTS) await publish(stage, id, VERSIONS.good, images.good);
  } finally {
    await signOut();
  }
}
