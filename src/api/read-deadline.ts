import { AppError } from "../kernel/index.ts";
import type { Api } from "./types.ts";

/** Longest time that a body may take to arrive, images excepted: they may be large and lines slow. */
const READ_DEADLINE_MS = 30_000;

/** Ends requests whose body trickles in, so that they cannot hold connections. */
export function boundReading(api: Api): void {
  const timers = new WeakMap<object, NodeJS.Timeout>();
  api.addHook("preParsing", async (request, reply, payload) => {
    if (request.headers["content-type"]?.startsWith("application/octet-stream")) return payload;
    const timer = setTimeout(() => {
      request.raw.destroy(new AppError("invalid-request", "the body took too long to arrive"));
    }, READ_DEADLINE_MS);
    timers.set(request, timer);
    reply.raw.once("close", () => clearTimeout(timer));
    return payload;
  });
  api.addHook("preValidation", (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
}
