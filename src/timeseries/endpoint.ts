import fs from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { equalSecrets } from "../kernel/sealing.ts";
import { parseBoundValues } from "./bound-parameters.ts";
import { type Engine, EngineBusy, type EngineResult } from "./engine.ts";
import { DERIVE_SETTINGS, READ_SETTINGS, WRITE_SETTINGS } from "./engine-settings.ts";
import { parseStatement, type Statement, StatementRefused } from "./statement.ts";

export interface EndpointOptions {
  engine: Engine;
  /** 0 picks a free port. */
  port: number;
  /** Password of user `vautn`. */
  secret: string;
  /** Folder for request bodies while they are read. */
  spoolDirectory: string;
  maxBodyBytes?: number;
}

export interface Endpoint {
  port: number;
  close(): Promise<void>;
}

export const ENDPOINT_USER = "vautn";
const MAX_BODY_BYTES = 64 * 1024 ** 2;
const MAX_STATEMENT_BYTES = 256 * 1024;
const MAX_URL_BYTES = 1024 ** 2;
/** A statement with the ids of many devices. */
const MAX_FORM_BYTES = 16 * 1024 ** 2;
const MAX_INSERTS_AT_ONCE = 8;
const MAX_CONNECTIONS = 256;
/** What goes back in a header. */
const QUERY_ID = /^[\w-]{0,128}$/;

/** A refusal in ClickHouse's own terms, which `@clickhouse/client` understands. */
class EndpointError extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, name: string, message: string) {
    super(`Code: ${code}. DB::Exception: ${message}. (${name})`);
    this.status = status;
    this.code = code;
  }
}

/** ClickHouse's HTTP interface, as far as `@clickhouse/client` needs it, on the loopback interface. */
export async function startEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const handler = new RequestHandler(options);
  const server = http.createServer(
    { maxHeaderSize: MAX_URL_BYTES, keepAliveTimeout: 30_000, requestTimeout: 60_000 },
    (request, response) => void handler.handle(request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

class RequestHandler {
  readonly #options: EndpointOptions;
  #bodies = 0;
  #inserting = 0;

  constructor(options: EndpointOptions) {
    this.#options = options;
  }

  async handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const headers: Record<string, string> = { "X-ClickHouse-Server-Display-Name": "vautn" };
    try {
      const url = URL.parse(request.url ?? "/", "http://localhost");
      if (!url) throw new EndpointError(400, 36, "BAD_ARGUMENTS", "The address cannot be read");
      const queryId = url.searchParams.get("query_id") ?? "";
      if (QUERY_ID.test(queryId)) headers["X-ClickHouse-Query-Id"] = queryId;
      if (url.pathname === "/ping") {
        response.writeHead(200, headers).end("Ok.\n");
        return;
      }
      this.#authenticate(request);
      const { result, format } = await this.#run(request, url.searchParams);
      headers["X-ClickHouse-Summary"] = summaryOf(result);
      if (format) headers["X-ClickHouse-Format"] = format;
      response.writeHead(200, headers).end(result?.bytes);
    } catch (error) {
      const failure = asEndpointError(error);
      headers["X-ClickHouse-Exception-Code"] = String(failure.code);
      // What was not read of the body would be taken for the next request.
      if (!request.complete) headers.Connection = "close";
      response.writeHead(failure.status, headers).end(`${failure.message}\n`);
    }
  }

  #authenticate(request: http.IncomingMessage): void {
    const encoded = /^Basic (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    const given = Buffer.from(encoded, "base64").toString();
    if (!equalSecrets(given, `${ENDPOINT_USER}:${this.#options.secret}`)) {
      throw new EndpointError(401, 516, "AUTHENTICATION_FAILED", "Authentication failed");
    }
  }

  async #run(
    request: http.IncomingMessage,
    parameters: URLSearchParams,
  ): Promise<{ result: EngineResult | undefined; format?: string }> {
    if (request.method !== "POST" && request.method !== "GET") {
      throw new EndpointError(405, 1, "UNSUPPORTED_METHOD", "Only GET and POST are served");
    }
    if (request.headers["content-encoding"] !== undefined) {
      throw new EndpointError(415, 1, "UNSUPPORTED_METHOD", "Compressed bodies are not read");
    }
    const inUrl = parameters.get("query");
    const form = await readForm(request);
    const sql = inUrl ?? form?.get("query") ?? (await readText(request));
    const statement = parseStatement(sql, parameters.get("default_format") ?? undefined);
    const database = parameters.get("database") ?? "default";
    if (!/^\w{1,64}$/.test(database)) throw new StatementRefused("the database has a plain name");
    if (statement.kind === "insert") {
      if (inUrl === null) throw new StatementRefused("rows belong in the body of the request");
      refuseSettings(parameters, WRITE_SETTINGS);
      return { result: await this.#insert(request, statement, database) };
    }
    const texts = new Map<string, string>();
    for (const [name, value] of [...parameters, ...(form ?? [])]) {
      if (name.startsWith("param_")) texts.set(name.slice("param_".length), value);
    }
    const values = parseBoundValues(statement.sql, texts);
    if (statement.kind === "definition") {
      return {
        result: await this.#options.engine.define({ database, sql: statement.sql, values }),
      };
    }
    if (statement.kind === "derivation") {
      refuseSettings(parameters, DERIVE_SETTINGS);
      return {
        result: await this.#options.engine.derive({ database, sql: statement.sql, values }),
      };
    }
    refuseSettings(parameters, READ_SETTINGS, LOWERABLE_SETTINGS);
    const { format } = statement;
    const read = { database, sql: statement.sql, values, limits: readLimits(parameters) };
    return { result: await this.#options.engine.read(read, format), format };
  }

  async #insert(
    request: http.IncomingMessage,
    statement: Extract<Statement, { kind: "insert" }>,
    database: string,
  ): Promise<EngineResult | undefined> {
    if (this.#inserting >= MAX_INSERTS_AT_ONCE) throw new EngineBusy("too many inserts at once");
    this.#inserting += 1;
    const file = path.join(this.#options.spoolDirectory, `body-${this.#bodies++}`);
    try {
      const limit = this.#options.maxBodyBytes ?? MAX_BODY_BYTES;
      const size = await spool(request, file, limit);
      if (size === 0) return undefined;
      return await this.#options.engine.insert({ ...statement, file, database });
    } finally {
      this.#inserting -= 1;
      await fs.promises.rm(file, { force: true });
    }
  }
}

/** A body is written in pieces of this size: each costs a way to another thread and back. */
const SPOOL_PIECE_BYTES = 1024 ** 2;

/** Writes a body to `file`; it is never part of a statement. */
async function spool(request: http.IncomingMessage, file: string, limit: number): Promise<number> {
  const target = await fs.promises.open(file, "wx", 0o600);
  try {
    let size = 0;
    let chunks: Buffer[] = [];
    let waiting = 0;
    // Who sends too much is still told so.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += chunk.length;
      if (size > limit) {
        const message = `The body exceeds ${limit} bytes`;
        throw new EndpointError(413, 307, "TOO_MANY_BYTES", message);
      }
      chunks.push(chunk);
      waiting += chunk.length;
      if (waiting < SPOOL_PIECE_BYTES) continue;
      await target.writeFile(Buffer.concat(chunks, waiting));
      chunks = [];
      waiting = 0;
    }
    if (waiting > 0) await target.writeFile(Buffer.concat(chunks, waiting));
    return size;
  } finally {
    await target.close();
  }
}

async function readText(request: http.IncomingMessage): Promise<string> {
  return (await readBytes(request, MAX_STATEMENT_BYTES)).toString();
}

async function readBytes(request: http.IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw new StatementRefused("the statement is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The parts of a form, which carries the parameters of a query that are long; else undefined. */
async function readForm(request: http.IncomingMessage): Promise<Map<string, string> | undefined> {
  const type = request.headers["content-type"] ?? "";
  if (!/^multipart\/form-data;/i.test(type)) return undefined;
  const body = new Uint8Array(await readBytes(request, MAX_FORM_BYTES));
  const form = await new Response(body, { headers: { "content-type": type } })
    .formData()
    .catch(() => undefined);
  if (!form) throw new EndpointError(400, 36, "BAD_ARGUMENTS", "The form cannot be read");
  const texts = new Map<string, string>();
  for (const [name, value] of form) {
    if (typeof value === "string") texts.set(name, value);
  }
  return texts;
}

/** What a read may ask to be held to, if it is less than what holds for every read. */
const LOWERABLE_SETTINGS: Record<string, number> = {
  max_execution_time: Number(READ_SETTINGS.max_execution_time),
  max_rows_to_read: Number.MAX_SAFE_INTEGER,
};

function readLimits(parameters: URLSearchParams): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const [name, most] of Object.entries(LOWERABLE_SETTINGS)) {
    const text = parameters.get(name);
    if (text === null) continue;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value > 0 && value <= most)) {
      throw new EndpointError(400, 452, "SETTING_CONSTRAINT_VIOLATION", `${name} is fixed here`);
    }
    if (value < most) limits[name] = value;
  }
  return limits;
}

/** Settings are fixed when a session opens: one that asks for another value is refused. */
function refuseSettings(
  parameters: URLSearchParams,
  fixed: Record<string, string | number>,
  lowerable: Record<string, number> = {},
): void {
  for (const [name, value] of parameters) {
    if (Object.hasOwn(lowerable, name)) continue;
    const fixedValue = fixed[name];
    if (fixedValue !== undefined && String(fixedValue) !== value) {
      throw new EndpointError(400, 452, "SETTING_CONSTRAINT_VIOLATION", `${name} is fixed here`);
    }
  }
}

function summaryOf(result: EngineResult | undefined): string {
  return JSON.stringify({
    read_rows: String(result?.rowsRead ?? 0),
    read_bytes: String(result?.bytesRead ?? 0),
    written_rows: "0",
    written_bytes: "0",
    elapsed_ns: String(Math.round((result?.elapsedSeconds ?? 0) * 1e9)),
  });
}

function asEndpointError(error: unknown): EndpointError {
  if (error instanceof EndpointError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof StatementRefused)
    return new EndpointError(403, 497, "ACCESS_DENIED", message);
  if (error instanceof EngineBusy) {
    return new EndpointError(503, 202, "TOO_MANY_SIMULTANEOUS_QUERIES", message);
  }
  const parts = /Code: (\d+)\.[\s\S]*?Exception: ([\s\S]*?)\.? \(([A-Z0-9_]+)\)/.exec(message);
  return parts
    ? new EndpointError(500, Number(parts[1]), parts[3] as string, parts[2] as string)
    : new EndpointError(500, 1, "UNKNOWN_EXCEPTION", message);
}
