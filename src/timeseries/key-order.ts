import type { Keywords, Longs } from "./column-builders.ts";

/** With fewer rows for each text, to put the texts in order costs more than it spares. */
const LEAST_ROWS_PER_TEXT = 4;

/**
 * The rows in the order of a table's sort key, which spares the engine both its sorting and a copy of
 * every column; nothing where they are in it already, or where that is not to be had cheaply: the
 * engine sorts what it is given. Rows of the same key stay in the order in which they came.
 */
export function orderByKey(
  rows: number,
  keywords: readonly Keywords[],
  times: Longs,
): Uint32Array | undefined {
  if (keywords.some(({ count }) => count * LEAST_ROWS_PER_TEXT > rows)) return undefined;
  let order: Uint32Array = new Uint32Array(rows);
  for (let row = 0; row < rows; row += 1) order[row] = row;
  for (const column of [...keywords].reverse()) order = column.sorted(order);
  let isMoved = false;
  for (let at = 1; at < rows; at += 1) {
    const row = order[at] as number;
    const before = order[at - 1] as number;
    if (row < before) isMoved = true;
    const isLate = times.isLess(row, before) && keywords.every((one) => one.isSame(row, before));
    if (isLate) return undefined;
  }
  return isMoved ? order : undefined;
}
