import fs from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { ApiRefusal, PlatformUnreachable } from "../client/index.ts";
import { CliError, misuse } from "./cli-error.ts";
import type { Session } from "./session.ts";

interface NamedContent {
  name: string;
  sha256: string;
  sizeBytes: number;
}

const PIECE_BYTES = 8 * 1024 ** 2;
const PAUSES_MS = [500, 1_000, 2_000, 5_000, 10_000, 20_000];
const MAX_LISTED = 500;
const TIMEOUT_MS = 300_000;

/**
 * Uploads a file by the tus protocol (1.0.0) and returns the id of the complete upload. An upload of
 * the same content that was cut, by this process or an earlier one, goes on where it stopped: it is
 * known by the hash in its name. The platform hashes what has arrived; nothing here is believed.
 */
export async function uploadFile(
  session: Session,
  file: string,
  content: NamedContent,
  onProgress: (sentBytes: number) => void,
): Promise<string> {
  assertSize(file, content);
  const label = `${content.sha256}.${content.name}`.slice(0, 255);
  const { items } = await session.collect("listUploads", {}, MAX_LISTED);
  const begun = items.find((item) => item.name === label && item.sizeBytes === content.sizeBytes);
  if (begun?.status === "complete" && begun.sha256 === content.sha256) return begun.id;
  const id = begun?.status === "open" ? begun.id : await create(session, label, content);
  await send(session, file, { id, offset: begun?.offsetBytes ?? 0 }, content, onProgress);
  return id;
}

function assertSize(file: string, { sizeBytes }: NamedContent): void {
  let size: number;
  try {
    size = fs.statSync(file).size;
  } catch {
    throw misuse(`${file} cannot be read`, "name it with --image, or its folder with --files");
  }
  if (size === sizeBytes) return;
  throw new CliError(`${file} has ${size} bytes, and the manifest names ${sizeBytes}`, {
    next: "build the manifest anew, or name the right file",
  });
}

async function create(session: Session, label: string, content: NamedContent): Promise<string> {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const response = await raw(
    session,
    "createUpload",
    {},
    {
      headers: {
        "tus-resumable": "1.0.0",
        "upload-length": String(content.sizeBytes),
        // tus §upload-metadata: keys and values in base64.
        "upload-metadata": `filename ${base64(label)},sha256 ${base64(content.sha256)}`,
      },
    },
  );
  const id = response.headers.get("location")?.split("/").at(-1);
  if (!id) throw new CliError("the platform names no place for the upload");
  return id;
}

async function send(
  session: Session,
  file: string,
  begun: { id: string; offset: number },
  content: NamedContent,
  onProgress: (sentBytes: number) => void,
): Promise<void> {
  const handle = await fs.promises.open(file, "r");
  let { offset } = begun;
  let failures = 0;
  try {
    onProgress(offset);
    for (;;) {
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, content.sizeBytes - offset));
      await handle.read(piece, 0, piece.length, offset);
      try {
        offset = await sendPiece(session, begun.id, offset, piece);
        failures = 0;
      } catch (error) {
        const pause = PAUSES_MS[failures];
        if (pause === undefined || !isTransient(error)) throw error;
        failures += 1;
        await wait(pause);
        // What has arrived is the platform's word, not ours.
        offset = await offsetOf(session, begun.id).catch(() => offset);
      }
      onProgress(offset);
      if (offset >= content.sizeBytes) return;
    }
  } finally {
    await handle.close();
  }
}

async function sendPiece(session: Session, id: string, offset: number, piece: Buffer) {
  const response = await raw(
    session,
    "appendToUpload",
    { upload: id },
    {
      headers: {
        "tus-resumable": "1.0.0",
        "upload-offset": String(offset),
        "content-type": "application/offset+octet-stream",
      },
      body: new Uint8Array(piece),
    },
  );
  return Number(response.headers.get("upload-offset"));
}

async function offsetOf(session: Session, id: string): Promise<number> {
  return (await session.call("getUpload", { params: { upload: id } })).offsetBytes;
}

async function raw(
  session: Session,
  operation: "createUpload" | "appendToUpload",
  params: Record<string, string>,
  init: RequestInit,
): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const filled = session.fill(operation, { params }) as { params: Record<string, string> };
  const response = await session.client.raw(operation, filled, { ...init, signal });
  if (response.ok) return response;
  const text = await response.text();
  throw new ApiRefusal(response.status, problemOf(text));
}

function problemOf(text: string): Record<string, never> {
  try {
    return JSON.parse(text) as Record<string, never>;
  } catch {
    return {};
  }
}

/** A cut line, a restart of the platform, another writer that has not yet let go. */
function isTransient(error: unknown): boolean {
  if (error instanceof PlatformUnreachable) return true;
  if ((error as Error).name === "TimeoutError") return true;
  return (
    error instanceof ApiRefusal && [408, 409, 423, 429, 500, 502, 503, 504].includes(error.status)
  );
}
