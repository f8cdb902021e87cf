// Devices of bench/mqtt.ts in a process of their own: one process has fewer files than a big run has
// connections.
import tls from "node:tls";
import { deviceTopic } from "../src/protocol/index.ts";
import { connectMany, type Device } from "./mqtt-client.ts";
import { pinMyself } from "./process-figures.ts";

export interface FleetOrder {
  port: number;
  key: string;
  cert: string;
  groups: string;
  core: number;
}

export interface ConnectOrder {
  first: number;
  count: number;
  concurrency: number;
  tries: number;
  patienceMs: number;
}

process.once("message", (order: FleetOrder) => {
  pinMyself(order.core);
  const { key, cert, groups, port } = order;
  const target = {
    port,
    context: tls.createSecureContext({ key, cert, ecdhCurve: groups }),
    topic: (number: number) =>
      deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "telemetry"),
  };
  // They stay until the process ends.
  const devices: Device[] = [];
  process.on("message", async (load: ConnectOrder) => {
    devices.push(...(await connectMany(target, load)));
    process.send?.({ connected: devices.length });
  });
});
process.on("disconnect", () => process.exit());
