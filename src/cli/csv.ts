import { misuse } from "./cli-error.ts";

/** One row of a table, by the names in its first line. */
export interface CsvRow {
  /** Line in the file at which it begins, from 1. */
  line: number;
  fields: Record<string, string>;
}

export const MAX_CSV_ROWS = 1_000_000;

/** Reads CSV (RFC 4180; also with LF and a byte order mark); the first line names the columns. */
export function readCsv(text: string, file: string): CsvRow[] {
  const records = recordsOf(text.replace(/^\uFEFF/, ""), file);
  const header = records.next().value;
  if (!header) throw misuse(`${file} is empty`);
  const names = header.values.map((name) => name.trim());
  if (new Set(names).size !== names.length) throw misuse(`${file}:1: a column stands there twice`);
  const rows: CsvRow[] = [];
  for (const { line, values } of records) {
    if (values.length === 1 && values[0]?.trim() === "") continue;
    if (values.length > names.length) {
      throw misuse(`${file}:${line}: there are more fields than columns`);
    }
    if (rows.length === MAX_CSV_ROWS) throw misuse(`${file} has more than ${MAX_CSV_ROWS} rows`);
    const fields = names.map((name, index) => [name, (values[index] ?? "").trim()] as const);
    rows.push({ line, fields: Object.fromEntries(fields) });
  }
  return rows;
}

interface CsvRecord {
  line: number;
  values: string[];
}

function* recordsOf(text: string, file: string): Generator<CsvRecord, undefined> {
  let line = 1;
  let record: CsvRecord = { line, values: [] };
  let at = 0;
  while (at < text.length) {
    const [value, end] = text[at] === '"' ? quoted(text, at, file, line) : plain(text, at);
    line += text.slice(at, end).split("\n").length - 1;
    record.values.push(value);
    at = end;
    if (text[at] === ",") {
      at += 1;
      // A comma at the very end is followed by an empty field.
      if (at === text.length) record.values.push("");
      continue;
    }
    if (text[at] === "\r") at += 1;
    if (text[at] === "\n") at += 1;
    else if (at < text.length) throw misuse(`${file}:${line}: text stands after a closing quote`);
    yield record;
    line += 1;
    record = { line, values: [] };
  }
  if (record.values.length > 0) yield record;
  return undefined;
}

function plain(text: string, start: number): [string, number] {
  let end = start;
  while (end < text.length && !",\n".includes(text[end] as string)) {
    if (text[end] === "\r" && text[end + 1] === "\n") break;
    end += 1;
  }
  return [text.slice(start, end), end];
}

function quoted(text: string, start: number, file: string, line: number): [string, number] {
  let value = "";
  let at = start + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) throw misuse(`${file}:${line}: a quote is not closed`);
    value += text.slice(at, quote);
    if (text[quote + 1] !== '"') return [value, quote + 1];
    value += '"';
    at = quote + 2;
  }
}
