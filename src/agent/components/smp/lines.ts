import { constants } from "node:fs";
import { open } from "node:fs/promises";
import net from "node:net";
import tty from "node:tty";
import { runProgram } from "../../work/run-program.ts";
import type { SmpLine } from "./smp-client.ts";

const SETTING_MS = 10_000;

/** A serial device; its speed and raw mode are set by `stty`, which every Linux has. */
export async function serialLine(device: string, baud: number): Promise<SmpLine> {
  const { status, output } = await runProgram(
    ["stty", "-F", device, String(baud), "raw", "-echo", "-hupcl"],
    AbortSignal.timeout(SETTING_MS),
  );
  if (status !== 0) throw new Error(`${device} cannot be set up: ${output}`);
  // O_NOCTTY: the line is not to become the agent's own terminal.
  const handle = await open(device, constants.O_RDWR | constants.O_NOCTTY);
  // Not a file stream: its read waits in a thread that no close ends, and takes what the next one
  // who opens the line was sent.
  const stream = new tty.ReadStream(handle.fd);
  return { ...lineOf(stream), close: () => closed(stream).finally(() => handle.close()) };
}

/** A serial line behind a terminal server. */
export async function tcpLine(host: string, port: number): Promise<SmpLine> {
  const socket = net.connect(port, host);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return lineOf(socket);
}

function lineOf(stream: net.Socket): SmpLine {
  // A line that breaks is one that does not answer any more.
  stream.on("error", () => {});
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    onData: (listener) => stream.on("data", listener),
    close: () => closed(stream),
  };
}

function closed(stream: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", () => resolve());
    stream.destroy();
  });
}
