import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { chromium, type Page } from "playwright-core";

/**
 * Takes pictures of the console's pages on a running platform, to be looked at by a person:
 * `node tools/screenshots.ts --url http://127.0.0.1:8080 --tenant acme --paths fleet,rollouts`.
 * The password is read from VAUTN_PASSWORD.
 */
const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8080" },
    email: { type: "string", default: "" },
    tenant: { type: "string", default: "" },
    /** Pages below the tenant, comma-separated. */
    paths: { type: "string", default: "fleet,rollouts,releases,alerts,logs,audit,settings" },
    output: { type: "string", default: path.join(os.tmpdir(), "vautn-screenshots") },
    widths: { type: "string", default: "1440,420" },
    schemes: { type: "string", default: "light,dark" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});

/** Time for charts and transitions after the last answer. */
const SETTLE_MS = 700;
const LOADING_MS = 15_000;

fs.mkdirSync(values.output, { recursive: true });
const browser = await chromium.launch({
  executablePath: values.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
});
try {
  for (const scheme of values.schemes.split(",")) {
    for (const width of values.widths.split(",").map(Number)) {
      const context = await browser.newContext({
        viewport: { width, height: width < 600 ? 900 : 1000 },
        colorScheme: scheme === "dark" ? "dark" : "light",
      });
      const page = await context.newPage();
      page.on("pageerror", (error) => console.error(`  ! ${error.message}`));
      page.on("console", (message) => {
        if (message.type() === "error") console.error(`  ! ${message.text()}`);
      });
      await signIn(page);
      for (const place of values.paths.split(",").filter(Boolean)) {
        await page.goto(`${values.url}/t/${values.tenant}/${place}`);
        await page.waitForLoadState("load");
        // A page that does not come is worth a picture, too, and the others still are.
        await isLoaded(page).catch((error) => console.error(`  ! ${place}: ${error.message}`));
        await page.waitForTimeout(SETTLE_MS);
        await keep(page, `${place}-${scheme}-${width}`);
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
}

async function signIn(page: Page): Promise<void> {
  if (!values.email) return;
  await page.goto(`${values.url}/sign-in`);
  await page.getByLabel("E-mail").fill(values.email);
  await page.getByLabel("Password", { exact: true }).fill(process.env.VAUTN_PASSWORD ?? "");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

/** Waits until no list is on its way; what takes longer is a picture of that. */
async function isLoaded(page: Page): Promise<void> {
  await page.locator("main").waitFor({ timeout: LOADING_MS });
  await page.waitForTimeout(SETTLE_MS);
  const waiting = page.locator('[aria-busy="true"], .mantine-Skeleton-root');
  await waiting
    .first()
    .waitFor({ state: "detached", timeout: LOADING_MS })
    .catch(() => undefined);
}

async function keep(page: Page, name: string): Promise<void> {
  const file = path.join(values.output, `${name.replaceAll(/[^A-Za-z0-9-]+/g, "_")}.png`);
  await page.screenshot({ path: file, fullPage: true });
  console.log(file);
}
