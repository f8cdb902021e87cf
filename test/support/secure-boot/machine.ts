import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";

export interface MachineOptions {
  disk: string;
  /** The machine's flash with its variables: kept from one start to the next, as on a board. */
  variables: string;
  memoryMb?: number;
  /** A network card with the host at 10.0.2.2, and nothing else. */
  network?: boolean;
}

const FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const MAX_LINES = 5_000;

interface Waiter {
  pattern: RegExp;
  resolve(line: string): void;
  reject(error: Error): void;
}

/** A board in QEMU, without KVM: firmware in read-only flash, variables, one disk, a serial line. */
export class Machine {
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #startedAt = performance.now();
  readonly #waiters = new Set<Waiter>();
  #seen = 0;
  #rest = "";
  #hasEnded = false;

  constructor(options: MachineOptions) {
    this.#process = spawn("qemu-system-x86_64", argumentsOf(options), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process.stdout?.on("data", (data: Buffer) => this.#take(data));
    this.#process.stderr?.on("data", (data: Buffer) => this.#take(data));
    this.#ended = new Promise((resolve) => {
      this.#process.once("close", () => {
        this.#hasEnded = true;
        for (const waiter of this.#waiters) waiter.reject(new Error("the machine went off"));
        this.#waiters.clear();
        resolve();
      });
    });
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /** The next line that matches, from where the last call stopped. */
  async until(pattern: RegExp, timeoutMs = 120_000): Promise<string> {
    while (this.#seen < this.lines.length) {
      const line = this.lines[this.#seen] as string;
      this.#seen += 1;
      if (pattern.test(line)) return line;
    }
    if (this.#hasEnded) throw new Error(`the machine went off before ${pattern}:\n${this.tail()}`);
    return new Promise((resolve, reject) => {
      const waiter = {
        pattern,
        resolve: (line: string) => {
          clearTimeout(timer);
          resolve(line);
        },
        reject: (error: Error) => {
          clearTimeout(timer);
          reject(new Error(`${error.message} before ${pattern}:\n${this.tail()}`));
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`${pattern} did not appear in ${timeoutMs} ms:\n${this.tail()}`));
      }, timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  /** Resolves when the machine has switched itself off. */
  off(timeoutMs = 30_000): Promise<void> {
    const limit = AbortSignal.timeout(timeoutMs);
    return new Promise((resolve, reject) => {
      this.#ended.then(resolve);
      limit.addEventListener("abort", () => reject(new Error(`still on:\n${this.tail()}`)));
    });
  }

  /** Pulls the plug. */
  async cutPower(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  tail(): string {
    return this.lines.slice(-30).join("\n");
  }

  #take(data: Buffer): void {
    const parts = (this.#rest + data.toString("latin1")).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      const line = plain(part);
      if (line === "" || this.lines.length >= MAX_LINES) continue;
      this.lines.push(line);
      if (process.env.VAUTN_SHOW_SERIAL) console.error(this.seconds.toFixed(1), line);
      for (const waiter of [...this.#waiters]) {
        if (!waiter.pattern.test(line)) continue;
        this.#waiters.delete(waiter);
        this.#seen = this.lines.length;
        waiter.resolve(line);
      }
    }
  }
}

const ESCAPE = String.fromCharCode(27);
const TERMINAL = new RegExp(`${ESCAPE}\\[[0-9;?=]*[A-Za-z]`, "g");

/** Without what steers a terminal. */
function plain(text: string): string {
  return [...text.replace(TERMINAL, "")]
    .filter((character) => character >= " ")
    .join("")
    .trim();
}

function argumentsOf({ disk, variables, memoryMb = 512, network }: MachineOptions): string[] {
  return [
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35,smm=on"],
    // Without it the variables could be written from the outside of System Management Mode.
    ...["-global", "driver=cfi.pflash01,property=secure,value=on"],
    ...["-m", String(memoryMb), "-smp", "1", "-nodefaults"],
    ...["-display", "none", "-serial", "stdio", "-monitor", "none"],
    ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${FIRMWARE}`],
    ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
    ...["-drive", `if=none,id=d0,format=raw,file=${disk},discard=unmap`],
    ...["-device", "virtio-blk-pci,drive=d0"],
    ...(network
      ? ["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="]
      : ["-net", "none"]),
  ];
}

/** What the machine room lacks, by Debian package; empty when everything is there. */
export function missingPackages(): string[] {
  const needed: [string, string][] = [
    ["/usr/bin/qemu-system-x86_64", "qemu-system-x86"],
    [FIRMWARE, "ovmf"],
    ["/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot-efi"],
    ["/usr/bin/mksquashfs", "squashfs-tools"],
    ["/usr/sbin/mkfs.ext4", "e2fsprogs"],
    ["/sbin/dmsetup", "dmsetup"],
    ["/usr/bin/mcopy", "mtools"],
    ["/usr/bin/sbverify", "sbsigntool"],
  ];
  const missing = needed.filter(([file]) => !fs.existsSync(file)).map(([, name]) => name);
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].some((file) => fs.existsSync(file));
  return busybox ? missing : [...missing, "busybox-static"];
}
