import fs from "node:fs";
import path from "node:path";
import { misuse } from "./cli-error.ts";
import { type CsvRow, readCsv } from "./csv.ts";

/** A device that is to be enrolled with others. */
export interface BulkDevice {
  id: string;
  /** Where it comes from, for messages: `devices.csv:12`. */
  from: string;
  line: number;
  product: string;
  hardwareRevision: string;
  region?: string;
  tags: Record<string, string>;
  /** A request whose key is elsewhere. */
  csr?: string;
}

export interface RowProblem {
  id: string;
  from: string;
  line: number;
  message: string;
}

export interface RowDefaults {
  product?: string | undefined;
  hardware?: string | undefined;
  region?: string | undefined;
  tags: Record<string, string>;
}

const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MAX_CSR_BYTES = 16 * 1024;
const REQUEST_FILE = /\.(csr|req|p10|pem|der)$/i;

/**
 * Devices from a table with the column `id` and, where the options do not give them for all,
 * `product`, `hardware`, `region` and `tag.<name>`.
 */
export function devicesFromCsv(
  file: string,
  defaults: RowDefaults,
): { devices: BulkDevice[]; problems: RowProblem[] } {
  const devices: BulkDevice[] = [];
  const problems: RowProblem[] = [];
  const lines = new Map<string, number>();
  const name = path.basename(file);
  const rows = readCsv(fs.readFileSync(file, "utf8"), name);
  if (rows[0] && rows[0].fields.id === undefined) throw misuse(`${name} has no column "id"`);
  for (const row of rows) {
    const device = deviceOf(row, `${name}:${row.line}`, defaults);
    const message = problemOf(device) ?? repeatedAt(lines, device);
    if (message) problems.push({ id: device.id, from: device.from, line: row.line, message });
    else devices.push(device);
  }
  return { devices, problems };
}

function repeatedAt(lines: Map<string, number>, { id, line }: BulkDevice): string | undefined {
  const earlier = lines.get(id);
  if (earlier !== undefined) return `the device stands in line ${earlier} already`;
  lines.set(id, line);
  return undefined;
}

function deviceOf({ line, fields }: CsvRow, from: string, defaults: RowDefaults): BulkDevice {
  const tags = { ...defaults.tags };
  for (const [column, value] of Object.entries(fields)) {
    if (column.startsWith("tag.") && value !== "") tags[column.slice("tag.".length)] = value;
  }
  const region = fields.region || defaults.region;
  return {
    id: fields.id ?? "",
    from,
    line,
    product: fields.product || defaults.product || "",
    hardwareRevision: fields.hardware || fields.hardwareRevision || defaults.hardware || "",
    ...(region ? { region } : {}),
    tags,
  };
}

function problemOf({ id, product, hardwareRevision }: BulkDevice): string | undefined {
  if (!DEVICE_ID.test(id)) return `"${id}" is no device id`;
  if (product === "") return "the product is missing: a column product, or --product";
  if (hardwareRevision === "") return "the hardware is missing: a column hardware, or --hardware";
  return undefined;
}

/** Devices whose requests lie in a folder, each named by its device's id. */
export function devicesFromRequests(
  directory: string,
  defaults: RowDefaults,
): { devices: BulkDevice[]; problems: RowProblem[] } {
  const devices: BulkDevice[] = [];
  const problems: RowProblem[] = [];
  const files = fs.readdirSync(directory).filter((name) => REQUEST_FILE.test(name));
  if (files.length === 0) throw misuse(`${directory} holds no requests (*.csr, *.pem, *.der)`);
  files.sort().forEach((name, index) => {
    const line = index + 1;
    const fields = { id: name.replace(REQUEST_FILE, "") };
    const device = deviceOf({ line, fields }, name, defaults);
    const bytes = fs.readFileSync(path.join(directory, name));
    const message =
      problemOf(device) ?? (bytes.length > MAX_CSR_BYTES ? "the request is too large" : undefined);
    if (message) problems.push({ id: device.id, from: name, line, message });
    else devices.push({ ...device, csr: textOf(bytes) });
  });
  return { devices, problems };
}

/** PEM as it is; DER in base64. */
function textOf(bytes: Buffer): string {
  return bytes[0] === 0x30 ? bytes.toString("base64") : bytes.toString("latin1");
}
