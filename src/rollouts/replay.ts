import { evaluate, type VerdictBasis } from "./gate/index.ts";
import type { Replay } from "./types.ts";
import type { VerdictRow } from "./verdict-store.ts";
import { viewVerdict } from "./views.ts";

/** The gate is a pure function: the same facts have to give the same word, to the last number. */
export function replayVerdict(row: VerdictRow, basis: VerdictBasis): Replay {
  const { policy, state, facts } = basis;
  const { verdict } = evaluate(policy, state, facts, row.at.getTime());
  const { decision, rule, sentence } = verdict;
  // As the record holds them: JSON knows neither infinity nor what is undefined.
  const numbers = JSON.parse(JSON.stringify(verdict.numbers)) as Record<string, unknown>;
  const stored = viewVerdict(row);
  const agrees =
    decision === stored.decision &&
    rule === stored.rule &&
    sentence === stored.sentence &&
    canonical(numbers) === canonical(stored.numbers);
  return { verdict: stored, replayed: { decision, rule, sentence, numbers }, agrees };
}

/** Text that does not depend on the order of keys, which the database does not keep. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1)))
      : part,
  );
}
