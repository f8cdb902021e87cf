import { createHash } from "node:crypto";
import net from "node:net";
import { decode, encode } from "cborg";
import { mcubootHash } from "../../src/agent/components/smp/mcuboot-image.ts";
import { encodeFrames, FrameReader } from "../../src/agent/components/smp/serial-frames.ts";

interface Slot {
  image: Buffer;
  confirmed: boolean;
  pending: boolean;
}

/** A microcontroller with MCUboot and mcumgr's image and OS groups, behind a TCP port. */
export class SmpServer {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #slots: [Slot | undefined, Slot | undefined];
  #upload: { image: Buffer; sha: string; at: number } | undefined;
  /** Requests of an upload that were answered. */
  uploads: number[] = [];
  /** Requests that get lost before one is answered again. */
  loses = 0;
  /** An image that MCUboot does not take, so that it stays with the old one. */
  refusesImage = false;
  /** Writes this between the lines, as a console does. */
  chatter = "[00:00:01.234] <inf> app: hello\r\n";

  constructor(image: Buffer) {
    this.#slots = [{ image, confirmed: true, pending: false }, undefined];
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      const reader = new FrameReader((packet) => this.#take(socket, packet));
      socket.on("data", (bytes) => reader.push(bytes as Buffer)).on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get running(): Buffer {
    return (this.#slots[0] as Slot).image;
  }

  get isConfirmed(): boolean {
    return this.#slots[0]?.confirmed === true;
  }

  /** Power goes and comes: MCUboot swaps what is pending in, and what was not confirmed back. */
  restart(): void {
    const [active, other] = this.#slots;
    const swaps = other?.pending ? !this.refusesImage : active?.confirmed === false;
    if (swaps && other) {
      const confirmed = !other.pending;
      this.#slots = [{ ...other, pending: false, confirmed }, active];
    } else if (other) {
      other.pending = false;
    }
  }

  #take(socket: net.Socket, packet: Buffer): void {
    if (this.loses > 0) {
      this.loses -= 1;
      return;
    }
    const group = packet.readUInt16BE(4);
    const id = packet[7] ?? 0;
    const request = decode(packet.subarray(8)) as Record<string, unknown>;
    const answer = encode(this.#answer(group, id, packet[0] === 2, request));
    const head = Buffer.from(packet.subarray(0, 8));
    head[0] = (packet[0] ?? 0) + 1;
    head.writeUInt16BE(answer.length, 2);
    const frames = encodeFrames(Buffer.concat([head, answer]));
    socket.write(Buffer.concat([Buffer.from(this.chatter), frames]));
    if (group === 0 && id === 5) this.restart();
  }

  #answer(group: number, id: number, writes: boolean, request: Record<string, unknown>): object {
    if (group === 0) return {};
    if (id === 0) return writes ? this.#setState(request) : { images: this.#states() };
    if (id === 1) return this.#store(request);
    if (id === 5) {
      this.#slots[1] = undefined;
      return {};
    }
    return { rc: 8 };
  }

  #states(): object[] {
    return this.#slots.flatMap((slot, index) =>
      slot
        ? {
            ...{ slot: index, version: "1.0.0", hash: mcubootHash(slot.image), bootable: true },
            ...{ pending: slot.pending, confirmed: slot.confirmed, active: index === 0 },
          }
        : [],
    );
  }

  #setState({ hash, confirm }: Record<string, unknown>): object {
    const slot = this.#slots.find(
      (one) => one && mcubootHash(one.image)?.equals(Buffer.from(hash as Uint8Array)),
    );
    if (!slot) return { err: { group: 1, rc: 8 } };
    if (confirm) slot.confirmed = true;
    else slot.pending = true;
    return { images: this.#states() };
  }

  #store({ off, data, len, sha }: Record<string, unknown>): object {
    const bytes = Buffer.from(data as Uint8Array);
    if (off === 0) {
      const name = Buffer.from(sha as Uint8Array).toString("hex");
      // An upload of the same file goes on where it was.
      if (this.#upload?.sha === name && this.#upload.at > 0) return { off: this.#upload.at };
      this.#upload = { image: Buffer.alloc(Number(len)), sha: name, at: 0 };
    }
    const upload = this.#upload;
    if (!upload || off !== upload.at) return { off: upload?.at ?? 0 };
    this.uploads.push(Number(off));
    bytes.copy(upload.image, upload.at);
    upload.at += bytes.length;
    if (upload.at === upload.image.length) {
      if (createHash("sha256").update(upload.image).digest("hex") !== upload.sha) return { rc: 3 };
      this.#slots[1] = { image: upload.image, confirmed: false, pending: false };
      this.#upload = undefined;
    }
    return { off: upload.at };
  }
}

/** An unsigned image as `imgtool` lays it out: header, content, trailer with the hash. */
export function mcubootImage(content: Buffer, protectedTlv = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt32LE(0x96f3b83d, 0);
  header.writeUInt16LE(32, 8);
  header.writeUInt16LE(protectedTlv.length, 10);
  header.writeUInt32LE(content.length, 12);
  const signed = Buffer.concat([header, content, protectedTlv]);
  const hash = createHash("sha256").update(signed).digest();
  const trailer = Buffer.alloc(8);
  trailer.writeUInt16LE(0x6907, 0);
  trailer.writeUInt16LE(8 + hash.length, 2);
  trailer.writeUInt16LE(0x10, 4);
  trailer.writeUInt16LE(hash.length, 6);
  return Buffer.concat([signed, trailer, hash]);
}
