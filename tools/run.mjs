// Runs one of the project's tasks, on any Node from 20 up: installs what is missing first, says so,
// then hands over to the Node release that the lockfile pins. Usage: node tools/run.mjs TASK [ARG ...]
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** npm says nothing in the meantime, and on a slow line it takes minutes. */
const STILL_INSTALLING_MS = 20_000;
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

/** Task name -> steps; a step is a list of arguments for Node, run in order until one fails. */
const tasks = {
  demo: { needs: ["web", "agent"], steps: [["src/main.ts", "demo"]] },
  start: { needs: ["web"], steps: [["src/main.ts", "up"]] },
  test: { needs: ["web", "agent"], steps: [["node_modules/vitest/vitest.mjs", "run"]] },
  check: {
    steps: [
      ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."],
      ["node_modules/typescript/bin/tsc", "-b"],
      [
        "node_modules/vitest/vitest.mjs",
        "run",
        "--project",
        "unit",
        "test/unit/architecture.test.ts",
        "test/unit/tidy.test.ts",
      ],
    ],
  },
  format: { steps: [["node_modules/@biomejs/biome/bin/biome", "check", "--write", "."]] },
  "build:agent": { steps: [["tools/build-agent.ts"]] },
  "build:device": { steps: [["tools/build-device.ts"]] },
  "build:web": { steps: [["tools/build-web.ts"]] },
  "build:kernels": { steps: [["tools/build-kernels.ts"]] },
  "build:openapi": { steps: [["tools/build-openapi.ts"]] },
  "bench:ingest": { steps: [["bench/ingest.ts"]] },
  "bench:logs": { steps: [["bench/logs.ts"]] },
  "bench:telemetry": { steps: [["bench/telemetry.ts"]] },
  "bench:telemetry-queries": { steps: [["bench/telemetry-queries.ts"]] },
  "kill:engine": { steps: [["tools/kill-engine.ts"]] },
  "bench:commands": { steps: [["bench/commands.ts"]] },
  "bench:mqtt": { steps: [["bench/mqtt.ts"]] },
  "bench:delta": { steps: [["bench/delta.ts"]] },
  "fuzz:delta": { steps: [["tools/fuzz-delta.ts"]] },
  "bench:rollout": { steps: [["bench/rollout.ts"]] },
  "bench:agent": { needs: ["agent"], steps: [["bench/agent.ts"]] },
  "bench:anomaly": { steps: [["--expose-gc", "bench/anomaly.ts"]] },
  "bench:fairness": { steps: [["bench/fairness.ts"]] },
  "bench:presence": { steps: [["bench/presence.ts"]] },
  "bench:pki": { steps: [["bench/pki.ts"]] },
  "peers:paho": { steps: [["tools/peers-paho.ts"]] },
  "bench:distribution": { steps: [["bench/distribution.ts"]] },
  "fuzz:mqtt": { steps: [["--expose-gc", "tools/fuzz-mqtt.ts"]] },
  secureboot: { needs: ["agent"], steps: [["tools/secureboot.ts"]] },
  "sim:fleet": { steps: [["tools/sim-fleet.ts"]] },
  "sim:gate": { steps: [["src/simulator/gate-simulation.ts"]] },
  "sim:powercut": { steps: [["src/simulator/powercut-simulation.ts"]] },
};

const [taskName, ...rest] = process.argv.slice(2);
const task = tasks[taskName ?? ""];
if (!task) {
  console.error(`Unknown task ${taskName ?? "(none)"}. Tasks: ${Object.keys(tasks).join(", ")}`);
  process.exit(2);
}

if (/^(bench|fuzz|kill|peers|sim)/.test(taskName) && /^(-h|--help)$/.test(rest[0])) {
  console.log(describeScript(taskName, task.steps.at(-1)[0]));
  process.exit(0);
}
await installDependencies();
const node = pinnedNode();
// Hundreds of processes run the same modules in a test run: they are compiled once.
if (taskName === "test") {
  process.env.NODE_COMPILE_CACHE ??= path.join(root, "node_modules/.cache/node");
}
for (const need of task.needs ?? []) buildIfStale(need);
task.steps.forEach((step, index) => {
  const last = index === task.steps.length - 1;
  run(node, last ? [...step, ...rest] : step);
});

async function installDependencies() {
  const stampFile = "node_modules/.vautn-lock";
  const wanted = hashFiles(["package-lock.json"]);
  if (readIfThere(stampFile) === wanted) return;
  console.error(
    "vautn: installing dependencies from npm, once: 1.4 GB on the disk, a minute on a fast line …",
  );
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const npm = spawn("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    stdio: ["ignore", 2, 2],
    env: { ...process.env, NODE_ENV: "" },
  });
  const stillThere = setInterval(
    () => console.error(`vautn: still installing, ${seconds()} s so far …`),
    STILL_INSTALLING_MS,
  );
  try {
    const [status, signal] = await once(npm, "exit");
    if (status !== 0) fail(`npm ci failed with ${signal ?? `status ${status}`}; see above.`);
  } catch (error) {
    fail(`npm could not be started: ${error.message}. Install npm and try again.`);
  } finally {
    clearInterval(stillThere);
  }
  fs.writeFileSync(stampFile, wanted);
  console.error(`vautn: dependencies installed in ${seconds()} s`);
}

function pinnedNode() {
  const pinned = path.join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (fs.existsSync(pinned)) return pinned;
  if (Number(process.versions.node.split(".")[0]) >= 26) return process.execPath;
  return fail(
    `no Node 26 comes with the lockfile for ${process.platform}-${process.arch}, and this is ` +
      `${process.version}. Install Node 26 or newer and try again.`,
  );
}

function buildIfStale(name) {
  const builds = {
    web: {
      inputs: ["web", "src/client/generated-api.ts", "package-lock.json"],
      output: "dist/web/index.html",
      script: "tools/build-web.ts",
    },
    agent: {
      inputs: ["src/agent", "src/kernel", "src/protocol", "src/delta", "package-lock.json"],
      output: "dist/vautn-agent.mjs",
      script: "tools/build-agent.ts",
    },
  };
  const build = builds[name];
  if (!build.inputs.every((input) => fs.existsSync(input))) return;
  const stampFile = `dist/.${name}-stamp`;
  const wanted = hashFiles(build.inputs);
  if (fs.existsSync(build.output) && readIfThere(stampFile) === wanted) return;
  console.error(`vautn: building ${name === "web" ? "the console" : "the device agent"} …`);
  run(node, [build.script], ["ignore", 2, 2]);
  fs.writeFileSync(stampFile, wanted);
}

function hashFiles(inputs) {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const files = fs.statSync(input).isDirectory()
      ? fs.readdirSync(input, { recursive: true }).map((name) => path.join(input, String(name)))
      : [input];
    for (const file of files.sort()) {
      if (!fs.statSync(file).isFile()) continue;
      hash.update(`${file}\0`).update(fs.readFileSync(file));
    }
  }
  return hash.digest("hex");
}

function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : undefined;
}

function run(program, args, stdio = "inherit") {
  // Ctrl-C reaches the child through the terminal's process group; it decides how to stop.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const { status, signal, error } = spawnSync(program, args, { stdio });
  process.off("SIGINT", ignore);
  if (error) fail(error.message);
  if (signal) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

function fail(message) {
  console.error(`vautn: ${message}`);
  process.exit(1);
}

/** What a script says of itself: the first comment of its source, and its options with their defaults. */
function describeScript(name, file) {
  const source = fs.readFileSync(file, "utf8");
  const comment = /(?:^\/\/.*\n)+|^\/\*\*[\s\S]*?\*\//m.exec(source)?.[0] ?? "";
  const text = comment.replaceAll(/^ ?(\/\*\*|\*\/|\*|\/\/) ?/gm, "").replace(/\*\/$/, "");
  const option =
    /^ +"?([\w-]+)"?: \{ type: "(string|boolean)"(?:, default: (?:"([^"]*)"|\w+))? \}/gm;
  const options = [...source.matchAll(option)].map(([, flag, type, value]) => {
    const argument = type === "string" ? " VALUE" : "";
    return `  --${flag}${argument}${value ? `   (default: ${value})` : ""}`;
  });
  const list = options.length > 0 ? ["", "Options:", ...options] : [];
  return [`npm run ${name} -- [OPTION ...]`, "", text.trim(), ...list].join("\n");
}
