import type { JournalRecord } from "./journal-record.ts";

/** Blocks of rows for one target, which together are one INSERT. */
export interface JournalBatch {
  target: string;
  rows: number;
  blocks: Buffer[];
}

const MAX_ROWS_PER_BATCH = 500_000;
const MAX_BATCH_BYTES = 24 * 1024 ** 2;

/** Records of one target together, in their order, as far as one INSERT goes. */
export function batchesOf(records: readonly JournalRecord[]): JournalBatch[] {
  const batches: JournalBatch[] = [];
  const open = new Map<string, JournalBatch & { bytes: number }>();
  for (const { target, rows, block } of records) {
    let batch = open.get(target);
    const isTooLarge =
      batch &&
      (batch.rows + rows > MAX_ROWS_PER_BATCH || batch.bytes + block.length > MAX_BATCH_BYTES);
    if (!batch || isTooLarge) {
      batch = { target, rows: 0, bytes: 0, blocks: [] };
      open.set(target, batch);
      batches.push(batch);
    }
    batch.rows += rows;
    batch.bytes += block.length;
    batch.blocks.push(block);
  }
  return batches;
}
