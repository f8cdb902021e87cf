import { DERIVED_TABLES, TENANT_TABLES } from "./readable.ts";
import { isWord, type SqlToken, tokenizeSql } from "./sql-tokens.ts";

/** What a request asks of the embedded engine. */
export type Statement =
  | { kind: "read"; sql: string; format: string }
  | { kind: "definition"; sql: string }
  | { kind: "derivation"; sql: string }
  | { kind: "insert"; table: string; columns: string[] | undefined; format: string };

/** A statement that the embedded engine does not run. */
export class StatementRefused extends Error {}

const MAX_STATEMENT_LENGTH = 256 * 1024;

const OUTPUT_FORMATS = new Set([
  "JSON",
  "JSONCompact",
  "JSONCompactEachRow",
  "JSONEachRow",
  "Native",
  "CSV",
  "TabSeparated",
]);
const INPUT_FORMATS = new Set(["JSONEachRow", "JSONCompactEachRow", "Native", "RowBinary", "CSV"]);

const READ_VERBS = ["SELECT", "WITH", "DESCRIBE", "DESC", "SHOW", "EXISTS", "EXPLAIN"];

/**
 * Functions that reach beyond the tables: files, networks, programs, dictionaries. Table functions
 * that the engine lists at its start are added to these.
 */
const FORBIDDEN_FUNCTIONS = new Set(
  `file url remote remoteSecure cluster clusterAllReplicas executable s3 gcs hdfs input merge mysql
  postgresql sqlite mongodb odbc jdbc redis dictionary loop disk python view format catboostEvaluate
  getServerSetting joinGet joinGetOrNull`
    .toLowerCase()
    .split(/\s+/),
);
/** Table functions that only make numbers. */
const HARMLESS_FUNCTIONS = new Set(["numbers", "numbers_mt", "zeros", "generate_series", "null"]);

/** Words that never occur in a statement of ours and open files or change the session. */
const FORBIDDEN_WORDS = new Set(["OUTFILE", "INFILE", "ATTACH", "DETACH", "FETCH"]);

/** Adds the engine's own table functions to the forbidden ones. */
export function forbidFunctions(names: readonly string[]): void {
  for (const name of names) {
    const lower = name.toLowerCase();
    if (!HARMLESS_FUNCTIONS.has(lower)) FORBIDDEN_FUNCTIONS.add(lower);
  }
}

/**
 * Sorts a statement into what may run, or throws {@link StatementRefused}. Everything that is not
 * known to be harmless is refused: chDB has no users, so that this list is its access control.
 */
export function parseStatement(sql: string, defaultFormat = "TabSeparated"): Statement {
  if (sql.length > MAX_STATEMENT_LENGTH) throw new StatementRefused("the statement is too long");
  const tokens = tokenizeSql(sql);
  if (!tokens || tokens.length === 0) throw new StatementRefused("not a statement");
  for (const [index, token] of tokens.entries()) refuseDanger(token, tokens[index + 1]);
  const verb = tokens[0]?.kind === "word" ? tokens[0].text.toUpperCase() : "";
  if (verb === "INSERT") return parseInsert(sql, tokens);
  if (READ_VERBS.includes(verb)) return parseRead(sql, tokens, defaultFormat);
  if (isDefinition(tokens)) return { kind: "definition", sql };
  throw new StatementRefused(`statements of this form are not allowed: ${sql.slice(0, 40)}`);
}

function refuseDanger(token: SqlToken, next: SqlToken | undefined): void {
  // ClickHouse takes typographic quotes for quotes: outside ours, nothing but printable ASCII.
  if (token.kind === "symbol" && !/^[!-~]$/.test(token.text)) {
    throw new StatementRefused("only ASCII is allowed outside of quotes");
  }
  if (token.kind === "symbol" && (token.text === ";" || token.text === "$")) {
    throw new StatementRefused(`"${token.text}" is not allowed in a statement`);
  }
  if (token.kind === "word" && FORBIDDEN_WORDS.has(token.text.toUpperCase())) {
    throw new StatementRefused(`${token.text} is not allowed in a statement`);
  }
  const called = next?.kind === "symbol" && next.text === "(";
  const named = token.kind === "word" || token.kind === "quoted";
  if (called && named && FORBIDDEN_FUNCTIONS.has(token.text.toLowerCase())) {
    throw new StatementRefused(`the function ${token.text} is not allowed in a statement`);
  }
}

function parseRead(sql: string, tokens: SqlToken[], defaultFormat: string): Statement {
  const last = tokens.at(-1) as SqlToken;
  const beforeLast = tokens.at(-2);
  const explicit = isWord(beforeLast, "FORMAT") && last.kind === "word";
  const format = explicit ? last.text : defaultFormat;
  if (!OUTPUT_FORMATS.has(format)) throw new StatementRefused(`format ${format} is not offered`);
  // What a read may cost is not for the read to say.
  if (tokens.some((token) => isWord(token, "SETTINGS"))) {
    throw new StatementRefused("settings are not allowed in a statement");
  }
  return {
    kind: "read",
    sql: explicit ? sql.slice(0, (beforeLast as SqlToken).start) : sql,
    format,
  };
}

/** What is computed from our own tables, within the engine, and what takes its place (`takeOver`). */
const DERIVED = new Set(DERIVED_TABLES.flatMap((table) => [table, `${table}_next`]));
/** Words that change how a statement runs or where its answer goes. */
const STEERING_WORDS = new Set(["SETTINGS", "FORMAT", "INTO"]);

/**
 * `INSERT INTO [TABLE] [database.]table [(columns)] FORMAT name`, or `INSERT INTO rollup (columns)
 * SELECT …`, and nothing else.
 */
function parseInsert(sql: string, tokens: SqlToken[]): Statement {
  let position = 1;
  const fail = () => new StatementRefused("only INSERT INTO table (columns) FORMAT … is allowed");
  const identifier = () => {
    const token = tokens[position++];
    if (!token || (token.kind !== "word" && token.kind !== "quoted")) throw fail();
    if (!/^[A-Za-z_]\w*$/.test(token.text)) throw fail();
    return token.text;
  };
  const symbol = (text: string) => {
    if (tokens[position]?.kind !== "symbol" || tokens[position]?.text !== text) return false;
    position += 1;
    return true;
  };
  if (!isWord(tokens[position++], "INTO")) throw fail();
  if (isWord(tokens[position], "TABLE")) position += 1;
  let table = identifier();
  if (symbol(".")) table += `.${identifier()}`;
  let columns: string[] | undefined;
  if (symbol("(")) {
    columns = [identifier()];
    while (symbol(",")) columns.push(identifier());
    if (!symbol(")")) throw fail();
  }
  if (isWord(tokens[position], "SELECT") && columns && isOurs(table, tokens.slice(position))) {
    const steers = tokens
      .slice(position)
      .some(({ kind, text }) => kind === "word" && STEERING_WORDS.has(text.toUpperCase()));
    if (steers) throw fail();
    return { kind: "derivation", sql };
  }
  if (!isWord(tokens[position++], "FORMAT")) throw fail();
  const format = identifier();
  if (position !== tokens.length) throw fail();
  if (!INPUT_FORMATS.has(format)) throw new StatementRefused(`format ${format} is not offered`);
  return { kind: "insert", table, columns, format };
}

/** Rollups are made of other tables; rows of any are only copied within their own (`moveTenant`). */
function isOurs(table: string, select: readonly SqlToken[]): boolean {
  if (DERIVED.has(table)) return true;
  const sources = select.flatMap((token, index) => (isWord(token, "FROM") ? [index + 1] : []));
  const joins = select.some((token) => isWord(token, "JOIN"));
  const [source, ...more] = sources;
  if (source === undefined) return false;
  // Nothing stands beside it: `FROM telemetry, logs` reads both.
  const after = select[source + 1];
  const next = isWord(after, "FINAL") ? select[source + 2] : after;
  const isOwn = select[source]?.text === table && isWord(next, "WHERE");
  return TENANT_TABLES.includes(table) && isOwn && more.length === 0 && !joins;
}

function isDefinition(tokens: SqlToken[]): boolean {
  const words = tokens.map((token) => (token.kind === "word" ? token.text.toUpperCase() : ""));
  const start = words.slice(0, 2).join(" ");
  switch (start) {
    case "CREATE DATABASE":
      return !words.includes("ENGINE");
    case "CREATE TABLE": {
      // The engine decides where the rows live; others than these read files or networks.
      const engine = words[words.indexOf("ENGINE") + 2] ?? "";
      return words.includes("ENGINE") && /MERGETREE$/.test(engine) && !words.includes("SELECT");
    }
    case "ALTER TABLE":
      return !words.includes("FROM") && !words.includes("MOVE") && !words.includes("SELECT");
    case "EXCHANGE TABLES":
      return isPlaceTaken(tokens.slice(2));
    case "DROP TABLE":
    case "DROP DATABASE":
    case "TRUNCATE TABLE":
    case "OPTIMIZE TABLE":
    case "DELETE FROM":
      return !words.includes("SELECT");
    default:
      return false;
  }
}

/** `rollup AND rollup_next`, and nothing else. */
function isPlaceTaken([table, and, next, ...more]: readonly SqlToken[]): boolean {
  const isRollup = table?.kind === "word" && DERIVED_TABLES.includes(table.text);
  const isNext = next?.kind === "word" && next.text === `${table?.text}_next`;
  return isRollup && isWord(and, "AND") && isNext && more.length === 0;
}
