import fs from "node:fs";
import path from "node:path";

const MARKER = "demo.json";

/** Where a data folder holds its simulated fleet, if it has one. */
export function fleetDirectory(dataDirectory: string): string {
  return path.join(dataDirectory, "simulated-fleet");
}

/**
 * Readies the data folder for a new telling of the story. A folder that an earlier demo made is
 * emptied; one that holds anything else is never touched.
 */
export function prepareDemoFolder(directory: string): "new" | "reset" {
  if (!fs.existsSync(directory) || fs.readdirSync(directory).length === 0) {
    mark(directory);
    return "new";
  }
  if (!isDemoFolder(directory)) {
    throw new Error(
      `${directory} holds an installation that is not the demo's. Choose another folder with --data DIR.`,
    );
  }
  for (const name of fs.readdirSync(directory)) {
    fs.rmSync(path.join(directory, name), { recursive: true, force: true });
  }
  mark(directory);
  return "reset";
}

export function isDemoFolder(directory: string): boolean {
  return fs.existsSync(path.join(directory, MARKER));
}

function mark(directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ madeBy: "vautn demo", at: new Date().toISOString() });
  fs.writeFileSync(path.join(directory, MARKER), `${text}\n`);
}
