import { header } from "../kernel/der.ts";

/** A place of known size whose bytes differ from one filling to the next. */
export interface Gap {
  gap: string;
  size: number;
}

interface Nest {
  tag: number;
  parts: readonly Part[];
}

export type Part = Uint8Array | Gap | Nest;

export const gap = (name: string, size: number): Gap => ({ gap: name, size });
export const nest = (tag: number, ...parts: Part[]): Nest => ({ tag, parts });

/**
 * DER that is written once and filled in many times. Every length in it stands, so a filling is one
 * copy and a few writes: that is what makes issuing as fast as the signature alone.
 */
export class DerTemplate {
  readonly #bytes: Buffer;
  readonly #gaps: { name: string; at: number; size: number }[] = [];

  constructor(root: Part) {
    this.#bytes = Buffer.alloc(sizeOf(root));
    this.#write(root, 0);
  }

  /** The bytes with every gap filled; a value that does not fit its gap is a programmer's error. */
  fill(values: Readonly<Record<string, Uint8Array>>): Buffer {
    const filled = Buffer.from(this.#bytes);
    for (const { name, at, size } of this.#gaps) {
      const value = values[name];
      if (value?.length !== size) throw new Error(`the gap ${name} takes ${size} bytes`);
      filled.set(value, at);
    }
    return filled;
  }

  #write(part: Part, at: number): number {
    if (part instanceof Uint8Array) {
      this.#bytes.set(part, at);
      return at + part.length;
    }
    if ("gap" in part) {
      this.#gaps.push({ name: part.gap, at, size: part.size });
      return at + part.size;
    }
    const head = header(part.tag, contentSize(part));
    this.#bytes.set(head, at);
    return part.parts.reduce((next, inner) => this.#write(inner, next), at + head.length);
  }
}

function sizeOf(part: Part): number {
  if (part instanceof Uint8Array) return part.length;
  if ("gap" in part) return part.size;
  const size = contentSize(part);
  return header(part.tag, size).length + size;
}

function contentSize(part: Nest): number {
  return part.parts.reduce((sum, inner) => sum + sizeOf(inner), 0);
}
