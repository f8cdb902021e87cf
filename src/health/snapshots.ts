import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";
import type { Watermark } from "../telemetry/index.ts";
import type { SlotsSnapshot } from "./fleet-slots.ts";
import type { OpenAlerts } from "./open-alerts.ts";
import type { RestartsSnapshot } from "./restarts.ts";
import { STATE_LENGTH } from "./series-detector.ts";
import type { SlabSnapshot } from "./series-slab.ts";

/** Of the layout; what another one wrote is not read. */
const VERSION = 3;
const LENGTH_BYTES = 4;
const MAX_BYTES = 512 * 1024 * 1024;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** What a tenant's watch knows. */
export interface WatchSnapshot {
  slotMs: number;
  liveFrom: number;
  slab: SlabSnapshot;
  slots: SlotsSnapshot;
  open: ReturnType<OpenAlerts["snapshot"]>;
  restarts: RestartsSnapshot;
  /** Key and device of each restart alert that is open. */
  restartAlerts: [string, string][];
  /** Newest value of each total that is followed. */
  counters: [string, number, number][];
}

/** A watch and the place in the stream of points up to which it knows everything. */
export interface Snapshot {
  watermark: Watermark;
  watch: WatchSnapshot;
}

/** One compressed block: a head in JSON, then the floats of the series. */
export async function encodeSnapshot({ watermark, watch }: Snapshot): Promise<Buffer> {
  const { states, ...slab } = watch.slab;
  const head = {
    version: VERSION,
    stateLength: STATE_LENGTH,
    watermark,
    watch: { ...watch, slab },
  };
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  const floats = Buffer.from(states.buffer, states.byteOffset, states.byteLength);
  return compress(Buffer.concat([length, json, floats]));
}

/** Which alerts are open; the same in all versions up to this one. */
export type AlertsSnapshot = Pick<WatchSnapshot, "open" | "restartAlerts">;

/**
 * Undefined for what this version did not write: the detectors then learn anew, and end nothing but
 * the alerts that `decodeAlerts` finds in it.
 */
export async function decodeSnapshot(bytes: Buffer): Promise<Snapshot | undefined> {
  const { plain, jsonEnd, head } = await headOf(bytes);
  if (head.version !== VERSION || head.stateLength !== STATE_LENGTH) return undefined;
  // A copy, for the floats begin wherever the head ends and must be aligned.
  const floats = Uint8Array.prototype.slice.call(plain, jsonEnd);
  const states = new Float32Array(floats.buffer, 0, floats.byteLength / 4);
  if (states.length !== head.watch.slab.names.length * STATE_LENGTH) return undefined;
  return {
    watermark: head.watermark,
    watch: { ...head.watch, slab: { ...head.watch.slab, states } },
  };
}

/** What an earlier version has left open: forgotten, it would stay open for good. */
export async function decodeAlerts(bytes: Buffer): Promise<AlertsSnapshot | undefined> {
  const { head } = await headOf(bytes);
  if (!(head.version < VERSION)) return undefined;
  const { open, restartAlerts } = head.watch;
  return { open, restartAlerts };
}

async function headOf(bytes: Buffer) {
  const plain = await decompress(bytes, { maxOutputLength: MAX_BYTES });
  const jsonEnd = LENGTH_BYTES + plain.readUInt32LE(0);
  return { plain, jsonEnd, head: JSON.parse(plain.toString("utf8", LENGTH_BYTES, jsonEnd)) };
}
