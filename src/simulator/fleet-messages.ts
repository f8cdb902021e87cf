/** What the process of a fleet is told. */
export type ToFleet =
  | { kind: "start"; directory: string; mqttUrl: string; httpsUrl: string }
  | { kind: "stop" };

/** A device that could not enrol, and why: it stays switched off. */
export interface RefusedDevice {
  device: string;
  reason: string;
}

/** What the process of a fleet tells. */
export type FromFleet =
  | { kind: "enrolled"; count: number; total: number }
  | { kind: "started"; devices: number; refused: RefusedDevice[] }
  | { kind: "failed"; message: string };
