// The demo's fleet: real agents on simulated machines, in a process of their own.
import {
  createHttpsArtifacts,
  createMqttTransport,
  recordOfRelease,
  type TlsCredentials,
} from "../agent/index.ts";
import { messageOf, seededRandom, systemClock } from "../kernel/index.ts";
import { PagePool, SimulatedMachine } from "../simulator/index.ts";
import type { FactoryDevice, FromFleet, ToFleet } from "./fleet-messages.ts";

const SLOT_BYTES = 512 * 1024;
const WATCHDOG_MS = 5_000;
/** The machines are switched on one after the other within this time. */
const SPREAD_MS = 4_000;

type Start = Extract<ToFleet, { kind: "start" }>;

const machines: SimulatedMachine[] = [];

process.on("message", (message: ToFleet) => {
  if (message.kind === "stop") void stop();
  else void start(message);
});
// The demo is gone: nobody looks at this fleet any more.
process.on("disconnect", () => process.exit(1));
process.on("SIGINT", () => {});

async function start(options: Start): Promise<void> {
  try {
    const pool = new PagePool();
    const image = Buffer.from(options.factoryImage, "base64");
    for (const [index, device] of options.devices.entries()) {
      const machine = createMachine(options, device, index, pool);
      const tenant = options.tenants[device.tenant];
      if (!tenant) throw new Error(`the tenant ${device.tenant} is not in the cast`);
      await machine.provision(image, recordOfRelease(tenant.factoryRelease));
      machines.push(machine);
    }
    for (const [index, machine] of machines.entries()) {
      setTimeout(() => machine.powerOn(), (SPREAD_MS * index) / machines.length);
    }
    send({ kind: "started" });
  } catch (error) {
    send({ kind: "failed", message: messageOf(error) });
  }
}

function createMachine(
  options: Start,
  device: FactoryDevice,
  index: number,
  pool: PagePool,
): SimulatedMachine {
  const tls: TlsCredentials = {
    key: device.keyPem,
    certificate: device.chainPem,
    root: options.rootPem,
  };
  const credentials = async () => tls;
  const tenant = options.tenants[device.tenant];
  if (!tenant) throw new Error(`the tenant ${device.tenant} is not in the cast`);
  return new SimulatedMachine({
    identity: {
      tenant: device.tenant,
      device: device.device,
      product: device.product,
      hardwareRevision: device.hardwareRevision,
    },
    trustRoot: tenant.trustRoot,
    transport: createMqttTransport({
      url: options.mqttUrl,
      tenantId: device.tenant,
      deviceId: device.device,
      credentials,
    }),
    artifacts: createHttpsArtifacts(credentials),
    settings: { heartbeatIntervalMs: options.heartbeatIntervalMs },
    clock: systemClock,
    random: seededRandom(index + 1),
    pool,
    behaviours: options.behaviours,
    timeScale: options.timeScale,
    slotCapacityBytes: SLOT_BYTES,
    watchdogMs: WATCHDOG_MS,
  });
}

async function stop(): Promise<void> {
  const deadline = setTimeout(() => process.exit(0), 3_000);
  deadline.unref();
  await Promise.all(machines.map((machine) => machine.stop()));
  process.exit(0);
}

function send(message: FromFleet): void {
  if (process.connected) process.send?.(message);
}
