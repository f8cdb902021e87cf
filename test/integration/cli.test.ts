import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { Compile } from "typebox/compile";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { runCli } from "../../src/cli/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const actions = { up: async () => 0, demo: async () => 0 };

interface Result {
  status: number;
  out: string;
  err: string;
}

describe("the command line", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-cli-"));
  const file = (name: string) => path.join(directory, name);
  let test: TestApi;
  let url: string;
  beforeAll(async () => {
    test = await startTestApi();
    url = await test.listen();
  });
  afterAll(async () => {
    await test.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  async function run(argv: string[], options: { input?: string; env?: object } = {}) {
    const result: Result = { status: -1, out: "", err: "" };
    result.status = await runCli(argv, actions, {
      out: (text) => {
        result.out += text;
      },
      err: (text) => {
        result.err += text;
      },
      input: Readable.from([Buffer.from(options.input ?? "")]),
      isInteractive: false,
      columns: undefined,
      environment: { XDG_CONFIG_HOME: directory, VAUTN_TENANT: "acme", ...options.env },
      interrupted: new AbortController().signal,
    });
    return result;
  }

  /** Runs a command that must succeed; its JSON. */
  async function json(...argv: string[]) {
    const result = await run([...argv, "--json"]);
    expect(result.status, result.err).toBe(0);
    return JSON.parse(result.out);
  }

  it("asks to sign in before it can do anything, as misuse", async () => {
    const { status, err } = await run(["device", "list"]);
    expect(status).toBe(2);
    expect(err).toContain("vautn login URL");
  });

  it("signs in with a password, keeps a key that only the user can read, and no password", async () => {
    const login = await run(["login", url, "--email", "admin@example.com", "--password-stdin"], {
      input: `${PASSWORD}\n`,
    });
    expect(login.status, login.err).toBe(0);
    const context = file("vautn/context.json");
    expect(fs.statSync(context).mode & 0o777).toBe(0o600);
    expect(fs.readFileSync(context, "utf8")).not.toContain(PASSWORD);
    expect((await json("whoami")).actor.name).toBe("admin@example.com");
  });

  it("says what is wrong with a wrong password, with code and trace", async () => {
    const { status, err } = await run(
      ["login", url, "--email", "admin@example.com", "--password-stdin"],
      { input: "wrong", env: { XDG_CONFIG_HOME: file("other") } },
    );
    expect(status).toBe(1);
    expect(err).toMatch(/code: invalid-credentials {2}trace: [0-9a-f]{32}/);
  });

  it("exits 2 where it is used wrongly, and 1 where the platform refuses", async () => {
    const misused = [["nonsense"], ["device"], ["device", "show"], ["device", "list", "--limit=x"]];
    for (const argv of misused) expect((await run(argv)).status, argv.join(" ")).toBe(2);
    const refused = await run(["device", "show", "nobody"]);
    expect([refused.status, refused.out]).toEqual([1, ""]);
    expect(refused.err).toContain("code: not-found");
    const query = await run(["device", "list", "-q", "product = "]);
    expect([query.status, query.err.includes("invalid-query")]).toEqual([1, true]);
  });

  it("exits 1 with a next step where nobody answers", async () => {
    const { status, err } = await run(["whoami"], { env: { VAUTN_URL: "http://127.0.0.1:9" } });
    expect(status).toBe(1);
    expect(err).toMatch(/does not answer[\s\S]*next: start the platform/);
  });

  it("shows help with an example for every command, and exits 0", async () => {
    const visited: string[][] = [];
    const visit = async (argv: string[]): Promise<void> => {
      const { status, out } = await run([...argv, "--help"]);
      expect(status, argv.join(" ")).toBe(0);
      expect(out, argv.join(" ")).toMatch(/Example:\n {2}\S*vautn |Example:\n {2}VAUTN/);
      visited.push(argv);
      const lists = out.slice(out.indexOf("-h, --help")).replace(/\nExample:[\s\S]*/, "");
      for (const [, name] of lists.matchAll(/^ {2}([a-z-]+)/gm)) {
        if (name && name !== "help") await visit([...argv, name]);
      }
    };
    await visit([]);
    expect(visited.length).toBeGreaterThan(200);
  });

  it("answers help for a command below a command, and says which it does not know", async () => {
    const asked = await run(["help", "device", "list"]);
    expect([asked.status, asked.err]).toEqual([0, ""]);
    expect(asked.out).toContain("Usage: vautn device list");
    expect(await run(["help"])).toMatchObject({ status: 0, err: "" });
    expect(await run(["device", "help"])).toMatchObject({ status: 0, err: "" });
    const unknown = await run(["help", "device", "lst"]);
    expect([unknown.status, unknown.out]).toEqual([2, ""]);
    expect(unknown.err).toMatch(/device has no command "lst"\n {2}next: see vautn device --help/);
    expect((await run(["device", "lst"])).err).toMatch(/^vautn: unknown command 'lst'/);
  });

  it("says what to do next where a list is empty", async () => {
    for (const [argv, next] of [
      [["device", "list"], "vautn device enroll"],
      [["firmware", "list"], "vautn firmware build"],
      [["rollout", "list"], "vautn rollout plan"],
      [["command", "list"], "vautn command send"],
    ] as const) {
      const { status, out } = await run([...argv]);
      expect([status, out.includes(`Next: ${next}`)], out).toEqual([0, true]);
    }
  });

  it("goes from keys and an image to a rollout, without the platform ever seeing a key", async () => {
    const image = file("hub.bin");
    fs.writeFileSync(image, randomBytes(20_000));
    const { keyId } = await json("firmware", "keygen", file("release.key"));
    expect(fs.statSync(file("release.key")).mode & 0o777).toBe(0o600);
    await json("firmware", "root", "--key", file("release.key"), "--out", file("root.json"));
    const enrolled = await json(
      ...["device", "enroll", "hub-1", "--product", "hub", "--hardware", "a"],
      ...["--tag", "site=berlin", "--out", file("hub-1")],
    );
    expect(enrolled.certificate.serial).toMatch(/^[0-9a-f]+$/);
    expect(fs.readdirSync(file("hub-1")).sort()).toEqual([
      "agent.json",
      "certificate.pem",
      "device.json",
      "key.pem",
      "root.pem",
      "trust-root.json",
    ]);
    expect(fs.statSync(file("hub-1/key.pem")).mode & 0o777).toBe(0o600);

    const built = await json(
      ...["firmware", "build", image, "--product", "hub", "--version", "1.1.0", "--hardware", "a"],
    );
    const publish = ["firmware", "publish", built.file, "--image", image];
    const unsigned = await run(publish);
    expect([unsigned.status, unsigned.err.includes("signature-invalid")]).toEqual([1, true]);
    const signed = await json("firmware", "sign", built.file, "--key", file("release.key"));
    expect(signed.signers).toEqual([keyId]);
    const verdict = await json("firmware", "verify", built.file, "--image", image);
    expect(verdict.accepted).toBe(true);
    const release = await json(...publish);
    expect(release).toMatchObject({ version: "1.1.0", signers: [keyId] });

    const plan = await json("rollout", "plan", "--release", "hub@1.1.0");
    expect(plan.totalDevices).toBe(1);
    fs.writeFileSync(file("rollout.yaml"), 'name: first\nrelease: 1.1.0\nquery: product = "hub"\n');
    const asked = await run(["rollout", "create", "-f", file("rollout.yaml"), "--dry-run"]);
    expect([asked.status, asked.out.includes("hub-1")], asked.err).toEqual([0, true]);
    expect((await json("rollout", "list")).items).toEqual([]);
    const rollout = await json("rollout", "create", "-f", file("rollout.yaml"));
    expect(rollout).toMatchObject({ name: "first", release: { version: "1.1.0" } });

    // What runs, as a file: it meets the published schema, and differs in nothing from what runs.
    const exported = await run(["rollout", "export", "first"]);
    fs.writeFileSync(file("exported.yaml"), exported.out);
    const schema = JSON.parse((await run(["rollout", "schema"])).out);
    const accepts = Compile(schema);
    expect(accepts.Errors(parse(exported.out))).toEqual([]);
    const same = await run(["rollout", "diff", "first", "-f", file("exported.yaml")]);
    expect([same.status, same.out], same.err).toEqual([0, "No difference.\n"]);
    const changed = exported.out.replace("alpha: 0.02", "alpha: 0.01");
    fs.writeFileSync(file("changed.yaml"), changed);
    const differs = await run(["rollout", "diff", "first", "-f", file("changed.yaml"), "--json"]);
    expect([differs.status, JSON.parse(differs.out)]).toEqual([
      1,
      [{ path: "policy.alpha", running: 0.02, wanted: 0.01 }],
    ]);
    const bad = 'release: hub@1.1.0\npolicy:\n  alpha: "much"\n  stages: []\n';
    expect(accepts.Check(parse(bad))).toBe(false);
    fs.writeFileSync(file("bad.yaml"), bad);
    const refused = await run(["rollout", "create", "-f", file("bad.yaml")]);
    expect(refused.status).toBe(2);
    expect(refused.err).toContain("/policy/alpha must be number");
    expect(refused.err).toContain("/policy/stages must not have fewer than 1 items");
    const status = await run(["rollout", "status", "first"]);
    expect(status.out).toContain("hub@1.1.0");
    const watching = run(["rollout", "watch", "first"]);
    const cancelled = await run(["rollout", "cancel", "first", "--yes", "--reason", "enough"]);
    expect(cancelled.status, cancelled.err).toBe(0);
    const watched = await watching;
    expect([watched.status, watched.err.includes("cancelled")]).toEqual([1, true]);
  });

  it("refuses an image that is not the one that the manifest names", async () => {
    fs.writeFileSync(file("other.bin"), randomBytes(20_000));
    const argv = ["firmware", "build", file("other.bin"), "--product", "hub", "--hardware", "a"];
    const built = await json(...argv, "--version", "1.2.0");
    await json("firmware", "sign", built.file, "--key", file("release.key"));
    const wrong = await run(["firmware", "publish", built.file, "--image", file("hub.bin")]);
    expect([wrong.status, wrong.err.includes("image-mismatch")]).toEqual([1, true]);
    const verified = await run(["firmware", "verify", built.file, "--image", file("hub.bin")]);
    expect(verified.status).toBe(1);
  });

  it("sends commands with a trace to look at, and calls back what still waits", async () => {
    const sent = await run(["command", "send", "ping", "--device", "hub-1"]);
    expect(sent.status, sent.err).toBe(0);
    expect(sent.err).toMatch(/Next: vautn command watch \S+, or vautn trace [0-9a-f]{32}/);
    const { items } = await json("command", "list", "--device", "hub-1");
    expect(items[0]).toMatchObject({ name: "ping", status: "queued" });
    expect((await json("command", "cancel", items[0].id)).status).toBe("cancelled");
    expect((await run(["command", "send", "ping"])).status).toBe(2);
  });

  it("calls back all that waits for a device, and says where nothing does", async () => {
    for (const n of [1, 2, 3]) {
      await json("command", "send", "ping", "--device", "hub-1", "--args", `{"n":${n}}`);
    }
    const { items } = await json("command", "cancel", "--device", "hub-1");
    expect(items.map((one: { args: unknown }) => one.args)).toEqual([{ n: 3 }, { n: 2 }, { n: 1 }]);
    expect(new Set(items.map((one: { status: string }) => one.status))).toEqual(
      new Set(["cancelled"]),
    );
    const again = await run(["command", "cancel", "--device", "hub-1"]);
    expect([again.status, again.out]).toEqual([0, expect.stringContaining("Nothing waits")]);
    expect((await run(["command", "cancel"])).status).toBe(2);
    expect((await run(["command", "cancel", "x", "--device", "hub-1"])).status).toBe(2);
  });

  it("sends a command to many at a pace, and shows, steers and follows the batch", async () => {
    const order = ["send", "ping", "--query", "", "--batch-size", "1", "--interval", "3600"];
    const policies = ["--priority", "5", "--key", "k", "--attempts", "2", "--run-within", "9"];
    const sent = await json("command", ...order, ...policies);
    const { id, devices } = sent.batch;
    expect(sent.batch.counts).toMatchObject({ queued: 1, waiting: devices - 1 });
    const { items } = await json("command", "devices", id, "--status", "queued");
    expect(items).toMatchObject([{ priority: 5, coalesceKey: "k", maxAttempts: 2 }]);
    expect((await json("command", "batches")).items[0].id).toBe(id);
    expect((await json("command", "pause", id)).state).toBe("paused");
    expect((await run(["command", "show", id])).out).toMatch(
      /paused[\s\S]*░+ 0\/\d+[\s\S]*waiting/,
    );
    expect((await json("command", "resume", id)).state).toBe("running");
    expect((await run(["command", "show", items[0].id])).out).toContain("attempt");
    expect((await json("command", "cancel", id)).state).toBe("cancelled");
    const watched = await run(["command", "watch", id]);
    expect([watched.status, watched.out]).toEqual([1, expect.stringContaining("cancelled")]);
    expect((await run(["command", "send", "ping", "-d", "x", "--group", "y"])).status).toBe(2);
  });

  it("tags, shows and revokes a device, and asks before what cannot be undone", async () => {
    await json("device", "tag", "hub-1", "--set", "floor=2", "--unset", "site");
    const shown = await json("device", "show", "hub-1");
    expect(shown.tags).toEqual({ floor: "2" });
    expect(shown.certificates).toHaveLength(1);
    const revoke = ["device", "revoke", "hub-1", "--reason", "stolen"];
    expect((await run(revoke)).status).toBe(2);
    expect((await run([...revoke, "--yes"])).status).toBe(0);
    expect((await json("device", "show", "hub-1")).status).toBe("revoked");
  });

  it("makes tenants, people and keys, and proves the audit log", async () => {
    await json("tenant", "create", "initech", "--name", "Initech");
    const unknown = await run(["key", "create", "ci", "--role", "boss"]);
    expect(unknown.err).toContain(
      "role: is none of the tenant's roles: viewer, operator, fleet-eng",
    );
    const created = await json("key", "create", "ci", "--role", "viewer");
    const asViewer = { VAUTN_API_KEY: created.key };
    const refused = await run(["group", "create", "x", "-q", "online"], { env: asViewer });
    expect([refused.status, refused.err.includes("code: forbidden")]).toEqual([1, true]);
    const log = await json("audit", "list", "--outcome", "refused");
    expect(log.items[0]).toMatchObject({ action: "group.create", actor: { name: "ci" } });
    expect(await json("audit", "verify")).toMatchObject({ intact: true });
    const kept = file("audit-end.json");
    await json("audit", "verify", "--save", kept);
    expect(await json("audit", "verify", "--against", kept)).toMatchObject({ intact: true });
    const other = { ...JSON.parse(fs.readFileSync(kept, "utf8")), hash: "0".repeat(64) };
    fs.writeFileSync(kept, JSON.stringify(other));
    const broken = await run(["audit", "verify", "--against", kept]);
    expect([broken.status, broken.out]).toEqual([1, expect.stringContaining("checkpoint")]);
    fs.writeFileSync(kept, JSON.stringify({ ...other, log: "globex" }));
    expect((await run(["audit", "verify", "--against", kept])).status).toBe(2);
    await run(["key", "revoke", created.id]);
    expect((await run(["device", "list"], { env: asViewer })).err).toContain("unauthenticated");
  });

  it("exports the audit log as lines of JSON and as a table that a spreadsheet takes as text", async () => {
    await json("key", "create", '=HYPERLINK("http://x","y")', "--role", "viewer");
    await json("audit", "list");
    const { items } = await json("audit", "list", "--limit", "100000");
    const lines = (await run(["audit", "export"])).out.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).hash)).toEqual(
      items.map(({ hash }: { hash: string }) => hash),
    );
    const table = file("audit.csv");
    const { status, err } = await run(["audit", "export", "--format", "csv", "--out", table]);
    expect([status, err]).toEqual([0, expect.stringContaining(`${items.length} entries`)]);
    const rows = fs.readFileSync(table, "utf8").split("\r\n");
    expect(rows[0]).toMatch(/^seq,at,actorKind/);
    expect(rows).toHaveLength(items.length + 2);
    expect(rows.join("\n")).not.toMatch(/(^|,)"?[=+@]/m);
    const none = await run(["audit", "export", "--to", "2001-01-01"]);
    expect([none.status, none.out]).toEqual([0, ""]);
    expect((await run(["audit", "export", "--format", "xml"])).status).toBe(2);
    expect((await run(["audit", "list", "--from", "yesterday"])).status).toBe(2);
  });

  it("proves an exported audit log without the platform, by what the platform has signed", async () => {
    await json("audit", "list");
    await test.modules.auditCheckpoints.sign("acme");
    await json("key", "create", "later", "--role", "viewer");
    const [log, signed] = [file("audit.jsonl"), file("checkpoints.json")];
    await run(["audit", "export", "--out", log]);
    await run(["audit", "checkpoints", "--out", signed]);
    const { key } = JSON.parse(fs.readFileSync(signed, "utf8"));
    const away = { env: { VAUTN_URL: "http://127.0.0.1:1" } };
    const prove = async (more: string[] = []) => {
      const argv = ["audit", "verify", "--export", log, "--checkpoints", signed, ...more, "--json"];
      const { status, out, err } = await run(argv, away);
      return { status, err, proof: out === "" ? null : JSON.parse(out) };
    };
    const sound = await prove(["--key", key.keyval.public]);
    expect(sound.proof, sound.err).toMatchObject({ intact: true, from: 1 });
    expect(sound.proof.entries - sound.proof.signedUpTo).toBe(1);
    expect((await prove(["--key", "0".repeat(64)])).err).toContain("another key");
    expect((await prove(["--tenant", "globex"])).err).toContain("of another log");

    const lines = fs.readFileSync(log, "utf8").trim().split("\n");
    fs.writeFileSync(log, lines.slice(0, 4).join("\n"));
    expect((await prove()).proof).toMatchObject({ intact: true, entries: 4 });
    fs.writeFileSync(log, [...lines.slice(0, 2), ...lines.slice(3)].join("\n"));
    expect((await prove()).proof).toMatchObject({ intact: false, reason: "missing" });
    fs.writeFileSync(log, lines.join("\n").replace("key.create", "key.crest"));
    expect(await prove()).toMatchObject({ status: 1, proof: { reason: "altered" } });
    fs.writeFileSync(log, "{}\n");
    expect((await prove()).status).toBe(2);
  });

  it("finds log lines, follows traces and reads telemetry of a device", async () => {
    const peer = { tenantId: "acme", deviceId: "hub-1" };
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const now = Date.now();
    const line = {
      ts: now,
      seq: 1,
      level: "warn",
      message: "checksum differs \u001b[2Jgone",
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    };
    await test.modules.logs.ingestDeviceLogs(peer, [line], now);
    const sample = { ts: now, seq: 1, values: { temperature: 21.5 } };
    await test.modules.telemetry.ingestTelemetry(peer, sample, now);
    const found = await run(["logs", "checksum", "--level", "warn", "--device", "hub-1"]);
    expect(found.out).toContain("hub-1  checksum differs");
    expect(found.out, "escape sequences reach the terminal").not.toContain("\u001b");
    expect((await run(["trace", traceId])).out).toContain("hub-1 warn: checksum differs");
    const latest = await json("telemetry", "query", "hub-1");
    expect(latest.items).toMatchObject([{ metric: "temperature", value: 21.5 }]);
    const series = await json("telemetry", "query", "hub-1", "temperature", "--since", "1h");
    expect(series.points).toMatchObject([{ mean: 21.5, count: 1 }]);
  });

  it("makes a patch, proves it and applies it", async () => {
    const old = randomBytes(100_000);
    const target = Buffer.concat([
      old.subarray(0, 50_000),
      Buffer.from("new"),
      old.subarray(50_000),
    ]);
    fs.writeFileSync(file("old.bin"), old);
    fs.writeFileSync(file("new.bin"), target);
    const made = await json(
      ...["delta", "create", file("old.bin"), file("new.bin"), file("p.patch")],
    );
    expect(made).toMatchObject({ verified: true, targetSizeBytes: target.length });
    expect(made.sizeBytes).toBeLessThan(200);
    expect(made.formats.map((tried: { format: string }) => tried.format).sort()).toEqual([
      ...["vdelta-fast", "vdelta-small", "zstd-patch"],
    ]);
    await json(
      ...["delta", "create", file("old.bin"), file("new.bin"), file("small.patch")],
      ...["--format", "vdelta-small", "--memory", "65536"],
    );
    expect(await json("delta", "info", file("small.patch"))).toMatchObject({
      formats: ["vdelta-small"],
      targetSizeBytes: target.length,
      vdelta: { sourceSizeBytes: old.length, profile: "64K", spaces: 0 },
    });
    for (const patch of [file("p.patch"), file("small.patch")]) {
      await json("delta", "apply", file("old.bin"), patch, file("rebuilt.bin"));
      expect(fs.readFileSync(file("rebuilt.bin")).equals(target)).toBe(true);
    }
    fs.writeFileSync(file("bad.patch"), fs.readFileSync(file("p.patch")).subarray(0, -4));
    const bad = await run(["delta", "apply", file("old.bin"), file("bad.patch"), file("x.bin")]);
    expect([bad.status, bad.err.includes("delta-invalid")]).toEqual([1, true]);
    expect(fs.existsSync(file("x.bin"))).toBe(false);
  });

  it("scores rows of standard input, one score a row", async () => {
    const rows = Array.from({ length: 50 }, (_, index) => `${index * 300},${20 + (index % 3)}`);
    const { status, out } = await run(["detect"], {
      input: `timestamp,value\n${rows.join("\n")}\n`,
    });
    const scores = out.trim().split("\n").map(Number);
    expect([status, scores.length]).toEqual([0, 50]);
    for (const score of scores) expect(score >= 0 && score <= 1).toBe(true);
    const broken = await run(["detect", "--period", "60"], { input: "1,2\n2,3\n3,x\n" });
    expect([broken.status, broken.out.trim().split("\n").length]).toEqual([1, 2]);
    expect(broken.err).toContain('line 3: the value "x" is no number');
    expect(await run(["detect"], { input: "" })).toMatchObject({ status: 0, out: "" });
    expect((await run(["detect", "--period", "0"], { input: "1,2\n" })).status).toBe(2);
  });

  it("names every wrong setting at once and masks secrets", async () => {
    const wrong = await run(["config"], { env: { VAUTN_API_PORT: "x", VAUTN_ROLES: "y" } });
    expect(wrong.status).toBe(2);
    expect(wrong.err).toMatch(/VAUTN_ROLES[\s\S]*VAUTN_API_PORT|VAUTN_API_PORT[\s\S]*VAUTN_ROLES/);
    const env = { DATABASE_URL: "postgres://u:hunter2@db/x", VAUTN_MASTER_KEY: "0".repeat(64) };
    const shown = await run(["config"], { env });
    expect(shown.out).not.toMatch(/hunter2|0{64}/);
  });

  it("hands up and demo to the program with their options", async () => {
    const seen: unknown[] = [];
    const io = {
      out() {},
      err() {},
      input: Readable.from([]),
      isInteractive: false,
      columns: undefined,
      environment: {},
      interrupted: new AbortController().signal,
    };
    const recording = {
      up: async (options: object) => seen.push(options) + 6,
      demo: async (options: object) => seen.push(options),
    };
    expect(await runCli(["up", "--data", "/d", "--demo", "5"], recording, io)).toBe(7);
    await runCli(["demo", "--once", "--devices", "40"], recording, io);
    expect(seen).toEqual([
      { data: "/d", demo: 5, fleet: true },
      { once: true, devices: 40 },
    ]);
  });

  it("works as a program, with the same exit statuses", async () => {
    const spawned = await new Promise<Result>((resolve) => {
      const argv = [path.join(ROOT, "src/main.ts"), "device", "list", "--json"];
      const env = { ...process.env, XDG_CONFIG_HOME: directory, VAUTN_TENANT: "acme" };
      execFile(process.execPath, argv, { env }, (error, out, err) => {
        resolve({ status: error ? Number(error.code) : 0, out, err });
      });
    });
    expect(spawned.status, spawned.err).toBe(0);
    expect(JSON.parse(spawned.out).items).toHaveLength(1);
  });
});
