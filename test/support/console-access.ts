import type { Page } from "playwright-core";
import { faintTexts } from "./faint-texts.mjs";

/** Roles that nobody can use without a name. */
const NEEDS_A_NAME =
  /^\s*- (button|link|textbox|combobox|checkbox|switch|radio|tab|searchbox|spinbutton|columnheader|dialog)(?: \[[^\]]*\])*:?$/;

/**
 * What keeps people from using the page who hear it or see little (WCAG 2.2: 1.3.1, 1.4.3, 4.1.2):
 * controls and columns without a name, a page without its main part, and faint words.
 */
export async function accessProblems(page: Page): Promise<string[]> {
  const tree = (await page.locator("body").ariaSnapshot()).split("\n");
  const nameless = tree.filter((line) => NEEDS_A_NAME.test(line)).map((line) => line.trim());
  const hasMain = tree.some((line) => /^\s*- main/.test(line));
  const faint = await page.evaluate(faintTexts);
  return [...(hasMain ? [] : ["no main part"]), ...nameless, ...faint];
}
