// An agent in a process of its own that is killed at a change of its identity's files:
// node killed-agent.ts FOLDER WAY CHANGE (0: never).
import type { Storage, StorageFile } from "../../src/agent/index.ts";
import { startFileAgent } from "./file-agent.ts";

const [folder = "", way = "auto", killAt = "0"] = process.argv.slice(2);
let changes = 0;

async function change<Result>(work: () => Promise<Result>): Promise<Result> {
  changes += 1;
  if (changes === Number(killAt)) process.kill(process.pid, "SIGKILL");
  return work();
}

function wrapFile(file: StorageFile): StorageFile {
  return {
    ...file,
    write: (offset, bytes) => change(() => file.write(offset, bytes)),
    truncate: (sizeBytes) => change(() => file.truncate(sizeBytes)),
    sync: () => change(() => file.sync()),
  };
}

const wrap = (storage: Storage): Storage => ({
  ...storage,
  open: async (name) => wrapFile(await storage.open(name)),
  rename: (from, to) => change(() => storage.rename(from, to)),
  remove: (name) => change(() => storage.remove(name)),
  syncDirectory: () => change(() => storage.syncDirectory()),
});

const { agent, credentials } = await startFileAgent(folder, { way: way as "auto", wrap });
process.on("SIGTERM", () => {
  void agent.stop().then(() => process.exit(0));
});
// The parent looks at what is in use and how far it is.
setInterval(() => {
  const { current, state } = credentials;
  const rotation = state.rotation?.step ?? null;
  const connected = agent.status()?.connected === true;
  process.stdout.write(
    `${JSON.stringify({ serial: current.serial, rotation, connected, changes })}\n`,
  );
}, 50);
