// Bundles the device agent into one file that needs Node and nothing else.
import fs from "node:fs";
import path from "node:path";
import { build, type Plugin, parseAst } from "vite";

const root = path.resolve(import.meta.dirname, "..");
const MAX_BYTES = 1024 * 1024;
/** What the MQTT client brings for other lines than TLS, and for Nodes whose streams were wanting. */
const NOTHING = path.join(root, "tools/agent-left-out.ts");
const LEFT_OUT = {
  ...{ ws: NOTHING, socks: NOTHING, "worker-timers": NOTHING, "supports-color": NOTHING },
  "readable-stream": "node:stream",
};
/** Parts of Node that a start does not need: loaded at the first call, for they are megabytes. */
const LATE: Record<string, { functions: readonly string[]; objects?: readonly string[] }> = {
  "node:child_process": { functions: ["spawn"] },
  "node:https": { functions: ["request"] },
  "node:zlib": {
    functions: [
      ...["crc32", "inflateRawSync", "zstdCompressSync", "zstdDecompressSync"],
      ...["createZstdCompress", "createZstdDecompress"],
    ],
    objects: ["constants"],
  },
};
const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));

await build({
  root,
  configFile: false,
  publicDir: false,
  logLevel: "warn",
  // `performance` and `navigator` are parts of Node that only the libraries' guesses would load.
  define: {
    VAUTN_VERSION: JSON.stringify(version),
    ...{ performance: "undefined", navigator: "undefined" },
  },
  plugins: [lateBuiltIns()],
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

/** Stands for parts of Node by functions that load them when they are called. */
function lateBuiltIns(): Plugin {
  return {
    name: "late-built-ins",
    enforce: "pre",
    resolveId: (id) => (Object.hasOwn(LATE, id) ? `\0late:${id}` : undefined),
    load(id) {
      const name = id.startsWith("\0late:") ? id.slice("\0late:".length) : "";
      const late = LATE[name];
      if (!late) return undefined;
      const load = `process.getBuiltinModule(${JSON.stringify(name)})`;
      const functions = late.functions.map(
        (one) => `export const ${one} = (...given) => ${load}.${one}(...given);`,
      );
      const objects = (late.objects ?? []).map(
        (one) => `export const ${one} = new Proxy({}, { get: (_, key) => ${load}.${one}[key] });`,
      );
      const all = [...late.functions, ...(late.objects ?? [])];
      return [...functions, ...objects, `export default { ${all.join(", ")} };`].join("\n");
    },
  };
}

const file = path.join(root, "dist/vautn-agent.mjs");
fs.writeFileSync(file, ascii(withoutFacades(fs.readFileSync(file, "utf8"))));
const { size } = fs.statSync(file);
console.log(`dist/vautn-agent.mjs: ${(size / 1024).toFixed(0)} KB`);
if (size > MAX_BYTES) {
  console.error(`the agent must not be larger than ${MAX_BYTES / 1024} KB`);
  process.exit(1);
}

/**
 * `import` of a part of Node asks it for everything that it exports, and so loads what it would load
 * when it is first asked for: all root certificates, WebCrypto, block lists.
 */
function withoutFacades(source: string): string {
  let text = "";
  let at = 0;
  for (const node of parseAst(source).body) {
    if (node.type !== "ImportDeclaration") continue;
    const module = `process.getBuiltinModule(${JSON.stringify(node.source.value)})`;
    const taken = node.specifiers.map((one) =>
      one.type === "ImportSpecifier"
        ? `{${source.slice(one.imported.start, one.imported.end)}:${one.local.name}}=${module}`
        : `${one.local.name}=${module}`,
    );
    text += source.slice(at, node.start) + (taken.length > 0 ? `const ${taken.join(",")};` : "");
    at = node.end;
  }
  return text + source.slice(at);
}

/** A single character beyond Latin-1 would have V8 keep all of the source in two bytes a character. */
function ascii(source: string): string {
  return source.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
