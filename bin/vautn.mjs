#!/usr/bin/env node
// Starts the `vautn` program on the Node release that comes with it, whatever Node found this file.
import { spawn } from "node:child_process";
import fs from "node:fs";
import module, { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const entry = path.join(root, "src/main.ts");
// What was compiled once is kept, which halves the time to the first line. Not in the temporary
// folder, where others could leave code for us; where it cannot be written there is no cache.
const compiled = path.join(root, "dist/.compiled");

if (Number(process.versions.node.split(".")[0]) >= 26) {
  module.enableCompileCache(compiled);
  await import(entry);
} else {
  const child = spawn(findNode(), [entry, ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (status, signal) => {
    process.exitCode = signal ? 1 : (status ?? 1);
  });
}

function findNode() {
  const packageName = `node-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(entry).resolve(`${packageName}/package.json`);
    const node = path.join(path.dirname(manifest), "bin/node");
    if (fs.existsSync(node)) return node;
  } catch {
    // Falls through to the message: the package is optional and absent on some platforms.
  }
  console.error(`vautn needs Node 26 or newer; this is ${process.version}. Run "npm ci" first.`);
  process.exit(1);
}
