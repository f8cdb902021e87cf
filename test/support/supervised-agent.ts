import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");
const RESTART_STATUS = 75;

/** The bundled agent under a supervisor that starts it again when it asks for a restart. */
export interface SupervisedAgent {
  restarts(): number;
  log(): string;
  stop(): Promise<void>;
}

export function startSupervisedAgent(configFile: string): SupervisedAgent {
  execFileSync(process.execPath, ["tools/build-agent.ts"], { cwd: root, stdio: "pipe" });
  const bundle = path.join(root, "dist/vautn-agent.mjs");
  let log = "";
  let restarts = 0;
  let child: ChildProcess;
  let ended: Promise<void>;
  const start = () => {
    child = spawn(process.execPath, [bundle, "run", "--config", configFile], {
      stdio: ["ignore", "inherit", "pipe"],
    });
    child.stderr?.on("data", (chunk) => {
      log += chunk;
    });
    ended = new Promise((resolve) => {
      child.once("exit", (status) => {
        if (status !== RESTART_STATUS) return resolve();
        restarts += 1;
        start();
        resolve(ended);
      });
    });
  };
  start();
  return {
    restarts: () => restarts,
    log: () => log,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
