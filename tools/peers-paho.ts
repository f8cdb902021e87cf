// Runs Eclipse Paho's interoperability suite against our gateway, from a checkout of the reader's own:
//   git clone https://github.com/eclipse/paho.mqtt.testing DIR
//   npm run peers:paho -- --suite DIR [--only 3|5] [--json]
// The gateway is the real one, on a PostgreSQL of its own. The suite is an application of a tenant
// with a certificate; a small proxy gives it plain TCP, and a prefix before its topics.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { startPahoGateway } from "../test/support/paho-gateway.ts";

const { values: flags } = parseArgs({
  options: {
    suite: { type: "string" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const folder = flags.suite && path.join(flags.suite, "interoperability");
if (!folder || !fs.existsSync(path.join(folder, "client_test5.py"))) {
  console.error(
    "usage: npm run peers:paho -- --suite DIR, a checkout of eclipse/paho.mqtt.testing",
  );
  process.exit(2);
}

const SUITES = [
  { version: "3", name: "MQTT 3.1.1", file: "client_test.py" },
  { version: "5", name: "MQTT 5", file: "client_test5.py" },
];
/** What the gateway does otherwise on purpose; the reasons stand in docs/protocol/mqtt.md. */
const DELIBERATE: Record<string, string> = {
  test_subscribe_failure: "MQTT 5: the refusal is 0x87 (not authorized), the suite wants 0x80",
};

/** What the suite's own main does, with the outcome of each test said aloud. */
const DRIVER = `
import importlib, logging, sys, unittest
logging.getLogger().setLevel(logging.ERROR)
suite = importlib.import_module(sys.argv[1])
suite.host, suite.port, suite.topic_prefix = "localhost", int(sys.argv[2]), "client_test5/"
suite.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
suite.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
suite.nosubscribe_topics = ("test/nosubscribe",)
unittest.main(module=suite, argv=["suite", "-v", *sys.argv[3:]])
`;

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-paho-"));
const gateway = await startPahoGateway(directory);
let unexplained = 0;
try {
  for (const suite of SUITES) {
    if (flags.only !== undefined && flags.only !== suite.version) continue;
    const results = await run(suite.file);
    const passed = results.filter(({ outcome }) => outcome === "ok").length;
    if (flags.json) {
      const value = { value: passed, unit: "tests", of: results.length };
      console.log(JSON.stringify({ name: `paho-${suite.file.replace(".py", "")}`, ...value }));
    } else console.log(`${suite.name}: ${passed} of ${results.length} passed`);
    for (const { test, outcome } of results) {
      if (outcome === "ok") continue;
      const reason = DELIBERATE[test];
      if (!reason) unexplained += 1;
      console.error(`  ${outcome}: ${test}${reason ? `  (deliberate: ${reason})` : ""}`);
    }
  }
} finally {
  await gateway.close();
  fs.rmSync(directory, { recursive: true, force: true });
}
process.exitCode = unexplained === 0 ? 0 : 1;

/** Runs one file of the suite; `python3` says of each test what became of it. */
function run(file: string): Promise<{ test: string; outcome: string }[]> {
  return new Promise((resolve, reject) => {
    const child = spawn("python3", ["-c", DRIVER, file.replace(".py", ""), String(gateway.port)], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (text += chunk));
    child.once("error", reject);
    child.once("close", () => {
      if (process.env.PAHO_OUTPUT) fs.writeFileSync(`${process.env.PAHO_OUTPUT}-${file}.txt`, text);
      const names = new Set([...text.matchAll(/^(test\w+) \(/gm)].map(([, name = ""]) => name));
      const failed = new Map(
        [...text.matchAll(/^(FAIL|ERROR): (test\w+)/gm)].map(([, how = "", name = ""]) => [
          name,
          how,
        ]),
      );
      const results = [...names].map((test) => ({ test, outcome: failed.get(test) ?? "ok" }));
      if (results.length === 0) reject(new Error(`the suite did not run:\n${text}`));
      else resolve(results);
    });
  });
}
