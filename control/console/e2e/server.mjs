// A real server with data of its own, and what a person would type at a shell beside it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createSocket } from "node:dgram";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const binary = process.env.SAMVAD ?? new URL("../../../target/debug/samvad", import.meta.url).pathname;
export const repository = new URL("../../../", import.meta.url).pathname;

async function freeTcpPort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

async function freeUdpPort() {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}

export async function startServer() {
  const folder = await mkdtemp(join(tmpdir(), "samvad-console-"));
  const config = join(folder, "samvad.toml");
  const http = await freeTcpPort();
  const sip = await freeUdpPort();
  const first = 40_000 + 200 * Math.floor(Math.random() * 60);
  await writeFile(
    config,
    `data_dir = ${JSON.stringify(join(folder, "data"))}\n[server]\nhttp = "127.0.0.1:${http}"\n` +
      `[sip]\nbind = "127.0.0.1:${sip}"\n[media]\nrtp_bind = "127.0.0.1"\nrtp_ports = "${first}-${first + 199}"\n`,
  );
  const log = await open(join(folder, "server.log"), "w");
  const child = spawn(binary, ["--config", config], { stdio: ["ignore", log.fd, log.fd] });
  const url = `http://127.0.0.1:${http}`;
  const server = {
    url,
    sip: `127.0.0.1:${sip}`,
    binary,
    config,
    dataDir: join(folder, "data"),
    samvad: (...args) => run(binary, ["--config", config, ...args], { maxBuffer: 64 << 20, timeout: 300_000 }),
    async createAdmin(email, password) {
      const child = spawn(binary, ["--config", config, "admin", "create", "--email", email], { stdio: ["pipe", "ignore", "inherit"] });
      child.stdin.end(password);
      const [code] = await once(child, "exit");
      if (code !== 0) throw new Error(`admin create: ${code}`);
    },
    call: (target, script) =>
      server.samvad("call", target, "--script", join(repository, script), "--server", url, "--sip", server.sip, "--json"),
    async stop() {
      if (child.exitCode === null) {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
        await ended;
        clearTimeout(timer);
      }
      await log.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  const deadline = Date.now() + 120_000;
  for (;;) {
    const ready = await fetch(`${url}/ready`).then((reply) => reply.ok, () => false);
    if (ready) return server;
    if (child.exitCode !== null || Date.now() > deadline) {
      const text = await readFile(join(folder, "server.log"), "utf8");
      await server.stop();
      throw new Error(`the server does not start:\n${text}`);
    }
    await new Promise((wake) => setTimeout(wake, 200));
  }
}
