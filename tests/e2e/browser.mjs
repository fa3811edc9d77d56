// Pages in headless Chromium, driven by JSON lines: {"id", "do", "page", …} in, {"id", "result" | "error"} out.

import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../js/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const folder = await mkdtemp(join(tmpdir(), "anywire-chromium-"));
const context = await chromium.launchPersistentContext(folder, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  // Playwright's own handlers would leave before the folder is removed.
  handleSIGTERM: false,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
context.setDefaultTimeout(Number(process.argv[2] ?? 10_000));
const pages = new Map();
const troubles = [];

const actions = {
  async open({ page: name, url }) {
    const page = await context.newPage();
    pages.set(name, page);
    const trouble = (text) => {
      troubles.push(`${name}: ${text}`);
      console.error(`${name}: ${text}`);
    };
    page.on("pageerror", (error) => trouble(String(error)));
    page.on("console", (message) => message.type() === "error" && trouble(message.text()));
    await page.goto(url);
  },
  fill: ({ page, label, text }) => of(page).getByLabel(label, { exact: true }).fill(text),
  press: ({ page, label, key }) => of(page).getByLabel(label, { exact: true }).press(key),
  choose: ({ page, label, text }) => of(page).getByLabel(label, { exact: true }).selectOption({ label: text }),
  click: ({ page, role, name }) => of(page).getByRole(role, { name }).click(),
  /** Waits until an element shows this text. */
  see: ({ page, selector, text }) => of(page).locator(selector).filter({ hasText: text }).first().waitFor(),
  texts: ({ page, selector }) => of(page).locator(selector).allInnerTexts(),
  evaluate: ({ page, code }) => of(page).evaluate(code),
  /** Ends what the page has under way. */
  close: ({ page }) => of(page).close(),
  troubles: () => troubles,
  async shoot({ page, path, width, height, scheme }) {
    await of(page).emulateMedia({ colorScheme: scheme });
    await of(page).setViewportSize({ width, height });
    await of(page).screenshot({ path });
  },
};

function of(name) {
  return pages.get(name);
}

async function answer(line) {
  const { id, do: action, ...options } = JSON.parse(line);
  try {
    const result = await actions[action](options);
    console.log(JSON.stringify({ id, result: result ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: String(error) }));
  }
}

async function end() {
  await context.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  process.exit(0);
}

console.log(JSON.stringify({ id: 0, result: "ready" }));
process.on("SIGTERM", end);
createInterface({ input: process.stdin }).on("line", answer).on("close", end);
