import { LIMITS } from "../kernel/index.ts";
import { ask, judge } from "./creation.ts";
import { judgedReasons, orderedDevices } from "./plan-store.ts";
import type { Page, PlanDevice, PlanList, RolloutSpec, RolloutsDeps } from "./types.ts";
import { badCursor, parsePosition } from "./views.ts";

const DEFAULT_PAGE = 1_000;
const CURSOR_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/**
 * A page of the devices of a plan, which names only the first thousand of each kind itself. The
 * fleet is judged anew for each page: one that changes meanwhile shows as it is then.
 */
export async function planDevices(
  deps: RolloutsDeps,
  tenantId: string,
  spec: RolloutSpec,
  options: { list: PlanList; cursor?: string | undefined; limit?: number | undefined },
): Promise<Page<PlanDevice>> {
  const { list, cursor, limit = DEFAULT_PAGE } = options;
  const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
  const { question } = await ask(deps, tenantId, spec);
  return deps.db.tenant(tenantId, async (tx) => {
    const { ordering, sizes } = await judge(tx, tenantId, question);
    if (list === "devices") {
      const from = parsePosition(cursor) ?? 0;
      const rows = await orderedDevices(tx, ordering, from, size + 1);
      const items = rows.slice(0, size).map(({ id, ordinal, exclusion }) => ({
        deviceId: id,
        stageIndex: sizes.findIndex((past) => ordinal < past),
        reason: exclusion,
      }));
      return { items, nextCursor: rows.length > size ? String(rows[size]?.ordinal) : null };
    }
    if (cursor !== undefined && !CURSOR_ID.test(cursor)) throw badCursor();
    const what = list === "excluded" ? "refusal" : "exclusion";
    const rows = await judgedReasons(tx, what, size + 1, cursor);
    const items = rows.slice(0, size).map((row) => ({ ...row, stageIndex: null }));
    return { items, nextCursor: rows.length > size ? (items.at(-1)?.deviceId ?? null) : null };
  });
}
