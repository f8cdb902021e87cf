import os from "node:os";
import { connectUplink, LocalBus, type Uplink } from "../bus/index.ts";
import type { Config } from "../kernel/config.ts";
import type { Logger } from "../kernel/logger.ts";
import { createSealer, loadMasterKey } from "../kernel/sealing.ts";

/** Connects the bus of this machine with those of the others. */
export type ConnectUplink = (
  heard: Pick<Parameters<typeof connectUplink>[0], "onMessage" | "onState">,
) => Uplink;

/** Undefined on a single machine. Machines with another master key are another installation. */
export function uplinkOf(config: Config, logger: Logger): ConnectUplink | undefined {
  const { natsUrl: url } = config;
  if (!url) return undefined;
  const sealer = createSealer(loadMasterKey(config.dataDirectory, config.masterKey));
  const channel = `vautn.${sealer.deriveKey("bus channel").toString("hex", 0, 8)}`;
  const key = sealer.deriveKey("bus");
  return (heard) => connectUplink({ url, key, channel, logger, now: Date.now, ...heard });
}

/** A bus that hears other machines as it hears this one. */
export function connectedBus(connect: ConnectUplink | undefined): LocalBus {
  if (!connect) return new LocalBus();
  const bus: LocalBus = new LocalBus(
    (subject, message) => uplink.publish(subject, message),
    () => uplink.close(),
  );
  bus.isUplinkUp = false;
  const uplink = connect({
    onMessage: (subject, message) => bus.deliver(subject, message),
    onState: (isConnected, flood) => bus.setUplink(isConnected, flood),
  });
  return bus;
}

/** A process's name in what machines share: two of them have a `gateway-1`. */
export function nameAmongMachines(config: Config, processName: string): string {
  const node = config.nodeName ?? (config.natsUrl ? os.hostname().slice(0, 63) : undefined);
  return node ? `${node}/${processName}` : processName;
}
