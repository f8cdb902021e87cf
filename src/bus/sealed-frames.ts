import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { BusMessage } from "./bus.ts";

/** Messages as they travel between machines: who runs the broker reads, changes and repeats none. */
export interface SealedFrames {
  seal(subject: string, message: BusMessage): Buffer;
  /** Undefined for what is not of this installation, was changed, came before or is too old. */
  open(frame: Uint8Array): { subject: string; message: BusMessage } | undefined;
}

const VERSION = 1;
const SENDER_BYTES = 16;
const HEADER_BYTES = 1 + SENDER_BYTES + 8;
const TAG_BYTES = 16;
/** How far clocks may differ; a sender that is new to a receiver is believed for so long after it spoke. */
const MAX_AGE_MS = 300_000;
const MAX_SENDERS = 1_000;

interface Sender {
  key: Buffer;
  newest: bigint;
}

/**
 * AES-256-GCM under a key of the sender's own (RFC 5869, salted with its random name), the nonce a
 * counter: version, sender, counter, ciphertext, tag. A counter that is not greater than the last one
 * of its sender is a repetition. `onUntimely` hears by how much a message of this installation is too old,
 * or comes from the future: a sender's clock is wrong, or the message was held back.
 */
export function createSealedFrames(
  key: Uint8Array,
  now: () => number,
  onUntimely: (ageMs: number) => void = () => {},
): SealedFrames {
  const name = randomBytes(SENDER_BYTES);
  const ownKey = keyOf(name);
  const senders = new Map<string, Sender>();
  let sent = 0n;

  function keyOf(sender: Uint8Array): Buffer {
    return Buffer.from(hkdfSync("sha256", key, sender, "vautn bus frames", 32));
  }

  return {
    seal(subject, message) {
      sent += 1n;
      const header = Buffer.alloc(HEADER_BYTES);
      header[0] = VERSION;
      name.copy(header, 1);
      header.writeBigUInt64BE(sent, 1 + SENDER_BYTES);
      const cipher = createCipheriv("aes-256-gcm", ownKey, nonceOf(header)).setAAD(header);
      const text = JSON.stringify([now(), subject, message]);
      return Buffer.concat([
        header,
        cipher.update(text, "utf8"),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
    },

    open(frame) {
      const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
      if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== VERSION) return undefined;
      const header = bytes.subarray(0, HEADER_BYTES);
      const sender = header.subarray(1, 1 + SENDER_BYTES);
      if (sender.equals(name)) return undefined;
      const id = sender.toString("hex");
      const known = senders.get(id);
      const counter = header.readBigUInt64BE(1 + SENDER_BYTES);
      if (known && counter <= known.newest) return undefined;
      const senderKey = known?.key ?? keyOf(sender);
      const content = unseal(bytes, header, senderKey);
      if (!content) return undefined;
      const ageMs = now() - content.sentAt;
      if (Math.abs(ageMs) > MAX_AGE_MS) {
        onUntimely(ageMs);
        return undefined;
      }
      // Whoever spoke last is forgotten last.
      senders.delete(id);
      senders.set(id, { key: senderKey, newest: counter });
      const [oldest] = senders.keys();
      if (senders.size > MAX_SENDERS && oldest !== undefined) senders.delete(oldest);
      return { subject: content.subject, message: content.message };
    },
  };
}

function unseal(bytes: Buffer, header: Buffer, key: Buffer) {
  const decipher = createDecipheriv("aes-256-gcm", key, nonceOf(header))
    .setAAD(header)
    .setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    const body = bytes.subarray(HEADER_BYTES, -TAG_BYTES);
    const text = Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
    const [sentAt, subject, message] = JSON.parse(text) as [number, string, BusMessage];
    return { sentAt, subject, message };
  } catch {
    return undefined;
  }
}

/** Twelve bytes: the counter alone differs, under a key that no other sender has. */
function nonceOf(header: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), header.subarray(1 + SENDER_BYTES)]);
}
