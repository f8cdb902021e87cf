// Bundles the device agent into one file that needs Node and nothing else.
import fs from "node:fs";
import path from "node:path";
import { build } from "vite";

const root = path.resolve(import.meta.dirname, "..");
const MAX_BYTES = 1024 * 1024;
const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));

await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: "warn",
  define: { VAUTN_VERSION: JSON.stringify(version) },
  // Nothing may be left to install: packages are taken in, whatever they look like.
  ssr: { noExternal: true, target: "node" },
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
const { size } = fs.statSync(file);
console.log(`dist/vautn-agent.mjs: ${(size / 1024).toFixed(0)} KB`);
if (size > MAX_BYTES) {
  console.error(`the agent must not be larger than ${MAX_BYTES / 1024} KB`);
  process.exit(1);
}
