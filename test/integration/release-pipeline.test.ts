import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { type OidcServer, startOidcServer } from "../support/oidc-server.ts";
import { readGithubWorkflow, readGitlabPipeline } from "../support/pipeline-template.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const template = (name: string) => fs.readFileSync(path.join(ROOT, "deploy/ci", name), "utf8");
const actions = { up: async () => 0, demo: async () => 0 };
const PASSPHRASE = "correct horse battery staple";

/** Releases made as people and pipelines make them: by the program itself, in processes of its own. */
describe("a release's way from files to a rollout", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-pipeline-"));
  const file = (...names: string[]) => path.join(directory, ...names);
  let idp: OidcServer;
  let test: TestApi;
  let url: string;

  beforeAll(async () => {
    idp = await startOidcServer({ redirectUris: [] });
    test = await startTestApi({}, {}, { privateIssuers: [idp.issuer] });
    url = await test.listen();
    fs.mkdirSync(file("bin"));
    const start = `exec ${JSON.stringify(process.execPath)} ${JSON.stringify(path.join(ROOT, "bin/vautn.mjs"))} "$@"`;
    fs.writeFileSync(file("bin/vautn"), `#!/bin/sh\n${start}\n`, { mode: 0o755 });
    // What is fetched from a registry is not what is looked at here.
    fs.writeFileSync(file("bin/npm"), '#!/bin/sh\necho "npm $*"\n', { mode: 0o755 });
    await ceremony();
  });
  afterAll(async () => {
    await test.close();
    await idp.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const environment = () => ({
    PATH: `${file("bin")}:${process.env.PATH}`,
    HOME: directory,
    XDG_CONFIG_HOME: file("config"),
    VAUTN_URL: url,
    VAUTN_TENANT: "acme",
    VAUTN_API_KEY: test.acme,
    RELEASE_PASSPHRASE: PASSPHRASE,
    BOB_PASSPHRASE: PASSPHRASE,
  });

  async function shell(script: string, more: Record<string, string> = {}, cwd = directory) {
    const child = spawn("bash", ["-c", script], { cwd, env: { ...environment(), ...more } });
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      err += chunk;
    });
    const [status] = (await once(child, "close")) as [number];
    return { status, out, err };
  }
  async function must(script: string, more: Record<string, string> = {}, cwd = directory) {
    const { status, out, err } = await shell(script, more, cwd);
    expect(status, `${script}\n${out}\n${err}`).toBe(0);
    return out;
  }

  /** A command in this process, for what a pipeline does not run: quicker by far. */
  async function cli(...argv: string[]) {
    const result = { status: -1, out: "", err: "" };
    result.status = await runCli(argv, actions, {
      out: (text) => {
        result.out += text;
      },
      err: (text) => {
        result.err += text;
      },
      input: Readable.from([]),
      isInteractive: false,
      columns: undefined,
      environment: environment(),
      interrupted: new AbortController().signal,
    });
    return result;
  }
  async function ok(...argv: string[]): Promise<string> {
    const { status, out, err } = await cli(...argv);
    expect(status, `${argv.join(" ")}\n${err}`).toBe(0);
    return out;
  }
  const firmware = (...argv: string[]) => ok("firmware", ...argv);
  const CI = () => ["--key", file("ci.key"), "--passphrase-env", "RELEASE_PASSPHRASE"];
  const BOB = () => ["--key", file("bob.key"), "--passphrase-env", "BOB_PASSPHRASE"];
  const FOR_HUB = ["--product", "hub", "--hardware", "a"];

  /** Two release keys, both needed: one for the pipeline, one for Bob. A device that is a canary. */
  async function ceremony(): Promise<void> {
    await firmware("keygen", file("root.key"));
    await firmware("keygen", file("ci.key"), "--passphrase-env", "RELEASE_PASSPHRASE");
    const p256 = ["--scheme", "p256", "--passphrase-env", "BOB_PASSPHRASE"];
    await firmware("keygen", file("bob.key"), ...p256);
    const keys = ["--root-key", file("root.key.pub"), "--sign", file("root.key")];
    const release = ["ci.key.pub", "bob.key.pub"].flatMap((name) => ["--release-key", file(name)]);
    const way = ["--release-threshold", "2", "--out", file("root.json"), "--upload"];
    await firmware("root", "create", ...keys, ...release, ...way);
    const device = ["--tag", "ring=canary", "--out", file("hub-1")];
    await ok("device", "enroll", "hub-1", ...FOR_HUB, ...device);
  }

  /** A repository as the templates expect it, at a tag. */
  async function repository(name: string, tag: string): Promise<string> {
    const folder = file(name);
    fs.mkdirSync(path.join(folder, "signatures"), { recursive: true });
    fs.writeFileSync(path.join(folder, "CHANGELOG.md"), `# ${tag}\n\n- The radio is louder.\n`);
    fs.writeFileSync(path.join(folder, "source"), randomBytes(30_000));
    fs.writeFileSync(path.join(folder, "Makefile"), "image:\n\tcp source image.bin\n");
    await must(
      `git init -q && git add . && git -c user.name=t -c user.email=t@example.com commit -qm made`,
      {},
      folder,
    );
    return folder;
  }

  const published = async (version: string) => {
    const { body } = await test.call("GET", "/tenants/acme/releases?product=hub");
    return body.items.find((release: { version: string }) => release.version === version);
  };

  /** The job stops until the second signature is there, and then goes through to its rollout. */
  async function runTwice(
    folder: string,
    version: string,
    script: string,
    envOf: () => Promise<Record<string, string>>,
  ) {
    const first = await shell(script, await envOf(), folder);
    expect(first.status, first.out + first.err).not.toBe(0);
    expect(first.err).toContain("signatures are missing");
    expect(await published(version)).toBeUndefined();
    // Bob signs what the stopped job has left and commits that days later; the job builds it anew,
    // and it is the same.
    const signature = path.join(folder, "signatures/bob.json");
    await firmware("sign", path.join(folder, "release.json"), ...BOB(), "--detached", signature);
    fs.rmSync(path.join(folder, "release.json"));
    const later = { GIT_COMMITTER_DATE: new Date(Date.now() + 3 * 86_400_000).toISOString() };
    const author = "git -c user.name=bob -c user.email=bob@example.com";
    await must(`git add signatures && ${author} commit -qm signed`, later, folder);
    await must(script, await envOf(), folder);
    const release = await published(version);
    expect(release).toMatchObject({ channel: "dev", notes: expect.stringContaining("louder") });
    expect(release.signers).toHaveLength(2);
    const { body } = await test.call("GET", "/tenants/acme/rollouts");
    const rollout = body.items.find((each: { releaseId: string }) => each.releaseId === release.id);
    expect(rollout).toMatchObject({ query: "tags.ring = canary", totals: { devices: 1 } });
    await ok("rollout", "cancel", rollout.id, "--yes");
  }

  it("is the template for GitHub, step by step", async () => {
    const folder = await repository("github", "2.0.0");
    const values = {
      VAUTN_URL: url,
      VAUTN_TENANT: "acme",
      VAUTN_PRODUCT: "hub",
      VAUTN_HARDWARE: "a",
      VAUTN_PACKAGE: "vautn.tgz",
      VAUTN_API_KEY: test.acme,
      VAUTN_SERVICE_ACCOUNT: "",
      VAUTN_RELEASE_KEY: fs.readFileSync(file("ci.key"), "utf8"),
      VAUTN_RELEASE_PASSPHRASE: PASSPHRASE,
    };
    const [job] = readGithubWorkflow(template("github.yml"), values);
    const env = { ...job?.environment, GITHUB_REF_NAME: "v2.0.0", VAUTN_API_KEY: "" };
    await runTwice(folder, "2.0.0", job?.steps.join(" &&\n") ?? "", async () => env);
    expect(fs.existsSync(path.join(folder, "release.key"))).toBe(false);
  });

  it("is the template for GitLab, step by step, with its own token in place of a key", async () => {
    const [audience, project_path] = ["https://vautn.example", "acme/firmware"];
    const conditions = [{ claim: "project_path", value: project_path }];
    const account = { name: "release", role: "fleet-engineer", conditions };
    const body = { ...account, issuer: idp.issuer, audience };
    const made = await test.call("POST", "/tenants/acme/service-accounts", { body });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    const folder = await repository("gitlab", "3.0.0");
    const jobs = readGitlabPipeline(template("gitlab.yml"));
    expect(jobs).toHaveLength(2);
    const env = {
      CI_COMMIT_TAG: "v3.0.0",
      VAUTN_PRODUCT: "hub",
      VAUTN_HARDWARE: "a",
      VAUTN_PACKAGE: "vautn.tgz",
      RELEASE_KEY: file("ci.key"),
      VAUTN_API_KEY: "",
      VAUTN_SERVICE_ACCOUNT: "acme/release",
    };
    // Each run of a job gets a token of its own, which counts once.
    const withToken = async () => ({
      ...env,
      VAUTN_ID_TOKEN: await idp.machineToken(audience, { project_path }),
    });
    await must(jobs[0]?.steps[0] ?? "", env, folder);
    await runTwice(folder, "3.0.0", jobs[1]?.steps[0] ?? "", withToken);
  });

  it("gathers signatures of several people on several days, and says who is missing", async () => {
    fs.writeFileSync(file("days.bin"), randomBytes(1_000));
    const version = ["--version", "4.0.0", "--out", file("days.json")];
    await firmware("build", file("days.bin"), ...FOR_HUB, ...version);
    const status = async () => {
      const root = ["--root", file("root.json"), "--json"];
      const result = await cli("firmware", "status", file("days.json"), ...root);
      return { status: result.status, ...JSON.parse(result.out) };
    };
    expect(await status()).toMatchObject({ status: 1, isComplete: false });
    await firmware("sign", file("days.json"), ...BOB(), "--detached", file("bob.json"));
    await firmware("sign", file("days.json"), ...CI());
    const half = await status();
    expect([half.status, half.roles[0].signers.length, half.roles[0].open.length]).toEqual([
      1, 1, 1,
    ]);

    // Signatures of another document, and twice those of the same person.
    const other = ["--version", "4.0.1", "--out", file("other.json")];
    await firmware("build", file("days.bin"), ...FOR_HUB, ...other);
    await firmware("sign", file("other.json"), ...BOB(), "--detached", file("stray.json"));
    const stray = await cli("firmware", "merge", file("days.json"), file("stray.json"));
    expect([stray.status, stray.err]).toEqual([1, expect.stringContaining("another document")]);
    await firmware("merge", file("days.json"), file("bob.json"), file("bob.json"));
    const whole = await status();
    expect([whole.status, whole.isComplete, whole.roles[0].signers.length]).toEqual([0, true, 2]);
    // The same files give the same bytes, later too: what was signed need not be signed again.
    await firmware(
      "build",
      file("days.bin"),
      ...FOR_HUB,
      "--version",
      "4.0.0",
      "--out",
      file("again.json"),
    );
    const signed = (name: string) => JSON.parse(fs.readFileSync(file(name), "utf8")).signed;
    expect(signed("again.json")).toEqual(signed("days.json"));
  });
});
