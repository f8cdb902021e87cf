import Table from "cli-table3";
import { oneLine } from "./printable.ts";

type Cell = string | number | null | undefined;

const BARE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** A table without lines, as other command lines print theirs. */
export function table(head: string[], rows: Cell[][]): string {
  const drawn = new Table({
    head,
    chars: BARE,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  drawn.push(...rows.map((row) => row.map((cell) => oneLine(String(cell ?? "-")))));
  return `${drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")}\n`;
}

/** Pairs of a name and a value, one a line. */
export function facts(pairs: [string, Cell][]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs
    .map(([name, value]) => `${name.padEnd(width)}  ${oneLine(String(value ?? "")) || "-"}\n`)
    .join("");
}

export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** How long ago a moment is. */
export function ago(moment: string | number | null | undefined, nowMs = Date.now()): string {
  if (moment === null || moment === undefined) return "never";
  const seconds = Math.max(0, (nowMs - new Date(moment).getTime()) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** How long until a moment; "now" for one that has come. */
export function until(moment: string | number, nowMs = Date.now()): string {
  const seconds = (new Date(moment).getTime() - nowMs) / 1000;
  if (seconds <= 0) return "now";
  if (seconds < 90) return `in ${Math.round(seconds)} s`;
  if (seconds < 5_400) return `in ${Math.round(seconds / 60)} min`;
  return `in ${Math.round(seconds / 3600)} h`;
}
