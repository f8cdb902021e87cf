import { type RawBuilder, sql } from "kysely";
import { DROPS_FADE_MS } from "./health.ts";

/** What is left at a moment of the drops of `device_states s`: by e in every `DROPS_FADE_MS`. */
export function fadedDrops(at: RawBuilder<unknown>): RawBuilder<number> {
  return sql<number>`s.link_drops * exp(-least(greatest(extract(epoch from
    ${at} - coalesce(s.link_drops_at, ${at}))::float8, 0), 86400) * 1000 / ${DROPS_FADE_MS})`;
}
