import type { Envelope, ReleaseManifest, RootMetadata } from "../protocol/index.ts";
import type { Behaviours } from "../simulator/index.ts";

/** One simulated device as it leaves the factory. */
export interface FactoryDevice {
  tenant: string;
  device: string;
  product: string;
  hardwareRevision: string;
  keyPem: string;
  /** The leaf and the tenant's authority. */
  chainPem: string;
}

export type ToFleet =
  | {
      kind: "start";
      mqttUrl: string;
      rootPem: string;
      factoryImage: string;
      behaviours: Behaviours;
      timeScale: number;
      heartbeatIntervalMs: number;
      tenants: Record<
        string,
        { trustRoot: Envelope<RootMetadata>; factoryRelease: Envelope<ReleaseManifest> }
      >;
      devices: FactoryDevice[];
    }
  | { kind: "stop" };

export type FromFleet = { kind: "started" } | { kind: "failed"; message: string };
