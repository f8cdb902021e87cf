import { type ChildProcess, fork } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import path from "node:path";
import { createCertificateRequest, toPem } from "../protocol/index.ts";
import { devicesPerTenant, HARDWARE_REVISIONS, PRODUCT, TENANTS } from "./cast.ts";
import type { FactoryDevice, FromFleet, ToFleet } from "./fleet-messages.ts";
import type { Stage } from "./stage.ts";

const ENTRY = path.resolve(import.meta.dirname, "fleet-process.ts");
const ENROLMENTS_AT_ONCE = 8;

export interface EnrolledFleet {
  devices: FactoryDevice[];
  rootPem: string;
}

/** Enrols every device: its key is made where it stays, the platform sees the request alone. */
export async function enrollFleet(stage: Stage, total: number): Promise<EnrolledFleet> {
  const wanted: Omit<FactoryDevice, "keyPem" | "chainPem">[] = [];
  for (const tenant of TENANTS) {
    const count = devicesPerTenant(total).get(tenant.id) ?? 0;
    for (let index = 0; index < count; index += 1) {
      wanted.push({
        tenant: tenant.id,
        device: `${tenant.id}-hub-${String(index + 1).padStart(3, "0")}`,
        product: PRODUCT,
        hardwareRevision: HARDWARE_REVISIONS[index % HARDWARE_REVISIONS.length] as string,
      });
    }
  }
  const devices: FactoryDevice[] = [];
  let rootPem = "";
  const queue = [...wanted.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [index, device] = next;
      const regions = TENANTS.find((tenant) => tenant.id === device.tenant)?.regions ?? [];
      const region = regions[index % regions.length] ?? "";
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const csr = createCertificateRequest({
        privateKey,
        commonName: `${device.tenant}/${device.device}`,
        organization: device.tenant,
      });
      const { certificate } = await stage.api.call("enrollDevice", {
        params: { tenant: device.tenant },
        body: {
          id: device.device,
          product: device.product,
          hardwareRevision: device.hardwareRevision,
          region,
          tags: { site: `${region}-${1 + (index % 3)}` },
          csr: toPem("CERTIFICATE REQUEST", csr),
        },
      });
      if (!certificate) throw new Error(`${device.device} was given no certificate`);
      rootPem = certificate.rootPem;
      devices.push({
        ...device,
        keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
        chainPem: certificate.chainPem,
      });
      stage.narrator.progress(devices.length, wanted.length, "devices enrolled");
    }
  };
  await Promise.all(Array.from({ length: ENROLMENTS_AT_ONCE }, worker));
  return { devices, rootPem };
}

export interface FleetProcess {
  stop(): Promise<void>;
}

/** Starts the fleet in a process of its own; resolves when its machines are being switched on. */
export async function startFleet(
  options: Omit<Extract<ToFleet, { kind: "start" }>, "kind">,
): Promise<FleetProcess> {
  const child = fork(ENTRY, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  child.send({ kind: "start", ...options } satisfies ToFleet);
  const [answer] = (await once(child, "message")) as [FromFleet];
  if (answer.kind === "failed") throw new Error(`the fleet did not start: ${answer.message}`);
  return { stop: () => stopFleet(child) };
}

async function stopFleet(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.send({ kind: "stop" } satisfies ToFleet);
  await exited;
}
