import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { ExportRow } from "./export-store.ts";

export type ExportFormat = "csv" | "parquet";

type Pages = AsyncIterable<ExportRow[]>;

/** RFC 4180 with a header. Device ids and names of metrics hold nothing that needs quotes. */
export async function* csvOf(pages: Pages): AsyncGenerator<Buffer> {
  yield Buffer.from("device,metric,time,value\r\n");
  for await (const rows of pages) {
    const lines = rows.map(
      ({ device, metric, ts, value }) =>
        `${device},${metric},${new Date(ts).toISOString()},${value}\r\n`,
    );
    yield Buffer.from(lines.join(""));
  }
}

/** One row group a page; what has been written is handed on and let go. */
export async function* parquetOf(pages: Pages): AsyncGenerator<Buffer> {
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
      { name: "root", num_children: 4 },
      { name: "device", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
      { name: "metric", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
      {
        name: "time",
        type: "INT64",
        converted_type: "TIMESTAMP_MILLIS",
        repetition_type: "REQUIRED",
      },
      { name: "value", type: "DOUBLE", repetition_type: "REQUIRED" },
    ],
  });
  for await (const rows of pages) {
    await file.write({
      rowGroupSize: rows.length,
      columnData: [
        { name: "device", data: rows.map(({ device }) => device) },
        { name: "metric", data: rows.map(({ metric }) => metric) },
        { name: "time", data: rows.map(({ ts }) => new Date(ts)) },
        { name: "value", data: rows.map(({ value }) => value) },
      ],
    });
    yield take();
  }
  await file.finish();
  yield take();
}
