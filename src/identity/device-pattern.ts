/** Patterns of device ids: `*` stands for any characters, `?` for one. */
export const DEVICE_PATTERN = /^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,127}$/;

/** Whether `text` matches a pattern of `*` and `?`; in time that grows with the product of both. */
export function matchesPattern(pattern: string, text: string): boolean {
  let inPattern = 0;
  let inText = 0;
  let star = -1;
  let restart = 0;
  while (inText < text.length) {
    const expected = pattern[inPattern];
    if (expected === "*") {
      star = inPattern;
      restart = inText;
      inPattern += 1;
    } else if (expected === "?" || expected === text[inText]) {
      inPattern += 1;
      inText += 1;
    } else if (star >= 0) {
      // The last star takes one more character, and what follows it is tried again.
      restart += 1;
      inText = restart;
      inPattern = star + 1;
    } else return false;
  }
  while (pattern[inPattern] === "*") inPattern += 1;
  return inPattern === pattern.length;
}
