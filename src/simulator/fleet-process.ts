// Entry of the process of a fleet that outlives it: real agents on simulated machines, each with
// the flash and the identity that its folder holds. Runs until `stop` or until its parent is gone.
import {
  enrolByClaim,
  type Provisioning,
  readProvisioning,
  writeProvisioning,
} from "../agent/index.ts";
import { messageOf } from "../kernel/index.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { type FleetDescription, FleetFolder, type FleetMember } from "./fleet-folder.ts";
import type { FromFleet, RefusedDevice, ToFleet } from "./fleet-messages.ts";

type Start = Extract<ToFleet, { kind: "start" }>;

const STOP_TIMEOUT_MS = 3_000;

let running: Fleet | undefined;

process.on("message", (message: ToFleet) => {
  if (message.kind === "stop") void stop();
  else void start(message);
});
// The parent is gone: the power of the whole fleet goes with it.
process.on("disconnect", () => process.exit(1));
// Ctrl-C reaches the whole process group; the parent decides the order of stopping.
process.on("SIGINT", () => {});

async function start(options: Start): Promise<void> {
  try {
    const folder = new FleetFolder(options.directory);
    const description = folder.read();
    if (!description) throw new Error(`${options.directory} describes no fleet`);
    const refused: RefusedDevice[] = [];
    const fleet = createPersistentFleet(folder, description, options, refused);
    running = fleet;
    await fleet.provision();
    send({ kind: "started", devices: description.members.length - refused.length, refused });
    await fleet.start();
  } catch (error) {
    send({ kind: "failed", message: messageOf(error) });
  }
}

function createPersistentFleet(
  folder: FleetFolder,
  description: FleetDescription,
  { mqttUrl, httpsUrl }: Start,
  refused: RefusedDevice[],
): Fleet {
  const { members, tenants, rootPem } = description;
  const memberOf = (index: number) => members[index] as FleetMember;
  const tenantOf = (tenant: string) => {
    const found = tenants[tenant];
    if (!found) throw new Error(`the tenant ${tenant} is not described`);
    return found;
  };
  let enrolled = members.filter((member) => folder.isEnrolled(member)).length;

  async function provisioning(index: number): Promise<Provisioning> {
    const member = memberOf(index);
    const directory = folder.identity(member);
    if (folder.isEnrolled(member)) {
      // Where the platform is now, whatever port it had when the device enrolled.
      return { ...(await readProvisioning(directory)), mqttUrl, httpsUrl };
    }
    const { claimToken } = tenantOf(member.tenant);
    const key = folder.key(member);
    const made = await enrolByClaim({ ...member, httpsUrl, root: rootPem, claimToken, key });
    await writeProvisioning(directory, made);
    enrolled += 1;
    send({ kind: "enrolled", count: enrolled, total: members.length });
    return made;
  }

  return createFleet({
    ...description,
    count: members.length,
    provisioning,
    factory: ({ tenant }) => {
      const release = tenantOf(tenant).factoryRelease;
      return { image: folder.image(release.signed.image.sha256), release };
    },
    folder,
    settings: {
      heartbeatIntervalMs: description.heartbeatIntervalMs,
      formats: ["full", ...description.formats],
    },
    onRefused: (index, error) =>
      refused.push({ device: memberOf(index).device, reason: messageOf(error) }),
  });
}

async function stop(): Promise<void> {
  const deadline = setTimeout(() => process.exit(0), STOP_TIMEOUT_MS);
  deadline.unref();
  await running?.stop();
  process.exit(0);
}

function send(message: FromFleet): void {
  if (process.connected) process.send?.(message);
}
