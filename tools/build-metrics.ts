// Writes docs/metrics.md from what the platform's processes register. `--check` only compares.
import fs from "node:fs";
import path from "node:path";
import { metricsDocument } from "./metrics-document.ts";

const FILE = path.resolve(import.meta.dirname, "../docs/metrics.md");
const text = await metricsDocument();
if (!process.argv.includes("--check")) fs.writeFileSync(FILE, text);
else if (fs.readFileSync(FILE, "utf8") !== text) {
  console.error("docs/metrics.md does not match the code: run node tools/build-metrics.ts");
  process.exitCode = 1;
}
