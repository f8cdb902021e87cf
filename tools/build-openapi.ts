// Writes openapi.json from the routes' schemas, and from it what the command line and the console
// call the API by. `--check` only says whether the committed files are what would be written.
import fs from "node:fs";
import path from "node:path";
import { openApiText } from "../src/api/index.ts";
import { generateClient } from "./generate-client.ts";

const root = path.resolve(import.meta.dirname, "..");
const document = await openApiText();
const client = generateClient(JSON.parse(document), "src/client/generated-api.ts");
const outputs: [string, string][] = [
  ["openapi.json", document],
  ["src/client/generated-api.ts", client],
];

for (const [name, text] of outputs) {
  const file = path.join(root, name);
  if (!process.argv.includes("--check")) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  } else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
    console.error(`${name} does not match the routes: run npm run build:openapi`);
    process.exitCode = 1;
  }
}
