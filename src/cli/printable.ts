/** Text from elsewhere cannot move the cursor or write over what stands there. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is replaced
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\u00b7");
}

/** The same for what stands in one line with other things: it cannot begin a line of its own. */
export function oneLine(text: string): string {
  return printable(text).replaceAll("\n", "\u00b7");
}
