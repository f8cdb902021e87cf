import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { Envelope, RootMetadata } from "../../protocol/index.ts";
import {
  type BulkDevice,
  devicesFromCsv,
  devicesFromRequests,
  type RowProblem,
} from "../bulk-rows.ts";
import { type Cli, type CommonOptions, pairs } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { EnrolmentJournal, type JournalEntry } from "../enrolment-journal.ts";
import type { Session } from "../session.ts";
import { ZipWriter } from "../zip.ts";
import { trustRootOf } from "./enrol.ts";

export interface BulkOptions extends CommonOptions {
  csv?: string;
  csrs?: string;
  product?: string;
  hardware?: string;
  region?: string;
  tag?: string[];
  out?: string;
  mqttUrl?: string;
  httpsUrl?: string;
}

/** Rows of one call: as many as the platform takes, at a rate at which progress can be seen. */
const BATCH = 100;
/** A platform that is busy is asked again. */
const MAX_ATTEMPTS = 5;
const RETRY_MS = 2_000;
const NO_TRUST_ROOT =
  "agents do not start without one. Make it with vautn firmware root --root-key root.pem --release-key release.pem";

/**
 * Enrols every device of a table or of a folder of requests, and writes one archive with a folder
 * for each. Keys are made here. A run that was cut off goes on where it was.
 */
export async function enrolInBulk(cli: Cli, options: BulkOptions): Promise<void> {
  if (options.csv && options.csrs) throw misuse("--csv and --csrs exclude each other");
  if (!options.out) throw misuse("the archive to write is missing", "add --out bundle.zip");
  const out = path.resolve(options.out);
  const { devices, problems } = rowsOf(options);
  const session = cli.session(options);
  const journalFile = `${out}.journal`;
  if (fs.existsSync(out) && !fs.existsSync(journalFile)) {
    throw misuse(`${options.out} is there already`, "choose another archive with --out");
  }
  const { tenant } = session;
  // Said before the work, since thousands of folders would have to be touched again.
  if (!(await trustRootOf(session))) cli.note(`the tenant has no trust root yet: ${NO_TRUST_ROOT}`);
  const journal = new EnrolmentJournal(journalFile, { tenant, url: session.client.url });
  const open = devices.filter(({ id }) => !journal.entries.get(id)?.certificate);
  const resumed = devices.length - open.length;
  if (resumed > 0) cli.note(`${resumed} devices were enrolled before: going on with the others`);
  let rootPem = "";
  const bar = cli.io.isInteractive ? await progressBar() : undefined;
  bar?.start(devices.length, resumed, { left: "asking the platform" });
  const startedMs = performance.now();
  try {
    for (let start = 0; start < open.length; start += BATCH) {
      const batch = open.slice(start, start + BATCH);
      const answer = await enrolBatch(session, journal, batch);
      rootPem = answer.rootPem;
      problems.push(...answer.problems);
      const done = start + batch.length;
      const leftMs = ((performance.now() - startedMs) / done) * (open.length - done);
      bar?.increment(batch.length, { left: `${remaining(leftMs)} to go` });
    }
  } finally {
    bar?.stop();
  }
  const written = await writeBundle(session, options, { out, devices, journal, rootPem });
  if (problems.length === 0) journal.remove();
  else journal.close();
  report(cli, options, { written, resumed, problems });
}

function rowsOf(options: BulkOptions): { devices: BulkDevice[]; problems: RowProblem[] } {
  const { product, hardware, region } = options;
  const defaults = { product, hardware, region, tags: pairs(options.tag, "--tag") };
  if (options.csv) return devicesFromCsv(options.csv, defaults);
  return devicesFromRequests(options.csrs as string, defaults);
}

async function progressBar() {
  const { SingleBar } = await import("cli-progress");
  const format = "  {bar} {value} of {total} devices, {left}";
  return new SingleBar({ format, clearOnComplete: true });
}

/** The library's own estimate reads "0s" until the first answer, and "NULL" where nothing moved. */
function remaining(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

async function enrolBatch(
  session: Session,
  journal: EnrolmentJournal,
  batch: readonly BulkDevice[],
): Promise<{ rootPem: string; problems: RowProblem[] }> {
  const { createCertificateRequest, toPem } = await import("../../protocol/index.ts");
  const { createPrivateKey } = await import("node:crypto");
  const { tenant } = session;
  // A key that was made before serves again: the platform may know it already.
  journal.keep(batch.flatMap((device) => newKeyFor(device, journal.entries.get(device.id))));
  const items = batch.map(({ id, csr, product, hardwareRevision, region, tags }) => {
    const pem = journal.entries.get(id)?.key;
    const request =
      csr ??
      toPem(
        "CERTIFICATE REQUEST",
        createCertificateRequest({
          privateKey: createPrivateKey(pem as string),
          commonName: `${tenant}/${id}`,
          organization: tenant,
        }),
      );
    return { id, csr: request, product, hardwareRevision, ...(region ? { region } : {}), tags };
  });
  const answer = await retried(() => session.call("enrollDevices", { body: { items } }));
  const done: JournalEntry[] = [];
  const problems: RowProblem[] = [];
  answer.items.forEach(({ id, certificate, error }, index) => {
    const { from, line } = batch[index] as BulkDevice;
    if (certificate) {
      const { serial, chainPem } = certificate;
      done.push({ id, certificate: { serial, chainPem } });
    } else problems.push({ id, from, line, message: error?.message ?? "no certificate came" });
  });
  journal.keep(done);
  return { rootPem: answer.rootPem, problems };
}

function newKeyFor({ id, csr }: BulkDevice, known: JournalEntry | undefined): JournalEntry[] {
  if (csr !== undefined || known?.key !== undefined) return [];
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return [{ id, key: privateKey.export({ type: "pkcs8", format: "pem" }) as string }];
}

/** Asks again where the platform is busy or away for a moment. */
async function retried<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      const { code } = error as { code?: string };
      const passing = code === "rate-limited" || code === "unavailable";
      if (!passing || attempt >= MAX_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * attempt));
    }
  }
}

interface Bundle {
  out: string;
  devices: readonly BulkDevice[];
  journal: EnrolmentJournal;
  rootPem: string;
}

/** One folder a device, as its agent starts with it; returns how many. */
async function writeBundle(
  session: Session,
  options: BulkOptions,
  { out, devices, journal, rootPem }: Bundle,
): Promise<{ devices: number; hasTrustRoot: boolean }> {
  const connection = await session.call("getDeviceConnection");
  const trustRoot = await trustRootOf(session);
  const folders = { ...connection, ...given(options), trustRoot };
  const root = rootPem || connection.rootPem;
  const partial = `${out}.partial`;
  const zip = new ZipWriter(partial, new Date());
  let count = 0;
  for (const device of devices) {
    const entry = journal.entries.get(device.id);
    if (!entry?.certificate) continue;
    for (const [name, text, mode] of filesOf(session.tenant, device, entry, folders, root)) {
      zip.add(`${device.id}/${name}`, text, mode);
    }
    count += 1;
  }
  zip.finish();
  fs.renameSync(partial, out);
  return { devices: count, hasTrustRoot: trustRoot !== undefined };
}

function given({ mqttUrl, httpsUrl }: BulkOptions) {
  return { ...(mqttUrl ? { mqttUrl } : {}), ...(httpsUrl ? { httpsUrl } : {}) };
}

function filesOf(
  tenant: string,
  device: BulkDevice,
  { key, certificate }: JournalEntry,
  place: {
    mqttUrl: string;
    httpsUrl: string;
    trustRoot: Envelope<RootMetadata> | undefined;
  },
  root: string,
): [name: string, text: string, mode: number][] {
  const { id, product, hardwareRevision } = device;
  const { mqttUrl, httpsUrl, trustRoot } = place;
  const facts = { tenant, device: id, product, hardwareRevision, mqttUrl, httpsUrl };
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  return [
    ...(key ? [["key.pem", key, 0o600] as [string, string, number]] : []),
    ["certificate.pem", certificate?.chainPem ?? "", 0o644],
    ["root.pem", root, 0o644],
    ...(trustRoot ? [["trust-root.json", json(trustRoot), 0o644] as [string, string, number]] : []),
    ["device.json", json(facts), 0o644],
    ["agent.json", json({ provisioning: ".", data: "./data" }), 0o644],
  ];
}

function report(
  cli: Cli,
  options: BulkOptions,
  result: {
    written: { devices: number; hasTrustRoot: boolean };
    resumed: number;
    problems: readonly RowProblem[];
  },
): void {
  const { written, resumed, problems } = result;
  for (const { from, id, message } of problems) cli.note(`${from}: ${id}: ${message}`);
  const data = { bundle: options.out, devices: written.devices, resumed, failed: problems };
  cli.print(options, data, () => `${written.devices} devices: ${options.out}\n`);
  if (!written.hasTrustRoot) {
    cli.note(`trust-root.json is missing in every folder: ${NO_TRUST_ROOT}`);
  }
  if (problems.length === 0) return;
  const next = `mend them and run it again with the same --out: what is done stays`;
  throw new CliError(`${problems.length} rows were not enrolled`, { next });
}
