import { LIMITS } from "../kernel/index.ts";
import { decodeProto, METRICS_REQUEST } from "./otlp-proto.ts";
import {
  attributesOf,
  collect,
  DEVICE_ATTRIBUTES,
  deviceOf,
  type Json,
  listOf,
  millisecondsOf,
  numberOf,
  objectOf,
  textOf,
} from "./otlp-rows.ts";

/** As a device would send it. */
export interface OtlpSample {
  ts: number;
  seq: number;
  values: Record<string, number>;
}

/** What one device measured: the values of a moment together, and of how many data points they are. */
export interface DeviceSamples {
  samples: OtlpSample[];
  points: number;
}

export interface OtlpSamples {
  devices: Map<string, DeviceSamples>;
  /** Data points that could be read. */
  read: number;
  rejected: number;
  /** Why the first of them was. */
  reason: string;
}

interface Point {
  deviceId: string;
  ts: number;
  values: [string, number][];
}

/** Data points of one request; the rest is rejected. */
const MAX_POINTS = 20_000;
const UNFIT = /[^A-Za-z0-9_.:/-]/g;

/**
 * Data points of an `ExportMetricsServiceRequest`, from JSON as an object or from protobuf as bytes:
 * gauges and sums under their names, of histograms and summaries `.count` and `.sum` (and `.min` and
 * `.max` where they are told). A point's own attributes are part of the name, in their order by key.
 */
export function otlpSamples(body: unknown): OtlpSamples {
  const request = Buffer.isBuffer(body) ? decodeProto(body, METRICS_REQUEST) : body;
  const found: Point[] = [];
  const refused = { rejected: 0, reason: "" };
  const levels = ["resourceMetrics", "scopeMetrics", "metrics"] as const;
  const walked = collect(request, levels, (metric, { resource }) => {
    for (const point of dataPoints(metric)) {
      const read = found.length < MAX_POINTS ? readPoint(metric, point, resource) : TOO_MANY;
      if (typeof read !== "string") found.push(read);
      else {
        refused.rejected += 1;
        refused.reason ||= read;
      }
    }
    return metric;
  });
  return {
    devices: byDevice(found),
    read: found.length,
    rejected: refused.rejected + walked.rejected,
    reason: refused.reason || walked.reason,
  };
}

const TOO_MANY = `a request holds at most ${MAX_POINTS} data points`;
const KINDS = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];

function dataPoints(metric: Json): Json[] {
  return KINDS.flatMap((kind) => listOf(objectOf(metric[kind]).dataPoints));
}

function readPoint(metric: Json, point: Json, resource: Json): Point | string {
  const own = attributesOf(point.attributes);
  const deviceId = deviceOf({ ...resource, ...own });
  if (!deviceId) return "a data point belongs to a device: the attribute vautn.device names it";
  const ts = millisecondsOf(point.timeUnixNano);
  if (ts === undefined) return "a data point needs timeUnixNano";
  const name = nameOf(textOf(metric.name), own);
  const values = valuesOf(point)
    .filter(([, value]) => Number.isFinite(value))
    .map(([suffix, value]): [string, number] => [name + suffix, value]);
  return values.length === 0 ? "a data point needs a finite number" : { deviceId, ts, values };
}

function nameOf(metric: string, attributes: Json): string {
  const parts = Object.keys(attributes)
    .filter((key) => !DEVICE_ATTRIBUTES.includes(key))
    .sort()
    .map((key) => `.${key}_${wordOf(attributes[key])}`);
  return (metric + parts.join("")).replace(UNFIT, "_");
}

/** As `String` has it, which fails on objects that have a member `toString`. */
function wordOf(value: unknown): string {
  if (Array.isArray(value)) return value.map((one) => (one === null ? "" : wordOf(one))).join();
  return typeof value === "object" && value !== null ? "[object Object]" : String(value);
}

function valuesOf(point: Json): [string, number][] {
  // OTLP's JSON mapping writes 64-bit integers as text.
  const single = point.asDouble ?? point.asInt;
  if (single !== undefined) return [["", numberOf(single)]];
  return ["count", "sum", "min", "max"].flatMap((key): [string, number][] =>
    point[key] === undefined ? [] : [[`.${key}`, numberOf(point[key])]],
  );
}

function byDevice(points: readonly Point[]): Map<string, DeviceSamples> {
  const devices = new Map<string, DeviceSamples>();
  const open = new Map<string, { sample: OtlpSample; room: number }>();
  for (const { deviceId, ts, values } of points) {
    const device = devices.get(deviceId) ?? { samples: [], points: 0 };
    devices.set(deviceId, device);
    device.points += 1;
    const key = `${deviceId} ${ts}`;
    for (const [metric, value] of values) {
      let place = open.get(key);
      if (!place || place.room === 0) {
        // The same for the same points, so that a request that is sent again counts once.
        place = { sample: { ts, seq: 0, values: {} }, room: LIMITS.telemetryMetricsPerSample };
        open.set(key, place);
        device.samples.push(place.sample);
      }
      place.sample.values[metric] = value;
      place.room -= 1;
    }
  }
  return devices;
}
