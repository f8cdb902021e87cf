import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = path.resolve(import.meta.dirname, "../..");

const MAX_LINES = 400;

const EXPORT = /^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm;

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && fs.existsSync(path.join(ROOT, file)));

const code = files.filter(
  (file) =>
    /\.(ts|tsx|mjs)$/.test(file) && !file.includes("generated") && file !== "src/db/schema.ts",
);

const read = (file: string) => fs.readFileSync(path.join(ROOT, file), "utf8");

describe("the style guide", () => {
  it("keeps source files short", () => {
    const long = code
      .filter((file) => /^(src|web)\//.test(file))
      .map((file) => ({ file, lines: read(file).split("\n").length }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it("names files in kebab case", () => {
    const odd = code
      .filter((file) => /^(src|bench|test|tools)\//.test(file))
      .filter((file) => {
        const name = path.basename(file).replace(/(\.test|\.d|\.config)?\.(ts|tsx|mjs)$/, "");
        return !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name);
      });
    expect(odd).toEqual([]);
  });

  it("has no unfinished work, no focused tests and no debugging left over", () => {
    const marks = /\b(TODO|FIXME|XXX|HACK)\b|\b(describe|it|test)\.only\(|\bdebugger;/;
    const found = code
      .filter((file) => file !== "test/unit/tidy.test.ts")
      .filter((file) => marks.test(read(file)));
    expect(found).toEqual([]);
  });

  it("holds no private key, as nobody's secret belongs in a history that is kept for ever", () => {
    const key = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\\?[rn\s]+[A-Za-z0-9+/=]{32}/;
    expect(files.filter((file) => key.test(read(file)))).toEqual([]);
  });

  it("compares no secret with ===, which tells by its time how much of it was right", () => {
    const secret = "(?:secret|password|passphrase|hmac|signature|recoveryCode|key_?hash|token)\\w*";
    const plain = "(?:undefined|null|true|false|\\d|[\"'`])";
    const compared = new RegExp(
      `\\b[\\w.?#]*${secret} *[!=]== *(?!${plain})\\w|[\\w)\\]] *[!=]== *[\\w.?#]*\\b\\w*${secret}\\b`,
      "i",
    );
    expect(compared.test("if (given === this.#options.secret) {")).toBe(true);
    expect(compared.test("if (token !== row.expected) {")).toBe(true);
    const found = code
      .filter((file) => /^src\/(api|sign-in|tenancy|identity|device-http|gateway)\//.test(file))
      .flatMap((file) =>
        read(file)
          .split("\n")
          .filter(
            (line) => !/^\s*(\/\/|\*)/.test(line) && !/typeof \w+ ===|[!=]== [A-Z_]+\b/.test(line),
          )
          .filter((line) => compared.test(line))
          .map((line) => `${path.basename(file)}: ${line.trim()}`),
      );
    // Both come out of our own database.
    const ours = [
      "password-sign-in.ts: const isSame = account?.password_hash === usable.password_hash;",
    ];
    expect(found.filter((line) => !ours.includes(line))).toEqual([]);
  });

  it("has no file that nothing loads", () => {
    const entries = ["src/main.ts"];
    const mentions = code.map((file) => ({ file, text: read(file) }));
    const dead = code
      .filter((file) => file.startsWith("src/") && !entries.includes(file))
      .filter((file) => {
        const name = `${path.basename(file)}"`;
        return !mentions.some((other) => other.file !== file && other.text.includes(name));
      });
    expect(dead).toEqual([]);
  });

  it("exports nothing that is named nowhere else, not even in its own file", () => {
    const counts = new Map<string, number>();
    const exported: { file: string; name: string }[] = [];
    for (const file of code) {
      const text = read(file);
      for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) {
        counts.set(word, (counts.get(word) ?? 0) + 1);
      }
      if (!/^(src|web)\//.test(file)) continue;
      for (const [, name = ""] of text.matchAll(EXPORT)) exported.push({ file, name });
    }
    const dead = exported
      .filter(({ name }) => counts.get(name) === 1)
      .map(({ file, name }) => `${file}: ${name}`);
    expect(dead).toEqual([]);
  });

  it("names neither a machine's paths nor a registry's host", () => {
    const marks = /\/(work|root|home\/\w+)\/(main|shared|\.library)\b|https?:\/\/registry\./;
    const found = files
      .filter((file) => /\.(ts|tsx|mjs|json|md|yaml|yml|sql|sh)$/.test(file) || file === ".ci/run")
      .filter((file) => file !== "test/unit/tidy.test.ts")
      .filter((file) => marks.test(read(file)));
    expect(found).toEqual([]);
  });

  it("reads the environment in one place only", () => {
    const allowed = [
      /^src\/(agent\/)?main\.ts$/,
      /^src\/cli\//,
      /^src\/kernel\/config\.ts$/,
      /^src\/db\/postgres-server\.ts$/,
      /^src\/timeseries\/embedded-clickhouse\.ts$/,
      // What a process of the roles is started with.
      /^src\/platform\/supervisor\.ts$/,
    ];
    const found = code
      .filter((file) => file.startsWith("src/") && !allowed.some((pattern) => pattern.test(file)))
      .filter((file) => /process\.env\b/.test(read(file)));
    expect(found).toEqual([]);
  });
});
