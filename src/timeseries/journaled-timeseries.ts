import { Journal, type JournalOptions } from "./journal.ts";
import { MAX_BLOCK_BYTES } from "./journal-record.ts";
import { encodeNativeBlocks } from "./native-block.ts";
import { TABLES, type TableName } from "./tables.ts";
import type { TenantQuery } from "./tenant-query.ts";
import { MAX_ROWS_PER_INSERT, type Timeseries, targetOf } from "./timeseries.ts";

/** A store whose rows are durable when the journal has them. */
export interface JournaledTimeseries extends Timeseries {
  /** Resolves when the store has what was inserted up to now. */
  fed(): Promise<void>;
}

/** Spans are a picture and no fact: they may be lost with their process, and go to the store at once. */
const PASSED_BY: readonly TableName[] = ["spans"];

/** How long a read waits for the store to be fed: one that does not answer fails the read itself. */
const READ_PATIENCE_MS = 1_000;

/** Puts a journal before a store. `close` closes the journal, and the store after it. */
export function withJournal(
  timeseries: Timeseries,
  options: Omit<JournalOptions, "write">,
): JournaledTimeseries {
  const journal = Journal.open({
    ...options,
    write: ({ target, blocks }) => timeseries.insertBlocks(target, blocks),
  });
  return {
    ...timeseries,
    async insert(table, rows) {
      if (PASSED_BY.includes(table)) return timeseries.insert(table, rows);
      const appended: Promise<void>[] = [];
      for (let start = 0; start < rows.length; start += MAX_ROWS_PER_INSERT) {
        const slice = rows.slice(start, start + MAX_ROWS_PER_INSERT);
        for (const part of encodeNativeBlocks(TABLES[table], slice, MAX_BLOCK_BYTES)) {
          appended.push(journal.append({ target: targetOf(table), ...part }));
        }
      }
      await Promise.all(appended);
    },
    async insertPoints(points) {
      await Promise.all(points.encode().map((record) => journal.append(record)));
    },
    // Who reads where it is written sees what was acknowledged; other processes see it a moment later.
    async tenantQuery<Row>(tenantId: string, query: TenantQuery): Promise<Row[]> {
      await Promise.race([journal.fed(), pause(READ_PATIENCE_MS)]);
      return timeseries.tenantQuery<Row>(tenantId, query);
    },
    fed: () => journal.fed(),
    async close() {
      await journal.close();
      await timeseries.close();
    },
  };
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs).unref());
}
