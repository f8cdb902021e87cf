/** The verified content of a component, wherever it lies. */
export interface ComponentContent {
  sha256: string;
  sizeBytes: number;
  /** Of the release that it belongs to. */
  version: string;
  read(offset: number, length: number): Promise<Uint8Array>;
}

/**
 * Something beside the image that a release brings: a bootloader, an application, the firmware of a
 * microcontroller. Every method may be cut off anywhere and called again; each rejects with the
 * reason where it cannot be done.
 */
export interface Component {
  /** SHA-256 of what is in use, as found there; null where that cannot be told. */
  installed(): Promise<string | null>;
  /** Puts the content where `activate` finds it; what is in use stays so. */
  stage(content: ComponentContent, signal: AbortSignal): Promise<void>;
  /** Takes what was staged into use, on trial; what was in use before is kept. */
  activate(sha256: string, signal: AbortSignal): Promise<void>;
  /** What is in use is good: what was before may go. */
  confirm(): Promise<void>;
  /** What was in use before is so again, and what was staged is gone. */
  revert(): Promise<void>;
}

/** By the word that releases have for them, in the order in which they are taken into use. */
export type Components = ReadonlyMap<string, Component>;
