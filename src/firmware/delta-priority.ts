import os from "node:os";

/** What a tenant's building has taken of a processor of late, and how far it stands back from then on. */
const STEPS_BACK = [
  { fromSeconds: 12, by: 19 },
  { fromSeconds: 5, by: 10 },
];
const LOWEST_PRIORITY = 19;

export function stepBackAfter(seconds: number): number {
  return STEPS_BACK.find(({ fromSeconds }) => seconds >= fromSeconds)?.by ?? 0;
}

/** The priority that is so far behind that of a process. */
export function priorityBehind(pid: number, by: number): number {
  return Math.min(LOWEST_PRIORITY, os.getPriority(pid) + by);
}
