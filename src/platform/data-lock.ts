import { createHash } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

/**
 * Takes the data folder for this process alone. The lock is a listening socket in Linux's abstract
 * namespace, named after the folder: the kernel grants it once and frees it when the process ends,
 * however it ends. Elsewhere a file socket in the folder serves, removed when nobody answers on it.
 */
export async function lockDataDirectory(directory: string): Promise<{ release(): Promise<void> }> {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const real = fs.realpathSync(directory);
  const { dev, ino } = fs.statSync(real);
  const name = createHash("sha256").update(`${dev}:${ino}`).digest("hex").slice(0, 32);
  const address = process.platform === "linux" ? `\0vautn-${name}` : path.join(real, "lock.sock");
  if (process.platform !== "linux" && !(await answers(address)))
    fs.rmSync(address, { force: true });
  const server = net.createServer((socket) => socket.destroy());
  try {
    server.listen(address);
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Error(
      `the data folder ${real} is in use by another vautn process. Stop that one first, or choose another folder with --data.`,
      { cause: error },
    );
  }
  server.unref();
  return {
    async release() {
      server.close();
      await once(server, "close");
    },
  };
}

async function answers(address: string): Promise<boolean> {
  const socket = net.connect(address);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false; // Nobody there: the file is left over from a process that was killed.
  } finally {
    socket.destroy();
  }
}
