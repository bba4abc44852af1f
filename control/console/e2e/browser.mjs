// Chromium, watched: whatever a page complains of, and whatever it asks of another host, is a fault.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
];

export async function openBrowser(origin) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", timezoneId: "UTC" });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  if (process.env.CONSOLE_DIST) {
    // While one works on the pages: the files just built, instead of those in the binary.
    await page.route("**/console/*", async (route) => {
      const response = await route.fetch();
      const name = new URL(route.request().url()).pathname.split("/").pop() || "index.html";
      await route.fulfill({ response, body: await readFile(`${process.env.CONSOLE_DIST}/${name}`) });
    });
  }
  const faults = [];
  const expected = [];
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    const text = message.text();
    const known = expected.findIndex((pattern) => pattern.test(text));
    if (known >= 0) expected.splice(known, 1);
    else faults.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) faults.push(`request to ${request.url()}`);
  });
  return {
    page,
    /** The next complaint that fits is part of the story. */
    expect: (pattern) => expected.push(pattern),
    /** Fails for what a page complained of so far. */
    check() {
      assert.deepEqual(faults, []);
      assert.deepEqual(expected, [], "an expected complaint did not come");
    },
    /** Fails for a serious or critical fault of accessibility (axe-core), light and dark. */
    async accessible(where) {
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        if (!(await page.evaluate(() => "axe" in globalThis))) {
          // The policy forbids scripts of others; the debugger's are not asked.
          await page.evaluate(await readFile(axe, "utf8"));
        }
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        const grave = violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
        assert.deepEqual(grave, [], `${where}, ${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: "light" });
    },
    /** Fails when the page is wider than a phone's screen. */
    async fitsPhone(where) {
      const { width, height } = page.viewportSize();
      await page.setViewportSize({ width: 375, height: 740 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${where} is ${over} px too wide for a phone`);
      await page.setViewportSize({ width, height });
    },
    close: () => browser.close(),
  };
}
