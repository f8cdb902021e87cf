import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseBoundValues, withValues } from "../../src/timeseries/bound-parameters.ts";
import { tokenizeSql } from "../../src/timeseries/sql-tokens.ts";
import { parseStatement, StatementRefused } from "../../src/timeseries/statement.ts";
import { compileTenantQuery } from "../../src/timeseries/tenant-query.ts";

describe("what the embedded engine may be asked", () => {
  it.each([
    "SELECT count() FROM telemetry WHERE tenant_id = {tenant:String} \nFORMAT JSONEachRow",
    "with 1 as one select one",
    "SELECT 'file(''/etc/passwd''); DROP TABLE x' AS text",
    "DESCRIBE TABLE telemetry",
  ])("reads: %s", (sql) => {
    expect(parseStatement(sql, "JSON").kind).toBe("read");
  });

  it("takes the format from the end of a read", () => {
    expect(parseStatement("select 1 \nFORMAT JSONEachRow")).toEqual({
      kind: "read",
      sql: "select 1 \n",
      format: "JSONEachRow",
    });
  });

  it("computes rows within the engine for the rollups only, and nothing steers how", () => {
    const derived = "INSERT INTO telemetry_1m (ts) SELECT ts FROM telemetry";
    expect(parseStatement(derived)).toEqual({ kind: "derivation", sql: derived });
    const copied = "INSERT INTO logs (ts) SELECT ts FROM logs WHERE tenant_id = 'a'";
    expect(parseStatement(copied)).toEqual({ kind: "derivation", sql: copied });
    const last = "INSERT INTO logs (ts) SELECT ts FROM logs FINAL WHERE tenant_id = 'a'";
    expect(parseStatement(last)).toEqual({ kind: "derivation", sql: last });
    for (const sql of [
      "INSERT INTO telemetry (ts) SELECT ts FROM logs",
      "INSERT INTO telemetry (ts) SELECT ts FROM telemetry, logs WHERE 1",
      "INSERT INTO telemetry (ts) SELECT ts FROM telemetry.logs WHERE 1",
      "INSERT INTO telemetry (ts) SELECT ts FROM telemetry, logs FROM logs",
      "INSERT INTO telemetry (ts) SELECT ts FROM telemetry JOIN logs USING ts",
      "INSERT INTO telemetry (ts) SELECT (SELECT max(ts) FROM logs) FROM telemetry",
      "INSERT INTO telemetry (ts) SELECT 1",
      "INSERT INTO system.telemetry_1m (ts) SELECT 1",
      "INSERT INTO telemetry_1m SELECT 1",
      `${derived} SETTINGS readonly = 0`,
      `${derived} FORMAT Native`,
      `${derived} INTO OUTFILE 'x'`,
      "INSERT INTO telemetry_1m (ts) SELECT * FROM file('x')",
      "INSERT INTO telemetry_1m (ts) SELECT 1; DROP TABLE logs",
    ]) {
      expect(() => parseStatement(sql), sql).toThrow(StatementRefused);
    }
  });

  it("gives a rollup's name and rows to the table that takes its place, and no other", () => {
    const exchanged = "EXCHANGE TABLES telemetry_1h AND telemetry_1h_next";
    expect(parseStatement(exchanged)).toEqual({ kind: "definition", sql: exchanged });
    const copied = "INSERT INTO telemetry_1h_next (ts) SELECT ts FROM telemetry_1h FINAL WHERE 1";
    expect(parseStatement(copied)).toEqual({ kind: "derivation", sql: copied });
    for (const sql of [
      "EXCHANGE TABLES telemetry AND telemetry_next",
      "EXCHANGE TABLES telemetry_1h AND telemetry_1d",
      "EXCHANGE TABLES telemetry_1h AND telemetry_1d_next",
      "EXCHANGE TABLES telemetry_1h AND other.telemetry_1h_next",
      "EXCHANGE TABLES telemetry_1h AND telemetry_1h_next SETTINGS a = 1",
      "EXCHANGE TABLES telemetry_1h, telemetry_1h_next",
      "EXCHANGE TABLES",
      "RENAME TABLE telemetry_1h TO telemetry_1h_old",
      "INSERT INTO telemetry_1h_old (ts) SELECT ts FROM telemetry_1h",
      "INSERT INTO telemetry_next (ts) SELECT ts FROM telemetry",
    ]) {
      expect(() => parseStatement(sql), sql).toThrow(StatementRefused);
    }
  });

  it("takes rows only by INSERT INTO table (columns) FORMAT", () => {
    expect(parseStatement("INSERT INTO vautn.logs (a, `b`) FORMAT Native")).toEqual({
      kind: "insert",
      table: "vautn.logs",
      columns: ["a", "b"],
      format: "Native",
    });
    for (const sql of [
      "INSERT INTO logs VALUES (1)",
      "INSERT INTO logs SELECT 1",
      "INSERT INTO FUNCTION numbers(1) FORMAT Native",
      "INSERT INTO logs (a) SETTINGS x = 1 FORMAT Native",
      "INSERT INTO `lo``gs` FORMAT Native",
      "INSERT INTO logs FORMAT Values",
    ]) {
      expect(() => parseStatement(sql), sql).toThrow(StatementRefused);
    }
  });

  it.each([
    "CREATE TABLE t (a String) ENGINE = ReplacingMergeTree ORDER BY a",
    "CREATE DATABASE IF NOT EXISTS vautn",
    "ALTER TABLE t ADD COLUMN b String",
    "DELETE FROM t WHERE tenant_id = {tenant:String}",
  ])("defines: %s", (sql) => {
    expect(parseStatement(sql).kind).toBe("definition");
  });

  it.each([
    "",
    "select 1; drop table t",
    "select file('/etc/passwd')",
    "select * from FiLe /* x */ ('/etc/passwd')",
    "select * from `file`('/etc/passwd')",
    "select * from url('http://127.0.0.1/', 'CSV')",
    "select * from remote('127.0.0.1', system.one)",
    "select * from merge('vautn', '.*')",
    "select 1 into outfile '/tmp/x'",
    "select $x$ ' $x$, file('/etc/passwd'), $x$ ' $x$",
    "select \u2018 ' \u2019, file('/etc/passwd'), \u2018 ' \u2019",
    "select 'open",
    "select 1 format PrettySpace",
    "SET readonly = 0",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "ATTACH TABLE t FROM '/x' (a String) ENGINE = Memory",
    "CREATE TABLE t (a String) ENGINE = File('CSV', '/etc/passwd')",
    "CREATE TABLE t ENGINE = MergeTree ORDER BY a AS SELECT 1 AS a",
    "CREATE DATABASE d ENGINE = PostgreSQL('h', 'd', 'u', 'p')",
    "ALTER TABLE t REPLACE PARTITION 1 FROM u",
    "CREATE USER x",
  ])("refuses: %s", (sql) => {
    expect(() => parseStatement(sql, "JSON")).toThrow(StatementRefused);
  });

  it("never takes a quoted text for more than a text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const quoted = `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
        expect(parseStatement(`select ${quoted} as x`, "JSON").kind).toBe("read");
      }),
    );
  });
});

describe("parameters", () => {
  it("are unescaped by the type that the statement declares", () => {
    const texts = new Map([
      ["a", "it\\'s\\n\\\\"],
      ["b", "['it\\'s','[]',''] "],
      ["c", "[1,2.5]"],
      ["d", "['x']"],
      ["unused", "x"],
    ]);
    const sql = "{a:String} {b:Array(String)} {c: Array(Float64)} {d:String}";
    expect(parseBoundValues(sql, texts)).toEqual({
      a: "it's\n\\",
      b: ["it's", "[]", ""],
      c: [1, 2.5],
      d: "['x']",
    });
    expect(() => parseBoundValues("{a:Array(String)}", new Map([["a", "['x'"]]))).toThrow();
    expect(() => parseBoundValues("{a:Array(String)}", new Map([["a", "['x'y]"]]))).toThrow();
  });
});

describe("values in their places", () => {
  it("are one literal each, of their type, and nowhere where the statement quotes", () => {
    const sql = "select '{a:String}', `{a:String}` -- {a:String}\n, {a:String}, { n : Int64 }";
    expect(withValues(sql, { a: "it's \\ \0", n: "5" })).toBe(
      "select '{a:String}', `{a:String}` -- {a:String}\n, 'it\\'s \\\\ \\0', CAST('5', 'Int64')",
    );
    expect(withValues("{l:Array(String)}", { l: ["a'b"] })).toBe(
      "CAST('[\\'a\\\\\\'b\\']', 'Array(String)')",
    );
    expect(withValues("{o:Nullable(Int64)}", { o: null })).toBe("CAST(NULL, 'Nullable(Int64)')");
  });

  it("are never read as statements or placeholders themselves", () => {
    expect(withValues("{a:String}{b:String}", { a: "{b:String}", b: "' or 1 --" })).toBe(
      "'{b:String}''\\' or 1 --'",
    );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const tokens = tokenizeSql(
          withValues("select {a:String}, {l:Array(String)}", { a: text, l: [text] }),
        );
        expect(tokens?.map(({ kind }) => kind)).toEqual([
          "word",
          "string",
          "symbol",
          "word",
          "symbol",
          "string",
          "symbol",
          "string",
          "symbol",
        ]);
      }),
    );
  });

  it("must be there", () => {
    expect(() => withValues("{a:String}", {})).toThrow(/456.*Substitution a is not set/);
    expect(() => withValues("{constructor:String}", {})).toThrow(/not set/);
  });
});

describe("a query of the time-series store", () => {
  const query = { table: "logs", select: "message", limit: 1 } as const;

  it("always begins with its tenant", () => {
    const { sql, params } = compileTenantQuery("acme", {
      ...query,
      where: ["1 = 1 or severity > 1"],
      params: { tenantish: 1 },
    });
    expect(sql).toContain("where (tenant_id = {tenant:String}) and (1 = 1 or severity > 1)");
    expect(params).toEqual({ tenantish: 1, tenant: "acme" });
  });

  it("cannot be built without a tenant, nor with another one", () => {
    expect(() => compileTenantQuery("", query)).toThrow(/tenant/);
    expect(() => compileTenantQuery("a' or '1", query)).toThrow(/tenant/);
    expect(() => compileTenantQuery("acme", { ...query, params: { tenant: "b" } })).toThrow();
  });

  it.each([
    "1) or (1 = 1",
    "tenant_id in (select tenant_id from logs)",
    "1 union all select 1",
    "1 -- \n) or (1",
    "'open",
    "1; drop table logs",
  ])("keeps every fragment in its place: %s", (fragment) => {
    expect(() => compileTenantQuery("acme", { ...query, where: [fragment] })).toThrow(/assertion/);
  });

  it("reads our tables alone", () => {
    const table = "system.tables" as "logs";
    expect(() => compileTenantQuery("acme", { ...query, table })).toThrow(/tables/);
  });
});
