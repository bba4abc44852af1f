// The first ten minutes, by a person with a browser and a shell.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { openBrowser } from "./browser.mjs";
import { repository, startServer } from "./server.mjs";

const run = promisify(execFile);
const EMAIL = "owner@example.org";
const PASSWORD = "correct horse battery";
/** Set to where the pictures of the documentation are to be made. */
const SHOTS = process.env.SCREENSHOTS;

let server;
let browser;
let page;

before(async () => {
  server = await startServer();
  await server.createAdmin(EMAIL, PASSWORD);
  browser = await openBrowser(server.url);
  page = browser.page;
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function looksRight(name) {
  await page.evaluate(() => document.fonts.ready);
  await browser.accessible(name);
  await browser.fitsPhone(name);
  if (SHOTS) {
    await mkdir(join(repository, SHOTS), { recursive: true });
    await page.screenshot({ path: join(repository, SHOTS, `${name}.png`) });
    const phone = join(repository, SHOTS, `${name}-phone.png`);
    if (process.env.PHONE) {
      await page.setViewportSize({ width: 375, height: 740 });
      await page.emulateMedia({ colorScheme: "dark" });
      await page.screenshot({ path: phone });
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize({ width: 1280, height: 800 });
    }
  }
  browser.check();
}

/** The console's idea of the API is the API's: its types, made anew of this server's document. */
test("fits the API that is served", async () => {
  const home = new URL("..", import.meta.url).pathname;
  const copy = join(home, "node_modules/.fits-the-api");
  await rm(copy, { recursive: true, force: true });
  await cp(join(home, "src"), join(copy, "src"), { recursive: true });
  await cp(join(home, "tsconfig.json"), join(copy, "tsconfig.json"));
  await run("node", [join(home, "types.mjs"), server.url, join(copy, "src/api/schema.d.ts")]);
  await run(join(home, "node_modules/.bin/tsc"), ["-p", copy]).catch((failed) => assert.fail(failed.stdout));
});

const heading = (name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();

test("signs in, and is told why when the password is wrong", async () => {
  const reply = await page.goto(`${server.url}/`);
  assert.match(reply.headers()["content-security-policy"], /default-src 'none'/);
  await page.getByLabel("Mail address").fill(EMAIL);
  await page.getByLabel("Password").fill("wrong");
  browser.expect(/401/);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("the mail address or the password is wrong").waitFor();
  await looksRight("login");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading("Calls");
  await page.getByText("No calls yet.").waitFor();
  await looksRight("calls-empty");
  const cookies = await page.context().cookies();
  assert.ok(cookies.length >= 2 && cookies.every(({ httpOnly }) => httpOnly));
  await page.reload();
  await heading("Calls");
});

test("sees a call: transcript, latency, waves in step", async () => {
  await server.call("clinic", "fixtures/conversations/clinic_book.toml");
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText("1 call", { exact: true }).waitFor();
  await looksRight("calls");
  await page.getByRole("table", { name: "Calls" }).getByRole("link").first().click();
  await heading("Call");
  await page.locator(".turn.caller").first().waitFor();
  const agent = await page.locator(".turn.agent").allTextContents();
  assert.match(agent.join(" "), /Lakeside Clinic/);
  const rows = page.locator(".waterfall tbody tr");
  assert.ok((await rows.count()) >= 3, "answered turns have latencies");
  assert.match(await rows.first().getByRole("img").getAttribute("aria-label"), /wait for more \d+ ms/);
  await page.getByText("record create").or(page.getByText("record_create")).first().waitFor();

  const slider = page.getByRole("slider", { name: "Position in the recording" });
  await slider.waitFor();
  const painted = await page.locator(".waves canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, index) => index % 4 === 3 && value > 200).length;
  });
  assert.ok(painted > 2_000, `the waves are drawn (${painted} pixels)`);
  // Playing from a turn marks that turn, and the place of the recording is the turn's.
  const turn = page.locator(".turn.caller").nth(1);
  const time = await turn.getByRole("button").textContent();
  await turn.getByRole("button").click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.locator(".turn.caller[aria-current]").waitFor();
  assert.match(await slider.getAttribute("aria-valuetext"), new RegExp(`^${time.slice(0, -1)}`));
  await page.getByRole("button", { name: "Pause" }).click();
  await looksRight("call");
});

test("follows a call that goes on, and ends it", async () => {
  await page.getByRole("link", { name: "Live calls" }).click();
  await heading("Live calls");
  await page.getByText("No call goes on.").waitFor();
  await looksRight("live-empty");
  const call = server.samvad("call", "clinic", "--say", "i'd like to book an appointment", "--server", server.url, "--sip", server.sip, "--json")
    .then(() => {}, () => {});
  await page.getByRole("link", { name: "Follow" }).click({ timeout: 60_000 });
  await page.locator(".turn.agent").first().waitFor();
  await page.locator(".turn.caller:not(.partial)").first().waitFor({ timeout: 60_000 });
  await browser.accessible("live call");
  await page.getByRole("button", { name: "Hang up" }).click();
  await page.getByText("operator hung up").first().waitFor();
  await call;
  browser.check();
});

test("makes an agent of a template, changes its workflow, and calls again", async () => {
  await page.getByRole("link", { name: "Agents" }).click();
  await heading("Agents");
  await page.getByText("No agents of your own yet.").waitFor();
  await looksRight("agents-empty");
  await page.getByRole("link", { name: "New agent" }).click();
  await heading("New agent");
  await page.getByRole("radio", { name: /Small reception/ }).check();
  await looksRight("agent-new");
  await page.getByRole("button", { name: "Create" }).click();
  await heading("Reception");
  await page.getByText("version 1").waitFor();
  await looksRight("agent");
  const agent = new URL(page.url()).hash.split("/").pop();

  await page.getByRole("link", { name: "Edit the workflow" }).click();
  const text = page.getByRole("textbox", { name: "Text of the workflow" });
  await text.waitFor();
  await page.getByText("valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^ask_topic ask/ }).waitFor();
  const first = await text.inputValue();
  // A target that does not exist is told at its line, and nothing can be saved.
  await text.fill(first.replace('next = "ask_topic"', 'next = "ask_topik"'));
  await page.getByText("there is no node `ask_topik`").waitFor();
  const line = first.split("\n").findIndex((one) => one.includes('next = "ask_topic"')) + 1;
  await page.getByRole("button", { name: `Line ${line}`, exact: true }).first().click();
  assert.match(await text.evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd)), /ask_topik/);
  assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
  await page.getByRole("button", { name: /^welcome say .*, has a problem$/ }).waitFor();
  await looksRight("workflow");
  await text.fill(first.replace("Welcome to {company}.", "Good day, this is {company}."));
  await page.getByText("valid", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("version 2").waitFor();

  await server.samvad("call", agent, "--say", "sales", "--say", "yes", "--server", server.url, "--sip", server.sip, "--json");
  await page.getByRole("link", { name: "Calls", exact: true }).click();
  await page.getByText("3 calls", { exact: true }).waitFor();
  await page.getByRole("combobox", { name: "Agent" }).selectOption({ label: "Reception" });
  await page.getByText("1 call", { exact: true }).waitFor();
  await page.getByRole("table", { name: "Calls" }).getByRole("link").first().click();
  await page.locator(".turn.agent").first().waitFor();
  assert.match(await page.locator(".turn.agent").first().textContent(), /Good day, this is our office/);
  browser.check();
});

test("looks after numbers, members, keys and health", async () => {
  await page.getByRole("link", { name: "Numbers", exact: true }).click();
  await heading("Numbers and trunks");
  await page.getByText("No numbers yet.").waitFor();
  await page.getByText("Register a number with its SIP trunk").click();
  await page.getByLabel("Number", { exact: false }).first().fill("+15550100199");
  await page.getByLabel("Address of the trunk").fill("127.0.0.1:5999");
  await page.getByRole("button", { name: "Register" }).click();
  await page.getByRole("combobox", { name: "Agent of +15550100199" }).selectOption({ label: "Reception" });
  await looksRight("numbers");

  // A list with mistakes: they are told by row before anything is kept.
  await page.getByRole("link", { name: "Batches" }).click();
  await heading("Batches");
  await page.getByText("No batches yet.").waitFor();
  await page.getByRole("link", { name: "New batch" }).click();
  await page.getByLabel("Name").fill("Reminders");
  await page.getByLabel("Variables").fill("first_name");
  await page.getByRole("button", { name: "Create" }).click();
  await heading("Reminders");
  await page.getByText("Nobody is on the list yet.").waitFor();
  const csv = "to_phonenumber,first_name\n+15550100201,Ada\nnot a number,Bob\n+15550100202,Cy\n+15550100201,Ada\n";
  await page.getByLabel(/List \(CSV/).setInputFiles({ name: "people.csv", mimeType: "text/csv", buffer: Buffer.from(csv) });
  await page.getByText("2 rows are good, 2 are not.").waitFor();
  await page.getByRole("rowheader", { name: "3", exact: true }).waitFor();
  await looksRight("batch");
  await page.getByRole("button", { name: "Add the 2 good rows" }).click();
  await page.getByText("2 people were added, 2 rows were left out.").waitFor();
  await page.getByRole("rowheader", { name: "+15550100202" }).waitFor();

  await page.getByRole("link", { name: "Keys and members" }).click();
  await page.getByText(EMAIL).first().waitFor();
  await page.getByLabel("Name of a new key").fill("reports");
  await page.getByRole("button", { name: "Make a key" }).click();
  await page.getByText("The new key: shown this once").waitFor();
  await page.getByRole("rowheader", { name: "reports" }).waitFor();
  await looksRight("people");

  await page.getByRole("link", { name: "System health" }).click();
  await page.getByText("ready for calls").waitFor();
  await page.getByRole("searchbox", { name: "Search metrics" }).fill("turn_latency");
  await page.getByText("samvad_turn_latency_seconds").first().waitFor();
  // The dashboard asks for metrics that there are.
  const [dashboard, source, live] = await Promise.all([
    readFile(join(repository, "docs/deploy/grafana-dashboard.json"), "utf8"),
    readFile(join(repository, "control/src/telemetry/metrics.rs"), "utf8"),
    fetch(`${server.url}/metrics`).then((reply) => reply.text()),
  ]);
  const asked = new Set(JSON.parse(dashboard).panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => expr.match(/samvad_\w+/g))));
  assert.ok(asked.size >= 10);
  for (const name of asked) {
    const base = name.replace(/_(bucket|sum|count)$/, "");
    // A counter of faults is there from the first fault on.
    assert.ok(live.includes(`# TYPE ${base} `) || (/faults|dropped/.test(base) && source.includes(`"${base}"`)), `${name} is no metric`);
  }
  await looksRight("health");
});

test("signs out", async () => {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.equal((await page.context().cookies()).length, 0);
  browser.check();
});
