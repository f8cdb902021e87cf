// Builds @vautn/device: the agent's parts as one module, and the declarations of their types.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { build } from "vite";

const root = path.resolve(import.meta.dirname, "..");
const device = path.join(root, "packages/device");

await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: "warn",
  ssr: { noExternal: true, target: "node" },
  build: {
    ssr: path.join(root, "src/agent/index.ts"),
    outDir: path.join(device, "dist"),
    emptyOutDir: true,
    target: "node22",
    rolldownOptions: { output: { entryFileNames: "device.mjs", codeSplitting: false } },
  },
});

const compiler = path.join(root, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [compiler, "-p", device], { stdio: "inherit" });
const types = path.join(device, "dist/types");
for (const name of fs.readdirSync(types, { recursive: true, encoding: "utf8" })) {
  const file = path.join(types, name);
  if (!name.endsWith(".d.ts")) continue;
  // Declarations keep the extensions of our sources, which only our own settings allow.
  const text = fs.readFileSync(file, "utf8");
  fs.writeFileSync(file, text.replace(/(from|import\()(\s*"\.[^"]*)\.ts"/g, '$1$2.js"'));
}
console.log("packages/device/dist is built: device.mjs, types");
