// A sensor that measures, tests itself, and can be calibrated from afar.
import { runAgent } from "@vautn/device";

let offset = 0;
let timer;

const application = {
  async start(context) {
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

const [config = "agent.json"] = process.argv.slice(2);
process.exit(await runAgent(config, process.env, { application, commandHandlers }));
