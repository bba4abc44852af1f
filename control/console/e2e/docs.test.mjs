// The commands of the documentation, run as written against a server. Only addresses are replaced: the
// server of the test has ports of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { repository, startServer } from "./server.mjs";

const PAGES = ["docs/quick-start.md"];

let server;
let folder;

before(async () => {
  server = await startServer();
  folder = await mkdtemp(join(tmpdir(), "samvad-docs-"));
  await symlink(server.dataDir, join(folder, "samvad-data"));
  const call = `--server ${server.url} --sip ${server.sip}`;
  await writeFile(
    join(folder, "samvad"),
    `#!/bin/bash\nif [ "$1" = call ]; then shift; exec ${server.binary} --config ${server.config} call ${call} "$@"; fi\n` +
      `exec ${server.binary} --config ${server.config} "$@"\n`,
  );
  await chmod(join(folder, "samvad"), 0o755);
});

after(async () => {
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

for (const page of PAGES) {
  test(`${page} works as written`, async () => {
    const text = await readFile(join(repository, page), "utf8");
    const blocks = [...text.matchAll(/<!-- run -->\n```sh\n([^]*?)```/g)].map(([, block]) => block);
    assert.ok(blocks.length > 0, "the page has commands that are run");
    const script = blocks.join("\n").replaceAll("http://127.0.0.1:8080", server.url);
    const shell = spawn("bash", ["-euo", "pipefail", "-x", "-c", script], {
      cwd: folder,
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (piece) => (output += piece));
    const [code] = await once(shell, "exit");
    assert.equal(code, 0, output.slice(-3_000));
  });
}
