/** Finds the operands of one processor's code that move when code moves. */
export interface Instructions {
  /** Whether addresses of code carry a mode in their lowest bit. */
  readonly taggedAddresses: boolean;
  /** A region of the old image begins here. */
  enter(source: number): void;
  /**
   * At each byte; `within` is the distance from the beginning of the field that is open, or -1.
   * Begins a field and returns true where an operand starts here; may set `kind` of a plain word.
   */
  begin(source: number, target: number, within: number, hasSpace: boolean): boolean;
  /**
   * Whether `begin` may return true for one of the three bytes behind the beginning of a word.
   * Where it is false, `begin` need not be called for them.
   */
  mayBeginWithin(source: number): boolean;
  /** Kind of the plain word that begins here. */
  kindOfWord(source: number): number;
  /** The field that it began is complete. */
  learn(source: number, target: number): void;
}
