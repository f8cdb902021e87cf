import { rm } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import type { AgentStatus } from "./agent.ts";

const FILE = "agent.sock";
const ANSWER_MS = 5_000;
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface StatusSocket {
  close(): Promise<void>;
}

/**
 * Tells whoever may read the data folder how the agent is: one document to each connection. It takes
 * nothing, so there is nothing to attack.
 */
export async function openStatusSocket(
  dataDirectory: string,
  status: () => AgentStatus | undefined,
  limitMs = ANSWER_MS,
): Promise<StatusSocket> {
  const file = path.join(dataDirectory, FILE);
  await rm(file, { force: true });
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    // Who asks and then hangs must not keep the agent from its end.
    const limit = setTimeout(() => socket.destroy(), limitMs);
    socket.once("close", () => clearTimeout(limit));
    socket.end(JSON.stringify(status() ?? null));
    socket.resume();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(file, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}

/** Asks the agent that runs on this data folder; rejects where none does. */
export function askStatus(dataDirectory: string): Promise<AgentStatus | null> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path.join(dataDirectory, FILE));
    let text = "";
    socket.setEncoding("utf8").setTimeout(ANSWER_MS);
    socket.on("timeout", () => socket.destroy(new Error("the agent does not answer")));
    socket.on("data", (chunk) => {
      text += chunk;
      if (text.length > MAX_ANSWER_BYTES) socket.destroy(new Error("the answer is too long"));
    });
    socket.on("error", reject);
    socket.on("close", () => {
      try {
        resolve(JSON.parse(text) as AgentStatus | null);
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** For people, a fact a line. */
export function describeStatus(status: AgentStatus): string {
  const { firmware, otherSlot, update, backlog, certificate } = status;
  const lines: [string, string][] = [
    ["firmware", `${firmware.version} in slot ${firmware.slot}`],
    ["hash", firmware.hash],
    ["other slot", otherSlot ? otherSlot.version : "nothing that counts"],
    ["connected", status.connected ? "yes" : "no"],
    ["update", update ? `${update.phase} (${update.updateId})` : "none under way"],
    ["trial", status.trial ? "yes: the image is being tested" : "no"],
    ["twin", describeTwin(status.twin)],
    ["waiting", `${backlog.waiting} to be sent, ${backlog.dropped} dropped`],
    ["boot", `${status.bootReason} (${status.bootId})`],
  ];
  if (certificate) lines.push(["certificate", JSON.stringify(certificate)]);
  return lines.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join("");
}

function describeTwin({ desired, applied, fault }: AgentStatus["twin"]): string {
  if (desired === 0) return "nothing is desired";
  if (desired === applied) return `version ${applied} is in force`;
  return `version ${applied} is in force, ${desired} is desired${fault ? `: ${fault}` : ""}`;
}
