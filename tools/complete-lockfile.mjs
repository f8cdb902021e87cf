// A registry that does not serve other platforms' optional builds leaves them out of the lockfile,
// and `npm ci` then calls that same lockfile incomplete. This adds the missing entries (version,
// os, cpu): npm skips them on machines they are not for. Run it after every `npm install`.
import fs from "node:fs";

const PLATFORM =
  /(linux|darwin|win32|windows|android|freebsd|openbsd|netbsd|sunos|aix)[-_](arm64|x64|arm|ia32|ppc64|s390x|riscv64|loong64)/;

const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
const added = [];
for (const [parentPath, parent] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
    const hoisted = `node_modules/${name}`;
    const platform = PLATFORM.exec(name);
    if (!platform || lock.packages[hoisted] || lock.packages[`${parentPath}/${hoisted}`]) continue;
    lock.packages[hoisted] = {
      version: range.replace(/^[\^~>=]+/, ""),
      cpu: [platform[2]],
      os: [platform[1] === "windows" ? "win32" : platform[1]],
      optional: true,
      ...(parent.dev ? { dev: true } : {}),
    };
    added.push(name);
  }
}
// No registry's host belongs in the repository: npm resolves by name, version and integrity.
for (const entry of Object.values(lock.packages)) delete entry.resolved;
fs.writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added.length} platform packages added`);
