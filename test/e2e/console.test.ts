import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accessProblems } from "../support/console-access.ts";
import { type ConsoleScene, setConsoleScene } from "../support/console-scene.ts";

const CHROMIUM = process.env.VAUTN_CHROMIUM ?? "/usr/bin/chromium";
const DEVICES = 12;
const PATIENCE_MS = 30_000;

const ACCESSIBLE_PLACES = [
  ...["fleet", "health", "telemetry", "rollouts", "releases", "certificates", "alerts", "logs"],
  ...["audit", "settings", "settings?tab=roles", "platform", "account", "devices/hub-001"],
];

describe.skipIf(!fs.existsSync(CHROMIUM))("The console in Chromium", () => {
  let scene: ConsoleScene;
  let browser: Browser;
  let page: Page;
  /** What the browser complained of: scripts, blocked content, failed requests. */
  const complaints: string[] = [];

  beforeAll(async () => {
    buildConsole();
    scene = await setConsoleScene({ devices: DEVICES });
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    });
    page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
  });

  afterAll(async () => {
    await browser?.close();
    await scene?.stop();
  });

  test("leads from a wrong password to the page that was asked for", async () => {
    await page.goto(`${scene.platform.consoleUrl}/t/${scene.tenant}/fleet`);
    await page.getByLabel("E-mail").fill(scene.platform.administrator?.email ?? "");
    await page.getByLabel("Password", { exact: true }).fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await visible(page.getByRole("alert").getByText("The e-mail or the password is wrong"));

    await page.getByLabel("Password", { exact: true }).fill(scene.platform.adminPassword);
    await page.getByRole("button", { name: "Sign in" }).click();
    await visible(page.getByRole("heading", { name: "Fleet" }));
    expect(new URL(page.url()).pathname).toBe(`/t/${scene.tenant}/fleet`);
    // 401 before and at the wrong password, which the browser reports as errors of its own.
    expect(complaints.filter((text) => !/\b401\b/.test(text))).toEqual([]);
    complaints.length = 0;
  });

  test("shows the fleet and drills down by clicking what is seen", async () => {
    await visible(page.getByRole("button", { name: new RegExp(`Online ?${DEVICES}`) }));
    await page.getByRole("button", { name: /^1\.0\.0: 12 devices/ }).click();
    await expectValue(page.getByLabel("Fleet query"), 'firmware.version = "1.0.0"');
    await page.getByRole("button", { name: /^eu-west: 4 devices/ }).click();
    await expectValue(
      page.getByLabel("Fleet query"),
      'firmware.version = "1.0.0" and region = "eu-west"',
    );
    const devices = page.getByRole("region", { name: "Devices" });
    await expectCount(devices.getByRole("link"), 4);
    await page.getByRole("button", { name: /^eu-west: 4 devices/ }).click();
    await expectCount(devices.getByRole("link"), DEVICES);
    expect(complaints).toEqual([]);
  });

  test("points at the place where a fleet query goes wrong", async () => {
    const query = page.getByLabel("Fleet query");
    await query.fill('region = "eu-west" and and');
    await query.press("Enter");
    await visible(page.getByText("▲"));
    expect(await query.getAttribute("aria-invalid")).toBe("true");
    await page.getByRole("button", { name: "Clear the query" }).click();
    await visible(page.getByRole("link", { name: "hub-001" }));
    // The refusal itself: the browser reports every 400.
    expect(complaints.filter((text) => !/\b400\b/.test(text))).toEqual([]);
    complaints.length = 0;
  });

  test("opens a device: what runs, its telemetry, and a command with its answer", async () => {
    await page.getByRole("link", { name: "hub-001" }).click();
    await visible(page.getByRole("heading", { name: "hub-001" }));
    await visible(page.getByText("Slot a"));
    await visible(page.getByText("1.0.0", { exact: true }).first());

    await page.getByRole("tab", { name: "Telemetry" }).click();
    await visible(page.getByRole("img", { name: "temperature over time" }).locator("canvas"));
    await visible(page.getByText(/^From the values themselves; points are kept for/).first());

    await page.getByRole("button", { name: "Send a command" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Command", { exact: true }).first().fill("ping");
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await visible(dialog.getByText("Succeeded"));
    await dialog.getByRole("button", { name: "Close" }).last().click();
    expect(complaints).toEqual([]);
  });

  test("explores telemetry: zooms, follows live values, exports, and tells what it takes", async () => {
    await page.getByRole("link", { name: "Telemetry", exact: true }).click();
    const chart = page.getByRole("img", { name: /over time, \d+ line/ }).locator("canvas");
    await visible(chart);
    const { x, y, width } = await boxOf(chart);
    await page.mouse.move(x + width * 0.6, y + 60);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.9, y + 60, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/[?&]from=/);
    await page.getByRole("button", { name: "Export" }).click();
    const csv = page.getByRole("menuitem", { name: "CSV" });
    const file = await page.request.get(
      new URL(String(await csv.getAttribute("href")), page.url()).href,
    );
    expect(await file.text()).toMatch(/^device/);
    await page.keyboard.press("Escape");
    await page.getByRole("switch", { name: "Live values" }).click();
    await visible(page.getByRole("table").getByRole("link", { name: "hub-001" }));

    await page.getByRole("tab", { name: "Storage" }).click();
    await visible(
      page
        .getByText("Points of declared metrics")
        .or(page.getByText("Points", { exact: true }))
        .first(),
    );
    await page.getByRole("tab", { name: "Retention" }).click();
    await visible(page.getByText(/rollups that are kept/));
    expect(complaints).toEqual([]);
  });

  test("starts a rollout after its plan was seen, pauses it and lets it go on", async () => {
    await scene.publish("1.1.0");
    await page.getByRole("link", { name: "Rollouts" }).click();
    await page.getByRole("button", { name: "New rollout" }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Release").first().click();
    await page.getByRole("option", { name: /hub 1\.1\.0/ }).click();
    await dialog.getByLabel("Devices").fill('product = "hub"');
    await dialog.getByRole("radio", { name: "Trial" }).check();
    await dialog.getByRole("button", { name: "Show the plan" }).click();
    await visible(dialog.getByText("12 devices from 1.0.0"));
    await dialog.getByRole("button", { name: /Start with 5 of 12 devices/ }).click();

    await visible(page.getByRole("heading", { name: "hub 1.1.0" }));
    await visible(page.getByRole("status").getByText("Live"));
    const canary = page.getByRole("listitem").filter({ hasText: "canary" });
    await visible(canary.getByText("of 5 · 100 %"));
    await visible(
      page.getByLabel("The gate's verdict").getByText(/The gate looks again|looking now/),
    );

    await page.getByRole("button", { name: "Pause" }).click();
    await visible(page.getByRole("dialog").getByText("7 devices stay as they are"));
    await page.getByRole("dialog").getByLabel("Reason").fill("a look at the canaries");
    await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await visible(page.getByText("Paused", { exact: true }).first());
    await visible(page.getByLabel("The gate's verdict").getByText(/a look at the canaries/));
    expect((await onlyRollout()).state).toBe("paused");

    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
    await visible(page.getByText("Running", { exact: true }).first());
    expect((await onlyRollout()).state).toBe("running");
    expect(complaints).toEqual([]);
  });

  test("follows the rollout by itself and shows its devices by state", async () => {
    await page.getByText(/^Succeeded \d+$/).click();
    await expectCount(
      page.getByRole("table", { name: "Devices of the rollout" }).getByRole("link"),
      5,
    );
    expect(complaints).toEqual([]);
  });

  test("lets people in with a role, and changes what holds for the tenant", async () => {
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("tab", { name: "Members" }).click();
    await page.getByRole("button", { name: "New person" }).click();
    const dialog = page.getByRole("dialog", { name: "New person" });
    await dialog.getByLabel("Name", { exact: true }).fill("Ada");
    await dialog.getByLabel("E-mail").fill("ada@example.com");
    await dialog.getByLabel("First password").fill("correct horse battery staple");
    await dialog.getByRole("button", { name: "Create the person" }).click();
    await page.getByRole("combobox", { name: "Role of Ada" }).click();
    await page.getByRole("option", { name: "viewer" }).click();
    await visible(page.getByText("ada@example.com is now viewer"));

    await page.getByRole("tab", { name: "General" }).click();
    await page.getByLabel("Offline after").fill("7");
    await page.getByRole("button", { name: "Save" }).click();
    await visible(page.getByText("The settings are in force"));
    const { body } = await scene.platform.api("GET", `/tenants/${scene.tenant}`);
    expect(body.settings.offlineAfterMissed).toBe(7);
    expect(complaints).toEqual([]);
  });

  test("shows when certificates end, and puts a device in quarantine and out of it", async () => {
    await page.getByRole("link", { name: "Certificates" }).click();
    await visible(page.getByRole("group", { name: `When ${DEVICES} certificates end, by week` }));
    await visible(page.getByLabel("Kinds of keys").getByText("ec-p256"));
    await page.getByRole("tab", { name: "All certificates" }).click();
    await page.getByRole("link", { name: "hub-002" }).first().click();
    await visible(page.getByRole("table", { name: "Certificates" }).getByText("In force"));
    await page.getByRole("button", { name: "More actions" }).click();
    await page.getByRole("menuitem", { name: "Put in quarantine…" }).click();
    await page.getByRole("dialog").getByLabel("Reason").fill("strange traffic");
    await page.getByRole("dialog").getByRole("button", { name: "Put in quarantine" }).click();
    await visible(page.getByRole("alert").getByText(/strange traffic/));
    await page.getByRole("button", { name: "More actions" }).click();
    await page.getByRole("menuitem", { name: "Lift the quarantine…" }).click();
    await page.getByRole("dialog").getByLabel("Reason").fill("image verified");
    await page.getByRole("dialog").getByRole("button", { name: "Lift the quarantine" }).click();
    await visible(page.getByText("hub-002 is out of quarantine"));
    await page.getByRole("link", { name: "Alerts" }).click();
    expect(complaints).toEqual([]);
  });

  test("sends a command to many devices and follows them to their answers", async () => {
    await page.getByRole("link", { name: "Commands" }).click();
    await page.getByRole("button", { name: "Send to many" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Command").first().fill("ping");
    await dialog.getByLabel("Devices").fill("id in");
    await dialog.getByRole("button", { name: "Send" }).click();
    // What is wrong with a query is told where it stands.
    await visible(dialog.getByText(/\(at character \d+\)/));
    await dialog.getByLabel("Devices").fill("id in (hub-001, hub-002, hub-003)");
    await dialog.getByRole("button", { name: "Send" }).click();
    await visible(page.getByRole("heading", { name: "ping" }));
    await visible(page.getByText("Succeeded 3"));
    await page.getByText("Succeeded 3").click();
    const table = page.getByRole("table", { name: "Devices of the batch" });
    await visible(table.getByRole("link", { name: "hub-003" }));
    await visible(table.getByText('"pong":true').first());

    await page.getByRole("link", { name: "Commands", exact: true }).first().click();
    await page.getByRole("button", { name: "Send to many" }).click();
    await dialog.getByLabel("Command").first().fill("ping");
    await dialog.getByLabel("Devices").fill("id in (hub-001, hub-002, hub-003)");
    await dialog.getByLabel("Together").fill("1");
    await dialog.getByLabel("Interval").fill("600");
    await dialog.getByRole("button", { name: "Send" }).click();
    await visible(page.getByText("Waiting 2"));
    await page.getByRole("button", { name: "Cancel the rest" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel the rest" }).click();
    await visible(page.getByText("Cancelled 2"));

    await page.getByRole("link", { name: "Commands", exact: true }).first().click();
    await page.getByRole("button", { name: "Send to many" }).click();
    await dialog.getByLabel("Command").first().fill("ping");
    await dialog.getByText("By name").click();
    const names = dialog.getByLabel("Devices", { exact: true });
    await names.fill("hub-001");
    await names.press("Enter");
    await names.fill("nobody");
    await names.press("Enter");
    await dialog.getByRole("button", { name: "Send" }).click();
    await visible(dialog.getByText("no active device nobody"));
    // The last name goes, and a whole list comes.
    await names.press("Backspace");
    await names.fill("hub-002, hub-003");
    await names.press("Enter");
    await visible(dialog.getByText("hub-003"));
    await dialog.getByRole("button", { name: "Send" }).click();
    await visible(page.getByRole("heading", { name: "ping" }));
    await visible(page.getByText("Succeeded 3"));
    await page.getByRole("link", { name: "Alerts" }).click();
    expect(complaints.filter((text) => !/\b40[04]\b/.test(text))).toEqual([]);
    complaints.length = 0;
  });

  test("publishes a release from files, promotes it, and refuses another image", async () => {
    const { manifest, image } = scene.files("1.2.0");
    await page.getByRole("link", { name: "Releases" }).click();
    const table = page.getByRole("table", { name: "Releases" });
    await visible(table.getByRole("link", { name: "1.1.0" }));
    await page.getByRole("button", { name: "Publish" }).click();
    const dialog = page.getByRole("dialog", { name: "Publish a release" });
    const choose = (at: number, name: string, buffer: Buffer) =>
      page
        .locator("input[type=file]")
        .nth(at)
        .setInputFiles({ name, mimeType: "application/octet-stream", buffer });
    await choose(0, "release.json", manifest);
    await choose(1, "other.bin", scene.files("6.6.6").image);
    await dialog.getByRole("button", { name: "Publish" }).click();
    await visible(page.getByRole("alert").first());
    await choose(1, "firmware.bin", image);
    await dialog.getByRole("button", { name: "Publish" }).click();
    await visible(page.getByText("hub 1.2.0 is published"));

    await table.getByRole("link", { name: "1.2.0" }).click();
    await visible(page.getByRole("heading", { name: "hub 1.2.0" }));
    await visible(page.getByText("What is new in 1.2.0."));
    await page.getByRole("button", { name: "Promote to beta…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Promote to beta" }).click();
    await visible(page.getByText("hub 1.2.0 is in beta"));
    await visible(page.getByRole("button", { name: "Promote to stable…" }));
    expect(complaints.filter((text) => !/\b422\b|\b400\b/.test(text))).toEqual([]);
    complaints.length = 0;
  });

  test("shows a release's deltas, withdraws it, and its rollout ends", async () => {
    await page.getByRole("link", { name: "Releases" }).first().click();
    const table = page.getByRole("table", { name: "Releases" });
    await table.getByRole("link", { name: "1.1.0" }).click();
    await visible(page.getByRole("heading", { name: "hub 1.1.0" }));
    await visible(page.getByText("From 1.0.0"));
    await page.getByRole("button", { name: "Withdraw…" }).click();
    const dialog = page.getByRole("dialog");
    const confirm = dialog.getByRole("button", { name: "Withdraw the release" });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel("Reason").fill("the pump stalls");
    await confirm.click();
    await visible(page.getByRole("alert").getByText("the pump stalls"));
    await expectCount(page.getByRole("button", { name: "Roll it out" }), 0);
    await expect
      .poll(async () => (await onlyRollout()).state, { timeout: PATIENCE_MS })
      .toBe("cancelled");

    await page.getByRole("link", { name: "Releases" }).first().click();
    await page.getByRole("combobox", { name: "Status" }).click();
    await page.getByRole("option", { name: "Withdrawn" }).click();
    await expectCount(table.getByRole("link"), 1);
    await visible(table.getByText("Withdrawn"));
    expect(complaints).toEqual([]);
  });

  test("is usable at the width of a phone and in the dark", async () => {
    await page.setViewportSize({ width: 420, height: 900 });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("link", { name: "Fleet" }).click();
    await visible(page.getByRole("link", { name: "hub-001" }));
    const sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    expect(await page.evaluate(sideways)).toBe(0);
    const scheme = "document.documentElement.dataset.mantineColorScheme";
    expect(await page.evaluate(scheme)).toBe("dark");
    expect(complaints).toEqual([]);
  });

  test("takes a passkey in place of the password, until it is removed", async () => {
    complaints.length = 0;
    await page.setViewportSize({ width: 1440, height: 1000 });
    const { removed } = await virtualAuthenticator(page);
    const account = `${scene.platform.consoleUrl}/t/${scene.tenant}/account`;
    await page.goto(account);
    const dialog = page.getByRole("dialog");
    // A code that is mistyped is answered where it was typed: nobody is signed out for it.
    await page.getByRole("button", { name: "Set up" }).click();
    await dialog.getByLabel("The code that the app shows").fill("000000");
    await dialog.getByRole("button", { name: "Confirm" }).click();
    await visible(page.getByText("the code is wrong, or was used"));
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a passkey" }).click();
    await dialog.getByLabel("Name").fill("Laptop");
    await dialog.getByRole("button", { name: "Go on" }).click();
    const remove = page.getByRole("button", { name: "Remove the passkey Laptop" });
    await visible(remove);
    await signOut();
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await visible(page.getByRole("heading", { name: "Fleet" }));
    await page.goto(account);
    await visible(page.getByRole("cell", { name: "passkey" }));
    await remove.click();
    await visible(page.getByText("The passkey is removed"));
    await signOut();
    // The authenticator has it still: it is the platform that does not know it any more.
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await visible(page.getByRole("alert").getByText("The passkey did not sign you in."));
    await removed();
    await page.getByLabel("E-mail").fill(scene.platform.administrator?.email ?? "");
    await page.getByLabel("Password", { exact: true }).fill(scene.platform.adminPassword);
    await page.getByRole("button", { name: "Sign in" }).click();
    await visible(page.getByRole("heading", { name: "Fleet" }));
    expect(complaints.filter((text) => !/\b401\b/.test(text))).toEqual([]);
    complaints.length = 0;
  });

  test("can be used by who hears it or sees little, light and dark", async () => {
    const found: string[] = [];
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const place of ACCESSIBLE_PLACES) {
        await page.goto(`${scene.platform.consoleUrl}/t/${scene.tenant}/${place}`);
        await visible(page.getByRole("heading", { level: 1 }));
        await expectCount(page.locator(".mantine-Skeleton-root"), 0);
        const problems = await accessProblems(page);
        found.push(...problems.map((problem) => `${colorScheme} ${place}: ${problem}`));
      }
    }
    await page.emulateMedia({ colorScheme: null });
    expect(found).toEqual([]);
  });

  test("lets nobody back in after signing out", async () => {
    await signOut();
    await page.goto(`${scene.platform.consoleUrl}/fleet`);
    await visible(page.getByRole("heading", { name: "Sign in" }));
  });

  async function signOut(): Promise<void> {
    await page.getByRole("button", { name: /Appearance and signing out/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await visible(page.getByRole("heading", { name: "Sign in" }));
  }

  async function onlyRollout(): Promise<{ state: string }> {
    const { body } = await scene.platform.api("GET", `/tenants/${scene.tenant}/rollouts`);
    expect(body.items).toHaveLength(1);
    return body.items[0];
  }
});

/** An authenticator within the browser, whose owner agrees to everything at once (WebAuthn §11). */
async function virtualAuthenticator(page: Page): Promise<{ removed(): Promise<void> }> {
  const protocol = await page.context().newCDPSession(page);
  await protocol.send("WebAuthn.enable");
  const { authenticatorId } = await protocol.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      ...({ protocol: "ctap2", transport: "internal" } as const),
      ...{ hasResidentKey: true, hasUserVerification: true, isUserVerified: true },
      automaticPresenceSimulation: true,
    },
  });
  return {
    async removed() {
      await protocol.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId });
      await protocol.send("WebAuthn.disable");
      await protocol.detach();
    },
  };
}

/** What is being tested is the console as it is built now. */
function buildConsole(): void {
  const root = path.resolve(import.meta.dirname, "../..");
  execFileSync(process.execPath, [path.join(root, "tools/build-web.ts")], { stdio: "ignore" });
}

async function boxOf(locator: Locator) {
  const box = await locator.boundingBox();
  if (!box) throw new Error("it is nowhere on the page");
  return box;
}

async function visible(locator: Locator): Promise<void> {
  await locator.waitFor({ state: "visible" });
}

async function expectValue(input: Locator, value: string): Promise<void> {
  await expect.poll(() => input.inputValue(), { timeout: PATIENCE_MS }).toBe(value);
}

async function expectCount(locator: Locator, count: number): Promise<void> {
  await expect.poll(() => locator.count(), { timeout: PATIENCE_MS }).toBe(count);
}
