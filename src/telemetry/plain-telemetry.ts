import type { DeviceIdentity } from "../protocol/index.ts";
import type { PointColumns } from "../timeseries/index.ts";
import type { Declaration } from "./declaration.ts";
import type { PlainSample } from "./plain-sample.ts";
import { sinkFor } from "./point-sink.ts";
import { type CheckedTelemetry, checkPlain, nameFault } from "./telemetry-validation.ts";

/**
 * Puts the good values of a sample that was read without JSON.parse into columns. Its time and its
 * sequence are believed. Throws `message-invalid` where nothing is left.
 */
export function takePlain(
  sample: PlainSample,
  columns: PointColumns,
  peer: DeviceIdentity,
  declaration: Declaration | undefined,
): CheckedTelemetry {
  if (declaration) return checkPlain(sample, sinkFor(columns, peer, declaration), declaration);
  columns.addSample(peer, sample);
  return { accepted: sample.count, rejected: [], rejectedCount: 0 };
}

/** The names of a message in which all was good: the next one that has them may be read quicker. */
export function learnNames(plain: PlainSample, body: unknown): void {
  const { values } = body as { values?: object };
  // Of a product that declares it a name may be good that is not for others.
  for (const name in values) if (!nameFault(name)) plain.learn(name);
}
