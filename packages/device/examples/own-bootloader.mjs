// A board whose bootloader nobody else has: it keeps what it boots in one small file, and counts down.
import { readFile, rename, writeFile } from "node:fs/promises";
import { fileSlots, openFileStorage, runAgent } from "@vautn/device";

const [config = "agent.json", board = "board"] = process.argv.slice(2);
const storage = await openFileStorage(board);
const record = `${board}/boot.json`;

const read = async () =>
  JSON.parse(
    await readFile(record, "utf8").catch(() => '{"confirmed":"a","trial":null,"tries":0}'),
  );
const write = async (next) => {
  await writeFile(`${record}.new`, JSON.stringify(next));
  await rename(`${record}.new`, record);
};

// What the board's bootloader does at power-on; here it is played by this program.
const before = await read();
const tries = before.trial && before.tries > 0;
const running = tries ? before.trial : before.confirmed;
if (before.trial) {
  await write(
    tries
      ? { ...before, tries: before.tries - 1 }
      : { confirmed: before.confirmed, trial: null, tries: 0, abandoned: before.trial },
  );
}

const backEnd = {
  kind: "example-board",
  slots: fileSlots(storage, 64 * 1024 * 1024),
  chain: undefined,
  healthy: async () => {},
  bootloader: {
    async status() {
      const { trial, abandoned = null } = await read();
      return { running, trial: trial === running, abandoned, resetCause: "power-on" };
    },
    tryNext: async (slot, tries) => write({ confirmed: running, trial: slot, tries }),
    bless: async () => write({ confirmed: running, trial: null, tries: 0 }),
    async abandonTrial() {
      const { confirmed, trial } = await read();
      if (trial) await write({ confirmed, trial: null, tries: 0, abandoned: trial });
    },
  },
};

process.exit(await runAgent(config, process.env, { backEnd }));
