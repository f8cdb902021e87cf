import type { DeviceIdentity } from "../protocol/index.ts";
import type { PointColumns } from "../timeseries/index.ts";
import type { Declaration } from "./declaration.ts";
import type { PointSink } from "./telemetry-validation.ts";

/**
 * Puts the values of one device where they belong: numbers that a product declares with their decimals
 * into a row for all of one moment, every other number, and those of a shifted time, into one of its own.
 */
export function sinkFor(
  columns: PointColumns,
  { tenantId, deviceId }: DeviceIdentity,
  declaration: Declaration | undefined,
): PointSink {
  let isOpen = false;
  let shift = 0;
  return {
    beginSample(shiftMs) {
      isOpen = false;
      shift = shiftMs;
    },
    text: (metric, ts, seq, text) =>
      columns.addText({ tenantId, deviceId, metric, ts, seq, text, shiftMs: shift }),
    number(metric, ts, seq, value) {
      const place = shift === 0 ? declaration?.place(metric, ts, value) : undefined;
      if (!place || !declaration) {
        columns.add(tenantId, deviceId, metric, ts, seq, value, shift);
        return;
      }
      if (!isOpen) {
        const layout = declaration.layoutAt(ts);
        columns.wide.begin(tenantId, deviceId, declaration.product, layout, ts, seq);
        isOpen = true;
      }
      columns.wide.set(place.slot, place.scaled);
    },
  };
}
