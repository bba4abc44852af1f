// Figures of the console: first load, and a list of 100,000 calls. usage: node e2e/measure.mjs
// Wants python3, whose SQLite writes the calls.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { openBrowser } from "./browser.mjs";
import { startServer } from "./server.mjs";

const CALLS = 100_000;
const INSERT = `
import sqlite3, sys, time, uuid
db = sqlite3.connect(sys.argv[1], timeout=60)
boot = db.execute("SELECT id FROM boots LIMIT 1").fetchone()[0]
now = int(time.time() * 1e6)
def rows():
    for n in range(int(sys.argv[2])):
        at = now - n * 60_000_000
        ms = at // 1000
        id = uuid.UUID(int=(ms << 80) | (7 << 76) | (2 << 62) | n)
        yield (str(id), boot, "clinic", "inbound", "sip", f"+1555{n:07d}", "clinic", "ended", at, at, at + 61_000_000, "completed", "caller_hung_up", sys.argv[3])
db.executemany("INSERT INTO calls (id, boot_id, agent_id, direction, carrier, caller, called, status, started_at, answered_at, ended_at, outcome_class, outcome_reason, org_id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows())
db.commit()
`;
const INSTALLATION = "00000000-0000-7000-8000-000000000001";

const server = await startServer();
const browser = await openBrowser(server.url);
try {
  await server.createAdmin("owner@example.org", "correct horse battery");
  execFileSync("python3", ["-c", INSERT, join(server.dataDir, "samvad.db"), String(CALLS), INSTALLATION], { stdio: "inherit" });
  const { page } = browser;
  let bytes = 0;
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  const began = Date.now();
  await page.goto(`${server.url}/console/`);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  console.log(`first load: ${bytes} bytes with headers, sign-in ready after ${Date.now() - began} ms`);

  await page.getByLabel("Mail address").fill("owner@example.org");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText(`${CALLS.toLocaleString("en-GB")} calls`).waitFor();
  const again = Date.now();
  await page.reload();
  await page.getByText(`${CALLS.toLocaleString("en-GB")} calls`).waitFor();
  console.log(`list of ${CALLS} calls after a reload: ${Date.now() - again} ms`);

  const scrolled = await page.evaluate(async () => {
    const rows = document.querySelector(".rows");
    let longest = 0;
    let frames = 0;
    let last = performance.now();
    const start = last;
    await new Promise((done) => {
      const step = () => {
        const now = performance.now();
        longest = Math.max(longest, now - last);
        last = now;
        frames += 1;
        rows.scrollTop = ((now - start) / 5_000) * (rows.scrollHeight - rows.clientHeight);
        if (now - start < 5_000) requestAnimationFrame(step);
        else done();
      };
      requestAnimationFrame(step);
    });
    return { frames, longest: Math.round(longest), rows: document.querySelectorAll(".rows-space .row").length };
  });
  console.log(`scrolled from end to end in 5 s: ${scrolled.frames} frames, the longest ${scrolled.longest} ms, ${scrolled.rows} rows in the document`);
  const landed = Date.now();
  await page.getByRole("table", { name: "Calls" }).getByRole("link").first().waitFor();
  console.log(`rows at the end are there ${Date.now() - landed} ms later`);
  const filtered = Date.now();
  await page.getByRole("combobox", { name: "State" }).selectOption("active");
  await page.getByText("No call fits the filter.").waitFor();
  console.log(`filtered to none: ${Date.now() - filtered} ms`);
} finally {
  await browser.close();
  await server.stop();
}
