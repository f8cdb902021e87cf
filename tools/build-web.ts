import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import react from "@vitejs/plugin-react";
import { build, createServer, type InlineConfig } from "vite";

/**
 * Builds the console into dist/web. With `--serve URL` it serves the sources instead, reloading as
 * they change, and passes API calls on to the platform at URL.
 */
const { values } = parseArgs({ options: { serve: { type: "string" } } });
const root = path.resolve(import.meta.dirname, "..");
const started = performance.now();
// React takes its development form from any other value, a test runner's for example.
process.env.NODE_ENV = values.serve ? "development" : "production";

const config: InlineConfig = {
  configFile: false,
  root: path.join(root, "web"),
  cacheDir: path.join(root, "node_modules/.cache/vite"),
  logLevel: values.serve ? "info" : "warn",
  plugins: [react()],
  build: {
    outDir: path.join(root, "dist/web"),
    emptyOutDir: true,
    target: "es2023",
    // The content security policy allows no data: scripts, and small files cost nothing in HTTP/2.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
  },
};

if (values.serve) {
  const server = await createServer({
    ...config,
    server: { host: "127.0.0.1", proxy: { "/api": values.serve }, fs: { allow: [root] } },
  });
  await server.listen();
  server.printUrls();
} else {
  await build(config);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.error(`console built in ${seconds} s, ${Math.round(sizeOf() / 1000)} kB`);
}

function sizeOf(): number {
  const directory = path.join(root, "dist/web");
  return fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => fs.statSync(path.join(directory, name)))
    .filter((stat) => stat.isFile())
    .reduce((sum, stat) => sum + stat.size, 0);
}
