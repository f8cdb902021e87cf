import type { Application, ApplicationContext, SelfTestResult } from "../agent/index.ts";
import { type Clock, type Random, sleep, type Timer } from "../kernel/index.ts";
import type { FirmwareBehaviour, FirmwareFault } from "./behaviour.ts";

const HOUR_MS = 3_600_000;
const RESTART_MS = 1_000;

export interface SimulatedApplicationOptions {
  clock: Clock;
  random: Random;
  behaviour: FirmwareBehaviour;
  /** Those of the image that strike this device, and those that were injected. */
  faults(): readonly FirmwareFault[];
  /** Hours of the device's life that pass in one hour of the clock. */
  timeScale: number;
  onCrash(): void;
}

/** Stands for the work of a firmware: measures, logs, and crashes as its behaviour says. */
export class SimulatedApplication implements Application {
  readonly #options: SimulatedApplicationOptions;
  readonly #timers = new Set<Timer>();
  readonly #phase: number;
  #context: ApplicationContext | undefined;
  #startedAt = 0;
  #crashes = 0;
  #stopped = false;

  constructor(options: SimulatedApplicationOptions) {
    this.#options = options;
    this.#phase = options.random.next();
  }

  async start(context: ApplicationContext): Promise<void> {
    const { behaviour, clock, random } = this.#options;
    this.#context = context;
    this.#startedAt = clock.now();
    this.#every(behaviour.telemetryIntervalMs, random.next(), () =>
      context.telemetry(this.#measurements()),
    );
    this.#poisson(behaviour.crashesPerDeviceHour, () => this.#crash("segmentation fault"));
    this.#poisson(behaviour.errorLogsPerDeviceHour, () =>
      context.log("error", "sensor bus: no answer within 50 ms", { bus: "i2c-1" }),
    );
    this.#poisson(behaviour.infoLogsPerDeviceHour, () =>
      context.log("info", "measurement cycle finished", { sensors: 4 }),
    );
    this.#planCrashLoop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  async selfTest(signal: AbortSignal): Promise<SelfTestResult> {
    const { clock, behaviour } = this.#options;
    const crashesBefore = this.#crashes;
    await sleep(clock, behaviour.selfTestMs, signal);
    // On a busy machine timers of one length fire together, be another overdue for longer: what has
    // crashed by now shall have crashed.
    await sleep(clock, 1, signal);
    if (this.#fault("failing-self-test")) {
      return { passed: false, element: "sensor-bus", message: "no sensor answers" };
    }
    if (this.#crashes > crashesBefore) {
      return { passed: false, element: "application", message: "crashed during the self-test" };
    }
    return { passed: true };
  }

  metrics(): Record<string, number> {
    const measured = this.#measurements();
    return {
      memory: measured.memory as number,
      battery: measured.battery as number,
      rssi: measured.rssi as number,
    };
  }

  #measurements(): Record<string, number> {
    const { clock, random, timeScale } = this.#options;
    const noise = () => random.next() + random.next() - 1;
    const hours = ((clock.now() - this.#startedAt) * timeScale) / HOUR_MS;
    const hourOfDay = ((clock.now() * timeScale) / HOUR_MS) % 24;
    const values: Record<string, number> = {
      temperature:
        21 + 4 * Math.sin(((hourOfDay - 9) / 12) * Math.PI) + this.#phase + noise() * 0.3,
      memory: 38 + 4 * this.#phase + noise(),
      battery: Math.max(5, 100 - ((hours * 0.4 + this.#phase * 20) % 80)),
      rssi: -60 - 15 * this.#phase + noise() * 4,
    };
    for (const fault of this.#options.faults()) {
      if (fault.kind !== "metric-drift") continue;
      values[fault.metric] = (values[fault.metric] ?? 0) + fault.perHour * hours;
    }
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, Math.round(value * 100) / 100]),
    );
  }

  #fault(kind: FirmwareFault["kind"]): FirmwareFault | undefined {
    return this.#options.faults().find((fault) => fault.kind === kind);
  }

  #planCrashLoop(): void {
    const fault = this.#fault("crash-loop");
    if (fault?.kind !== "crash-loop") return;
    this.#after(fault.everyMs * (0.5 + this.#options.random.next()), () => {
      this.#crash("out of memory");
      this.#planCrashLoop();
    });
  }

  #crash(reason: string): void {
    this.#crashes += 1;
    this.#options.onCrash();
    this.#context?.crashed(reason, `main task ended: ${reason}`);
    this.#after(RESTART_MS, () => this.#context?.log("warn", "the application was restarted"));
  }

  #every(intervalMs: number, firstShare: number, work: () => void): void {
    const again = () => {
      work();
      this.#after(intervalMs, again);
    };
    this.#after(intervalMs * firstShare, again);
  }

  /** Calls `work` at random times, `perHour` times an hour of the device's life on average. */
  #poisson(perHour: number, work: () => void): void {
    if (perHour <= 0) return;
    const meanMs = HOUR_MS / (perHour * this.#options.timeScale);
    const plan = () => {
      const delayMs = -Math.log(1 - this.#options.random.next()) * meanMs;
      this.#after(Math.min(delayMs, 2 ** 31 - 1), () => {
        work();
        plan();
      });
    };
    plan();
  }

  #after(delayMs: number, work: () => void): void {
    if (this.#stopped) return;
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#stopped) work();
    });
    this.#timers.add(timer);
  }
}
