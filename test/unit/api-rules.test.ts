import fc from "fast-check";
import type { RouteOptions } from "fastify";
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { assertAccessDeclared } from "../../src/api/access.ts";
import { decodeCursor, encodeCursor } from "../../src/api/cursor.ts";
import { assertReadable, momentMs, validatorCompiler } from "../../src/api/validation.ts";
import { AppError, ERROR_CATALOGUE, type ErrorCode } from "../../src/kernel/index.ts";
import { asAppError, problemOf } from "../../src/kernel/problem.ts";
import { watchAnswers } from "../support/answer-contract.ts";

const refusal = (code: ErrorCode) => expect.objectContaining({ code });
const TRACE = "0af7651916cd43dd8448eb211c80319c";

describe("problem details", () => {
  it("carry status, title, code and trace of every refusal in the catalogue", () => {
    for (const [code, { status, title }] of Object.entries(ERROR_CATALOGUE)) {
      const problem = problemOf(new AppError(code as ErrorCode, "why"), TRACE);
      expect(problem).toMatchObject({ status, title, code, detail: "why", traceId: TRACE });
    }
  });

  it("say nothing of an error that nobody expected", () => {
    const problem = problemOf(asAppError(new Error("password=hunter2 at /srv/x.ts")), TRACE);
    expect(problem.status).toBe(500);
    expect(JSON.stringify(problem)).not.toMatch(/hunter2|srv/);
  });

  it("name the fields that a module refused", () => {
    const error = new AppError("invalid-content", "no", { errors: [{ field: "a", message: "b" }] });
    expect(problemOf(error, TRACE).errors).toEqual([{ path: "a", message: "b" }]);
  });
});

describe("cursors", () => {
  it("come back as they were made", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (position) => {
        expect(decodeCursor("list", encodeCursor("list", position))).toBe(position);
      }),
    );
  });

  it("of another list, and whatever is none, are refused", () => {
    expect(() => decodeCursor("list", encodeCursor("other", "1"))).toThrow(
      refusal("invalid-cursor"),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeCursor("list", text)).toThrow(refusal("invalid-cursor"));
      }),
    );
  });
});

describe("validation", () => {
  const schema = Type.Object(
    { count: Type.Optional(Type.Integer({ default: 5 })), on: Type.Optional(Type.Boolean()) },
    { additionalProperties: false },
  );
  const check = (httpPart: string, value: unknown) =>
    validatorCompiler({ schema, method: "GET", url: "/", httpPart })(value) as {
      value?: unknown;
      error?: unknown;
    };

  it("leaves a body as it is and converts nothing in it", () => {
    for (const count of [null, "12", true, 1.5]) {
      expect(check("body", { count }).error, String(count)).toBeDefined();
    }
    expect(JSON.stringify(check("body", { extra: 1 }).error)).toContain(
      'must not have \\"extra\\"',
    );
    expect(check("body", {})).toEqual({ value: {} });
  });

  it("reads numbers and booleans from a query only where the text is exactly one", () => {
    expect(check("querystring", { count: "12", on: "true" })).toEqual({
      value: { count: 12, on: true },
    });
    expect(check("querystring", {})).toEqual({ value: { count: 5 } });
    for (const count of ["", " 1", "1.5", "0x10", "1e3", "abc"]) {
      expect(check("querystring", { count }).error, count).toBeDefined();
    }
    expect(check("querystring", { on: "1" }).error).toBeDefined();
    expect(check("querystring", { unknown: "1" }).error).toBeDefined();
  });

  it("refuses what is nested too deeply", () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(() => assertReadable(nested(16))).not.toThrow();
    expect(() => assertReadable(nested(17))).toThrow(refusal("invalid-request"));
  });

  it.each(["\0", "a\0b", "\ud800", { "\0": 1 }, { a: ["\udc00x"] }])(
    "refuses text that no store can hold: %j",
    (value) => {
      expect(() => assertReadable(value)).toThrow(refusal("invalid-request"));
      expect(() => assertReadable({ a: "\u{1f600}\n" })).not.toThrow();
    },
  );

  it("reads moments in milliseconds and in ISO 8601", () => {
    expect(momentMs("1700000000000")).toBe(1_700_000_000_000);
    expect(momentMs("2026-01-01T00:00:00+01:00")).toBe(Date.UTC(2025, 11, 31, 23));
    expect(momentMs(undefined)).toBeUndefined();
    expect(() => momentMs("2026-13-99")).toThrow(refusal("invalid-request"));
  });
});

describe("a route", () => {
  const route = (method: string, url: string, config?: object) => () =>
    assertAccessDeclared({ method, url, config } as unknown as RouteOptions);

  it("does not start without saying who may call it", () => {
    expect(route("GET", "/x")).toThrow(/declares no access/);
    expect(route("GET", "/x", { access: "everything" })).toThrow(/unknown access/);
    expect(route("GET", "/x", { access: "public" })).not.toThrow();
  });

  it("names a permission when, and only when, its path names a tenant", () => {
    expect(route("GET", "/tenants/:tenant/x", { access: "signed-in" })).toThrow(/no permission/);
    expect(route("GET", "/x", { access: "devices.read" })).toThrow(/no tenant/);
    expect(route("GET", "/tenants/:tenant/x", { access: "devices.read" })).not.toThrow();
  });

  it("that writes has a name in the audit log", () => {
    const access = "devices.write";
    expect(route("POST", "/tenants/:tenant/x", { access })).toThrow(/audit log/);
    expect(route("POST", "/tenants/:tenant/x", { access, action: "x.make" })).not.toThrow();
  });
});

describe("the watch over answers", () => {
  it("tells of a field that the schema does not name, of one that is missing, and of nothing else", () => {
    const schema = Type.Object({ items: Type.Array(Type.Object({ id: Type.String() })) });
    const answer = (body: unknown) => {
      const watch = watchAnswers();
      const route = { schema, method: "GET", url: "/things", httpStatus: "200" };
      expect(watch.serializerCompiler(route)(body)).toBe(JSON.stringify(body));
      return watch.close;
    };
    expect(answer({ items: [{ id: "a" }] })).not.toThrow();
    expect(answer({ items: [{ id: "a", more: 1 }] })).toThrow("GET /things 200: /items/0");
    expect(answer({ items: [{}] })).toThrow("GET /things 200: /items/0");
  });
});
