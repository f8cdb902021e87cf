// Builds @vautn/device: the agent's parts as one module without dependencies.
import path from "node:path";
import { build } from "vite";

const root = path.resolve(import.meta.dirname, "..");

await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: "warn",
  ssr: { noExternal: true, target: "node" },
  build: {
    ssr: path.join(root, "src/agent/index.ts"),
    outDir: path.join(root, "packages/device/dist"),
    emptyOutDir: true,
    target: "node22",
    rolldownOptions: { output: { entryFileNames: "device.mjs", codeSplitting: false } },
  },
});
console.log("packages/device/dist/device.mjs is built");
