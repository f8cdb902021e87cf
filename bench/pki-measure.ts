// How bench/pki.ts measures: work side by side for a while, by the clock and by what each process spent.
import type { KeyObject } from "node:crypto";
import { createCertificateRequest } from "../src/protocol/index.ts";
import { cpuMsOf } from "./process-figures.ts";

const WIDTH = 32;

export function report(
  name: string,
  value: number,
  unit: string,
  against?: readonly [string, number],
): void {
  const ratio = against ? { ratio: round(against[1]), against: against[0] } : {};
  console.log(JSON.stringify({ name, value: round(value), unit, ...ratio }));
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface Measured {
  /** Per second of the clock. */
  perSecond: number;
  /** Per second of one core's time of this process. */
  perCoreSecond: number;
  /** Core time of this process on each. */
  ownMs: number;
  /** Core time of the others on each, in their order. */
  othersMs: number[];
}

/** Runs `work` side by side for a while; `others` are processes that do part of it. */
export async function measure(
  work: (index: number) => Promise<unknown>,
  options: { durationMs: number; width?: number; others?: readonly number[] },
): Promise<Measured> {
  const { durationMs, width = WIDTH, others = [] } = options;
  let done = 0;
  for (; done < width; done += 1) await work(done);
  const warm = done;
  const cpuBefore = process.cpuUsage();
  const othersBefore = others.map(cpuMsOf);
  const started = performance.now();
  const worker = async () => {
    while (performance.now() - started < durationMs) {
      const index = done;
      done += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  const seconds = (performance.now() - started) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const count = done - warm;
  const ownSeconds = (user + system) / 1e6;
  return {
    perSecond: count / seconds,
    perCoreSecond: count / ownSeconds,
    ownMs: (ownSeconds * 1_000) / count,
    othersMs: others.map((pid, index) => (cpuMsOf(pid) - (othersBefore[index] ?? 0)) / count),
  };
}

export function requestOf(privateKey: KeyObject, deviceId: string): Buffer {
  const commonName = `acme/${deviceId}`;
  return createCertificateRequest({ privateKey, commonName, organization: "acme" });
}
