// A lamp on a cable that releases bring firmware for. Here the lamp is two files; yours has a protocol.
import { createHash } from "node:crypto";
import { copyFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { runAgent } from "@vautn/device";

const [config = "agent.json", lampFile = "lamp.bin"] = process.argv.slice(2);

const hashOf = async (file) => {
  const bytes = await readFile(file).catch(() => undefined);
  return bytes ? createHash("sha256").update(bytes).digest("hex") : null;
};

// Every one of these may be cut off anywhere, and is then called again.
const lamp = {
  installed: () => hashOf(lampFile),
  async stage(content) {
    await writeFile(`${lampFile}.staged`, await content.read(0, content.sizeBytes));
  },
  async activate(sha256) {
    if ((await hashOf(lampFile)) === sha256) return;
    if ((await hashOf(`${lampFile}.previous`)) === null && (await hashOf(lampFile)) !== null) {
      await copyFile(lampFile, `${lampFile}.previous`);
    }
    await rename(`${lampFile}.staged`, lampFile);
  },
  async confirm() {
    await rm(`${lampFile}.previous`, { force: true });
  },
  async revert() {
    await rm(`${lampFile}.staged`, { force: true });
    if (await hashOf(`${lampFile}.previous`)) await rename(`${lampFile}.previous`, lampFile);
  },
};

const application = {
  async start(context) {
    context.event("lamp", { firmware: await lamp.installed() });
  },
  stop: async () => {},
  selfTest: async () => ({ passed: true }),
  metrics: () => ({}),
};

const components = new Map([["lamp", lamp]]);
process.exit(await runAgent(config, process.env, { application, components }));
