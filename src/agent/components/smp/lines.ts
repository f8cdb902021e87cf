import { constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import net from "node:net";
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
  const handle: FileHandle = await open(device, constants.O_RDWR | constants.O_NOCTTY);
  const stream = createReadStream(device, { fd: handle.fd, autoClose: false });
  // A line that breaks is one that does not answer any more.
  stream.on("error", () => {});
  return {
    async write(bytes) {
      await handle.write(bytes);
    },
    onData: (listener) => stream.on("data", (chunk) => listener(chunk as Buffer)),
    async close() {
      stream.destroy();
      await handle.close();
    },
  };
}

/** A serial line behind a terminal server. */
export async function tcpLine(host: string, port: number): Promise<SmpLine> {
  const socket = net.connect(port, host);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.on("error", () => {});
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    onData: (listener) => socket.on("data", listener),
    async close() {
      socket.destroy();
    },
  };
}
