import { Writable } from "node:stream";

/** Where log lines go besides standard error. */
export interface LogSink {
  recordPlatformLogs(lines: string[]): Promise<void>;
}

export interface LogDestination extends Writable {
  shipTo(sink: LogSink): void;
  close(): Promise<void>;
}

const MAX_WAITING_LINES = 10_000;
const SHIP_EVERY_MS = 1_000;

/**
 * Prints each line to standard error and ships it to the log store in batches. Shipping never holds
 * up or fails the writer: lines beyond the bound, or that the store does not take, are only printed.
 */
export function createLogDestination(): LogDestination {
  let waiting: string[] = [];
  let sink: LogSink | undefined;
  let shipping: Promise<void> | undefined;

  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      process.stderr.write(chunk);
      if (waiting.length < MAX_WAITING_LINES) waiting.push(chunk);
      done();
    },
  }) as LogDestination;

  const ship = () => {
    if (!sink || shipping || waiting.length === 0) return;
    const lines = waiting;
    waiting = [];
    shipping = sink
      .recordPlatformLogs(lines)
      .catch(() => {}) // The lines have been printed; logging this fault would feed itself.
      .finally(() => {
        shipping = undefined;
      });
  };
  const timer = setInterval(ship, SHIP_EVERY_MS);
  timer.unref();

  stream.shipTo = (target) => {
    sink = target;
  };
  stream.close = async () => {
    clearInterval(timer);
    await shipping;
    ship();
    await shipping;
  };
  return stream;
}
