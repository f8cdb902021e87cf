import { readdir, readFile, statfs } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

export interface HostMetricsOptions {
  dataDirectory: string;
  thermalDirectory?: string;
  wirelessFile?: string;
}

/** Figures of a Linux machine for the heartbeat; what it does not tell is left out. */
export class HostMetrics {
  readonly #options: HostMetricsOptions;
  #before = os.cpus();
  #slow: Record<string, number> = {};

  constructor(options: HostMetricsOptions) {
    this.#options = options;
  }

  /** Reads what takes a look at files; `current` has it afterwards. */
  async refresh(): Promise<void> {
    const { dataDirectory, thermalDirectory, wirelessFile } = this.#options;
    const [disk, temperature, signal] = await Promise.all([
      diskShare(dataDirectory),
      hottest(thermalDirectory ?? "/sys/class/thermal"),
      signalLevel(wirelessFile ?? "/proc/net/wireless"),
    ]);
    this.#slow = {
      cpu: this.#cpuShare(),
      ...(disk === undefined ? {} : { disk }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** Shares in percent, temperature in degrees Celsius, signal in dBm. */
  current(): Record<string, number> {
    return {
      ...this.#slow,
      load1: Math.round((os.loadavg()[0] ?? 0) * 100) / 100,
      memory: percent(1 - os.freemem() / os.totalmem()),
      machineUptimeSeconds: Math.round(os.uptime()),
      agentMemoryMb: Math.round(process.memoryUsage.rss() / 1024 ** 2),
    };
  }

  /** Since the last refresh: whoever asks between two of them hears the same. */
  #cpuShare(): number {
    const now = os.cpus();
    const sum = (cpus: os.CpuInfo[], of: (times: os.CpuInfo["times"]) => number) =>
      cpus.reduce((total, { times }) => total + of(times), 0);
    const all = ({ user, nice, sys, idle, irq }: os.CpuInfo["times"]) =>
      user + nice + sys + idle + irq;
    const total = sum(now, all) - sum(this.#before, all);
    const idle = sum(now, (times) => times.idle) - sum(this.#before, (times) => times.idle);
    this.#before = now;
    return total > 0 ? percent(1 - idle / total) : 0;
  }
}

async function diskShare(directory: string): Promise<number | undefined> {
  try {
    const { blocks, bavail } = await statfs(directory);
    return blocks > 0 ? percent(1 - bavail / blocks) : undefined;
  } catch {
    return undefined;
  }
}

/** Documentation/driver-api/thermal/sysfs-api.rst: thousandths of a degree. */
async function hottest(directory: string): Promise<number | undefined> {
  const zones = (await readdir(directory).catch(() => [])).filter((name) =>
    name.startsWith("thermal_zone"),
  );
  const read = async (zone: string) =>
    Number(await readFile(path.join(directory, zone, "temp"), "utf8").catch(() => "NaN"));
  const degrees = (await Promise.all(zones.map(read))).filter(Number.isFinite);
  return degrees.length > 0 ? Math.round(Math.max(...degrees) / 100) / 10 : undefined;
}

/** proc(5), /proc/net/wireless: the third figure of a line is the level. */
async function signalLevel(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const level = Number(/^\s*\w+:\s+\S+\s+\S+\s+(-?\d+)/m.exec(text)?.[1] ?? Number.NaN);
  return Number.isFinite(level) ? level : undefined;
}

function percent(share: number): number {
  return Math.round(1_000 * Math.min(1, Math.max(0, share))) / 10;
}
