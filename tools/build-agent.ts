// Bundles the device agent into one file that needs Node and nothing else.
import fs from "node:fs";
import path from "node:path";
import { build } from "vite";

const root = path.resolve(import.meta.dirname, "..");
const MAX_BYTES = 1024 * 1024;
/** What the MQTT client brings for other lines than TLS, and for Nodes whose streams were wanting. */
const NOTHING = path.join(root, "tools/agent-left-out.ts");
const LEFT_OUT = { ws: NOTHING, socks: NOTHING, "readable-stream": "node:stream" };
const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));

await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: "warn",
  define: { VAUTN_VERSION: JSON.stringify(version) },
  // Nothing may be left to install: packages are taken in, whatever they look like.
  ssr: { noExternal: true, target: "node" },
  resolve: { alias: LEFT_OUT },
  build: {
    ssr: path.join(root, "src/agent/main.ts"),
    outDir: path.join(root, "dist"),
    emptyOutDir: false,
    target: "node22",
    minify: true,
    rolldownOptions: {
      output: { entryFileNames: "vautn-agent.mjs", codeSplitting: false },
    },
  },
});

const file = path.join(root, "dist/vautn-agent.mjs");
// A single character beyond Latin-1 would have V8 keep all of the source in two bytes a character.
const source = fs.readFileSync(file, "utf8");
const ascii = source.replace(
  /[^\0-\x7f]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
);
fs.writeFileSync(file, ascii);
const { size } = fs.statSync(file);
console.log(`dist/vautn-agent.mjs: ${(size / 1024).toFixed(0)} KB`);
if (size > MAX_BYTES) {
  console.error(`the agent must not be larger than ${MAX_BYTES / 1024} KB`);
  process.exit(1);
}
