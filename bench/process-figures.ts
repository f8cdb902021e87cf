// CPU time and memory of processes, from /proc.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const CLOCK_TICKS = Number(spawnSync("getconf", ["CLK_TCK"]).stdout?.toString() || 100);

/** User and system time of a process and of what it has started, ended or not, in milliseconds. */
export function cpuMsOf(pid: number): number {
  return treeOf(pid).reduce((sum, one) => sum + ownCpuMs(one), 0);
}

/** The same without what it has started. */
export function ownCpuMs(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Own, and that of children that have ended and were waited for.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return (ticks * 1_000) / CLOCK_TICKS;
}

/** A process and what it has started. */
export function treeOf(pid: number): number[] {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return [pid, ...children.split(" ").filter(Boolean).map(Number).flatMap(treeOf)];
}

/** CPU of a process and of each below it, by what it is started as and its turn, in milliseconds. */
export function cpuByProcess(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const one of treeOf(pid)) {
    // A database's connection may have ended meanwhile: its time is its parent's by now.
    if (!fs.existsSync(`/proc/${one}/cmdline`)) continue;
    const words = fs.readFileSync(`/proc/${one}/cmdline`, "utf8").split(/[\0 ]/);
    const script = words.find((word) => /\.[mt]js?$|\.ts$/.test(word));
    const name = path.basename(script ?? words[0] ?? "").replace(/:$/, "");
    if (/^postgres/.test(name)) found.set("postgres", (found.get("postgres") ?? 0) + ownCpuMs(one));
    else found.set(found.has(name) ? `${name}-${found.size}` : name, ownCpuMs(one));
  }
  return found;
}

/** Resident memory of one process in KB; `peak` is the most that it has ever had. */
export function memoryKbOf(pid: number, which: "now" | "peak" = "now"): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  const pattern = which === "now" ? /VmRSS:\s+(\d+)/ : /VmHWM:\s+(\d+)/;
  return Number(pattern.exec(status)?.[1]);
}

/** How many files one process may have open. */
export function openFilesLimit(): number {
  const limits = fs.readFileSync("/proc/self/limits", "utf8");
  return Number(/Max open files\s+(\d+)/.exec(limits)?.[1]);
}

/** What makes a program run on one core; nothing where that cannot be done. */
export function pinned(core: number): string[] {
  const probe = spawnSync("taskset", ["-c", String(core), "true"]);
  return probe.status === 0 ? ["taskset", "-c", String(core)] : [];
}

/** What makes a program run on all cores, though it is started by one that is kept to one. */
export function unpinned(): string[] {
  const all = `0-${os.cpus().length - 1}`;
  const probe = spawnSync("taskset", ["-c", all, "true"]);
  return probe.status === 0 ? ["taskset", "-c", all] : [];
}

/** Keeps this process, with all its threads, to one core. */
export function pinMyself(core: number): boolean {
  return spawnSync("taskset", ["-a", "-cp", String(core), String(process.pid)]).status === 0;
}
