import type { RolloutView } from "../../api/index.ts";

/** A moment that is marked on the axis of time, and what happened then. */
export interface Mark {
  /** Milliseconds since the epoch. */
  at: number;
  label: string;
  rolloutId: string;
}

type Marked = Pick<RolloutView, "id" | "kind" | "release"> & {
  stages: readonly Pick<RolloutView["stages"][number], "name" | "startedAt">[];
};

/** More than these hide the lines: the newest are shown. */
const MOST = 12;

/** When stages of rollouts began within a part of time, in their order. */
export function marksOf(rollouts: readonly Marked[], from: number, to: number): Mark[] {
  return rollouts
    .flatMap(({ id, kind, release, stages }) =>
      stages.flatMap(({ name, startedAt }) => {
        const at = startedAt === null ? Number.NaN : Date.parse(startedAt);
        if (!(at >= from && at <= to)) return [];
        const what = kind === "rollback" ? "back to " : "";
        return [{ at, label: `${what}${release.version} ${name}`, rolloutId: id }];
      }),
    )
    .sort((left, right) => left.at - right.at)
    .slice(-MOST);
}
