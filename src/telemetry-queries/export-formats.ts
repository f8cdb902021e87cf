import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { ExportRow } from "./export-store.ts";
import type { TextItem } from "./texts-store.ts";

export type ExportFormat = "csv" | "parquet";

/** A column of a file: its name, its type in Parquet, and what it holds of a row. */
interface Column<Row> {
  name: string;
  type: "text" | "time" | "number" | "integer";
  of(row: Row): string | number;
}

export const NUMBER_COLUMNS: readonly Column<ExportRow>[] = [
  { name: "device", type: "text", of: (row) => row.device },
  { name: "metric", type: "text", of: (row) => row.metric },
  { name: "time", type: "time", of: (row) => row.ts },
  { name: "value", type: "number", of: (row) => row.value },
  { name: "clock_shift_ms", type: "integer", of: (row) => row.clockShiftMs },
];

export const TEXT_COLUMNS: readonly Column<TextItem>[] = [
  { name: "device", type: "text", of: (row) => row.deviceId },
  { name: "metric", type: "text", of: (row) => row.metric },
  { name: "time", type: "time", of: (row) => row.ts },
  { name: "text", type: "text", of: (row) => row.text },
  { name: "clock_shift_ms", type: "integer", of: (row) => row.clockShiftMs },
];

export function fileOf<Row>(
  format: ExportFormat,
  columns: readonly Column<Row>[],
  pages: AsyncIterable<Row[]>,
): AsyncGenerator<Buffer> {
  return format === "csv" ? csvOf(columns, pages) : parquetOf(columns, pages);
}

/** RFC 4180 with a header. */
async function* csvOf<Row>(
  columns: readonly Column<Row>[],
  pages: AsyncIterable<Row[]>,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`${columns.map(({ name }) => name).join(",")}\r\n`);
  for await (const rows of pages) {
    const lines = rows.map((row) => `${columns.map((column) => cell(column, row)).join(",")}\r\n`);
    yield Buffer.from(lines.join(""));
  }
}

function cell<Row>({ type, of }: Column<Row>, row: Row): string {
  const value = of(row);
  if (type === "time") return new Date(value).toISOString();
  if (typeof value === "number") return String(value);
  // What a device says is no formula, whatever a spreadsheet takes it for.
  if (/^[=+\-@\t\r]/.test(value)) return `"'${value.replaceAll('"', '""')}"`;
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

const PARQUET = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  time: { type: "INT64", converted_type: "TIMESTAMP_MILLIS" },
  number: { type: "DOUBLE" },
  integer: { type: "INT64" },
} as const;

/** One row group a page; what has been written is handed on and let go. */
async function* parquetOf<Row>(
  columns: readonly Column<Row>[],
  pages: AsyncIterable<Row[]>,
): AsyncGenerator<Buffer> {
  const bytes = new ByteWriter();
  const take = () => {
    const taken = Buffer.from(bytes.getBytes());
    bytes.index = 0;
    return taken;
  };
  const file = new ParquetWriter({
    writer: bytes,
    createdBy: "vautn",
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.map(({ name, type }) => ({
        ...{ name, ...PARQUET[type], repetition_type: "REQUIRED" as const },
      })),
    ],
  });
  for await (const rows of pages) {
    await file.write({
      rowGroupSize: rows.length,
      columnData: columns.map(({ name, type, of }) => ({
        name,
        data: rows.map((row) => parquetValue(type, of(row))),
      })),
    });
    yield take();
  }
  await file.finish();
  yield take();
}

function parquetValue(type: Column<never>["type"], value: string | number) {
  if (type === "time") return new Date(value);
  return type === "integer" ? BigInt(value) : value;
}
