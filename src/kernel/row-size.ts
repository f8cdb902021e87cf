/** A line of a log or an event as most are: longer ones count for several. */
const CHARACTERS_OF_A_ROW = 128;

/**
 * What a row with so many characters of text counts for in a batch, so that a bound in rows is one in
 * bytes too: a thousand messages of the longest lines would be more than a store takes at once.
 */
export function rowSize(characters: number): number {
  return 1 + Math.floor(characters / CHARACTERS_OF_A_ROW);
}
