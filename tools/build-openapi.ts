// Writes openapi.json from the routes' schemas, and from it what the command line and the console
// call the API by. `--check` only says whether the committed files are what would be written.
import fs from "node:fs";
import path from "node:path";
import { openApiText } from "../src/api/index.ts";
import { generateClient } from "./generate-client.ts";
import { permissionsDocument } from "./permissions-document.ts";

const root = path.resolve(import.meta.dirname, "..");
const document = await openApiText();
const client = generateClient(JSON.parse(document), "src/client/generated-api.ts");
const rolloutSchema = rolloutFileSchema(JSON.parse(document));
const outputs: [string, string][] = [
  ["docs/schema/rollout.schema.json", `${JSON.stringify(rolloutSchema, null, 2)}\n`],
  ["src/client/generated-rollout-schema.ts", schemaModule(rolloutSchema)],
  ["openapi.json", document],
  ["src/client/generated-api.ts", client],
  ["docs/security/permissions.md", permissionsDocument(JSON.parse(document))],
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

/** What `vautn rollout create -f` takes, as a JSON Schema for editors and for the command itself. */
function rolloutFileSchema(api: { components: { schemas: Record<string, object> } }): object {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: "https://vautn.dev/schema/rollout.schema.json",
    title: "Vautn rollout",
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 128 },
      release: { type: "string", description: "PRODUCT@VERSION, or the release's id" },
      releaseId: { type: "string", description: "The release's id" },
      query: { type: "string", description: "Fleet query; every device that it fits without one" },
      policy: api.components.schemas.RolloutPolicyInput,
    },
    additionalProperties: false,
  };
}

function schemaModule(schema: object): string {
  const text = JSON.stringify(schema, null, 2);
  return `// Written by tools/build-openapi.ts.\nexport const ROLLOUT_FILE_SCHEMA = ${text};\n`;
}
