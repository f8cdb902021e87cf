#!/usr/bin/env node
// Starts the `vautn` program on the Node release that comes with it, whatever Node found this file.
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const entry = path.join(root, "src/main.ts");

if (Number(process.versions.node.split(".")[0]) >= 26) {
  await import(entry);
} else {
  const child = spawn(findNode(), [entry, ...process.argv.slice(2)], { stdio: "inherit" });
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
