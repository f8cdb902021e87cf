// A sensor that measures, tests itself, and can be calibrated from afar.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { runAgent } from "@vautn/device";

const [config = "agent.json"] = process.argv.slice(2);
/** An image that says so fails the test: `vautn conformance` sends one. */
const FAILING = "vautn-conformance: fail the self-test";

let offset = 0;
let timer;
let slot;

const application = {
  async start(context) {
    slot = context.firmware.slot;
    context.log("info", `the sensor starts with ${context.firmware.version}`);
    timer = setInterval(() => {
      context.telemetry({ temperature: 21 + Math.sin(Date.now() / 60_000) + offset });
    }, 1_000);
  },
  async stop() {
    clearInterval(timer);
  },
  async selfTest() {
    // A new image stays only if this says so.
    const image = path.join(path.dirname(config), "data", `${slot}.img`);
    const begin = (await readFile(image).catch(() => Buffer.of())).subarray(0, FAILING.length);
    if (begin.equals(Buffer.from(FAILING))) {
      return { passed: false, element: "image", message: "it says that it does not work" };
    }
    return timer ? { passed: true } : { passed: false, element: "sensor", message: "not started" };
  },
  metrics: () => ({ offset }),
};

const commandHandlers = {
  async calibrate(args, { log }) {
    const { reference } = args ?? {};
    if (typeof reference !== "number") throw new Error("reference must be a number");
    offset = reference - 21;
    log("info", `calibrated to ${reference}`);
    return { offset };
  },
};

process.exit(await runAgent(config, process.env, { application, commandHandlers }));
