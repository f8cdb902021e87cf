/** What every read runs with, in the embedded engine and on a server alike. */
export const READ_SETTINGS: Record<string, string | number> = {
  max_execution_time: 30,
  max_memory_usage: 2 * 1024 ** 3,
  max_result_bytes: 256 * 1024 ** 2,
  result_overflow_mode: "throw",
  // Sort keys hold the timestamp, so that duplicates of a row always share its partition.
  do_not_merge_across_partitions_select_final: 1,
  // Rows that the key alone leaves out are not taken together with others first; the engine does so with
  // conditions on the sort key only, which all copies of a row have in common.
  optimize_move_to_prewhere_if_final: 1,
  // What a word or an id leaves over is known before anything is read (docs/decisions/1123).
  use_skip_indexes_on_data_read: 0,
  output_format_json_quote_64bit_integers: 0,
  output_format_json_quote_denormals: 0,
};

/** What every insert runs with. */
export const WRITE_SETTINGS: Record<string, string | number> = {
  max_execution_time: 60,
  // One message may hold a backlog of years; a partition is a month.
  max_partitions_per_insert_block: 2_000,
  input_format_null_as_default: 1,
  // Copies of a row within one insert are taken together later, as those of different inserts are:
  // readers see none of them either way, and an insert costs a fifth less.
  optimize_on_insert: 0,
};

/** What every statement runs with that computes rows from others. It hurries nobody. */
export const DERIVE_SETTINGS: Record<string, string | number> = {
  ...WRITE_SETTINGS,
  max_memory_usage: 4 * 1024 ** 3,
  max_threads: 1,
  do_not_merge_across_partitions_select_final: 1,
  optimize_move_to_prewhere_if_final: 1,
};
