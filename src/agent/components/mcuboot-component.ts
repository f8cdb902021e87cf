import { type Clock, sleep } from "../../kernel/index.ts";
import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";
import type { Component, ComponentContent } from "./component.ts";
import { mcubootHash } from "./smp/mcuboot-image.ts";
import { SMP, SmpClient, type SmpLine } from "./smp/smp-client.ts";

export interface McubootOptions {
  name: string;
  storage: Storage;
  clock: Clock;
  /** Opens the line anew for each piece of work. */
  open(): Promise<SmpLine>;
  /** How long a restart of the microcontroller, with its swap of images, may take. */
  restartMs: number;
  /** Bytes of the image in one request; what the microcontroller's buffer takes. */
  chunkBytes: number;
}

/** An image by its file's hash and by the one that MCUboot knows it by, both in hex. */
interface KnownImage {
  sha256: string;
  hash: string;
}

interface McubootRecord {
  staged: KnownImage | null;
  inUse: KnownImage | null;
  /** What ran before, by MCUboot's hash; null where no trial is under way. */
  previous: string | null;
}

interface ImageState {
  slot: number;
  hash?: Uint8Array;
  active?: boolean;
  confirmed?: boolean;
  pending?: boolean;
}

/** Above any image of a microcontroller. */
const MAX_IMAGE_BYTES = 16 * 1024 ** 2;
const LOOK_AGAIN_MS = 500;
const NOTHING: McubootRecord = { staged: null, inUse: null, previous: null };

/**
 * A microcontroller with MCUboot behind this device, spoken to by SMP: the image goes to its second
 * slot, is tried at a restart, and swapped back by MCUboot itself unless it is confirmed.
 */
export class McubootComponent implements Component {
  readonly #options: McubootOptions;

  constructor(options: McubootOptions) {
    this.#options = options;
  }

  async installed(): Promise<string | null> {
    const { inUse, staged } = await this.#record();
    const active = await this.#with((client) => activeHash(client));
    return [inUse, staged].find((known) => known?.hash === active)?.sha256 ?? null;
  }

  stage(content: ComponentContent, signal: AbortSignal): Promise<void> {
    return this.#with(async (client) => {
      const image = await wholeOf(content);
      const hash = mcubootHash(image)?.toString("hex");
      if (!hash) throw new Error("the file is no image for MCUboot");
      const staged = { sha256: content.sha256, hash };
      await this.#change((record) => ({ ...record, staged }));
      const states = await imageStates(client);
      if (states.some((state) => hexOf(state.hash) === hash)) return;
      await upload(client, image, content.sha256, this.#options.chunkBytes, signal);
    });
  }

  activate(sha256: string, signal: AbortSignal): Promise<void> {
    return this.#with(async (client) => {
      const { staged } = await this.#record();
      if (staged?.sha256 !== sha256) throw new Error("it was not staged");
      const active = await activeHash(client);
      if (active === staged.hash) return;
      // On disk first: whatever happens now, it is known what to go back to.
      await this.#change((record) => ({ ...record, previous: record.previous ?? active }));
      const hash = Buffer.from(staged.hash, "hex");
      await client.write(SMP.image.group, SMP.image.state, { hash, confirm: false }, signal);
      await this.#restartInto(client, staged.hash, signal);
    });
  }

  confirm(): Promise<void> {
    return this.#with(async (client) => {
      const { staged } = await this.#record();
      if (!staged) return;
      const hash = Buffer.from(staged.hash, "hex");
      await client.write(SMP.image.group, SMP.image.state, { hash, confirm: true });
      await this.#change(() => ({ inUse: staged, staged: null, previous: null }));
    });
  }

  revert(): Promise<void> {
    return this.#with(async (client) => {
      const { previous, staged } = await this.#record();
      const active = await activeHash(client);
      if (previous && active !== previous) {
        // Not confirmed: MCUboot swaps back at the next start.
        await this.#restartInto(client, previous);
      }
      if (staged) {
        // What is only pending would be tried at some later start.
        const pending = (await imageStates(client)).some(({ pending }) => pending);
        if (pending) await client.write(SMP.image.group, SMP.image.erase, { slot: 1 });
      }
      await this.#change((record) => ({ ...record, staged: null, previous: null }));
    });
  }

  async #restartInto(client: SmpClient, hash: string, signal?: AbortSignal): Promise<void> {
    const { clock, restartMs } = this.#options;
    await client.write(SMP.os.group, SMP.os.reset, {}, signal);
    const end = clock.now() + restartMs;
    let found = "nothing";
    while (clock.now() < end) {
      await sleep(clock, LOOK_AGAIN_MS, signal ?? new AbortController().signal);
      try {
        found = (await activeHash(client)) ?? "nothing";
      } catch {
        continue; // It is still starting.
      }
      if (found === hash) return;
    }
    throw new Error(`${found} runs after the restart, not ${hash}`);
  }

  async #with<T>(work: (client: SmpClient) => Promise<T>): Promise<T> {
    const client = new SmpClient(await this.#options.open());
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  }

  async #record(): Promise<McubootRecord> {
    const found = await readDocument(this.#options.storage, this.#file);
    return found && found !== "damaged" ? (found.document as McubootRecord) : NOTHING;
  }

  async #change(change: (record: McubootRecord) => McubootRecord): Promise<void> {
    await writeDocument(this.#options.storage, this.#file, change(await this.#record()));
  }

  get #file(): string {
    return `component-${this.#options.name}.json`;
  }
}

async function imageStates(client: SmpClient): Promise<ImageState[]> {
  const { images } = await client.read(SMP.image.group, SMP.image.state);
  return Array.isArray(images) ? (images as ImageState[]) : [];
}

async function activeHash(client: SmpClient): Promise<string | null> {
  const active = (await imageStates(client)).find((state) => state.active);
  return active ? hexOf(active.hash) : null;
}

function hexOf(hash: Uint8Array | undefined): string {
  return hash ? Buffer.from(hash).toString("hex") : "";
}

/** Goes on where the microcontroller says that it stands, be it from an upload that was cut off. */
async function upload(
  client: SmpClient,
  image: Buffer,
  sha256: string,
  chunkBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const sha = Buffer.from(sha256, "hex");
  let offset = 0;
  // Each answer moves on or names a place to go back to: more requests than chunks are a fault.
  for (let left = 4 * Math.ceil(image.length / chunkBytes) + 4; offset < image.length; left -= 1) {
    signal.throwIfAborted();
    if (left === 0) throw new Error(`the upload does not get beyond byte ${offset}`);
    const data = image.subarray(offset, offset + chunkBytes);
    const first = offset === 0 ? { image: 0, len: image.length, sha } : {};
    const request = { ...first, off: offset, data };
    const answer = await client.write(SMP.image.group, SMP.image.upload, request, signal);
    const next = Number(answer.off);
    if (!Number.isSafeInteger(next) || next < 0 || next > image.length) {
      throw new Error(`the microcontroller wants byte ${String(answer.off)}`);
    }
    offset = next;
  }
}

async function wholeOf(content: ComponentContent): Promise<Buffer> {
  if (content.sizeBytes > MAX_IMAGE_BYTES) throw new Error("the image is too large");
  return Buffer.from(await content.read(0, content.sizeBytes));
}
