// Writes asyncapi.yaml from the topics and message schemas of src/protocol. `--check` only says
// whether the committed file is the one that would be written.
import fs from "node:fs";
import path from "node:path";
import { asyncApiText } from "./asyncapi-document.ts";

const file = path.resolve(import.meta.dirname, "../asyncapi.yaml");
const text = asyncApiText();
if (!process.argv.includes("--check")) fs.writeFileSync(file, text);
else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
  console.error("asyncapi.yaml does not match src/protocol: run node tools/build-asyncapi.ts");
  process.exitCode = 1;
}
