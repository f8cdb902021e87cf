// Preloaded into a process with `--import`: writes the address of every module that it loads to the
// file that LOADED_MODULES names.
import fs from "node:fs";
import { registerHooks } from "node:module";

const file = process.env.LOADED_MODULES;
if (!file) throw new Error("LOADED_MODULES names no file");
registerHooks({
  load(url, context, nextLoad) {
    fs.appendFileSync(file, `${url}\n`);
    return nextLoad(url, context);
  },
});
