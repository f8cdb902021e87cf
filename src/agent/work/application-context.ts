import type { JsonObject, RunningFirmware, TelemetrySample } from "../../protocol/index.ts";
import type { ApplicationContext } from "../ports.ts";
import type { DeviceLog } from "./device-log.ts";

export interface ApplicationContextDeps {
  firmware: RunningFirmware;
  bootId: string;
  now(): number;
  nextSequence(): number;
  log: DeviceLog;
  sample(sample: TelemetrySample): void;
  event(type: string, attributes: Record<string, unknown>): void;
  report(patch: JsonObject): void;
  sleep(seconds: number): Promise<void>;
}

/** What an application is given to speak through: it never waits for the disk or the network. */
export function applicationContext(deps: ApplicationContextDeps): ApplicationContext {
  const { firmware, bootId, now, nextSequence, log, sample, event } = deps;
  return {
    firmware,
    bootId,
    telemetry: (values) => sample({ ts: now(), seq: nextSequence(), values }),
    log: (level, message, attributes, origin) =>
      log.write(level, message, { logger: "application", attributes, origin }),
    event: (type, attributes = {}) => event(type, attributes),
    report: deps.report,
    sleep: deps.sleep,
    crashed: (reason, message) => event("crash", { reason, message }),
  };
}
