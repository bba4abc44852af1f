// A caller in headless Chromium with the unmodified livekit-client: joins, publishes what it says, and
// prints what it has seen as one line of JSON when the room ends. With `lines` it answers each question
// of the agent; else its microphone plays the file `wav`.
//
// node call.mjs '{"sdk": folder of node_modules, "url": ..., "token": ..., "wav": ..., "limit_s": 120,
//   "lines": [{"expect": words of the agent, "wav": ...}]}'
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const task = JSON.parse(process.argv[2]);
const require = createRequire(join(task.sdk, "package.json"));
const { chromium } = require("playwright-core");
const sdk = readFileSync(join(task.sdk, "node_modules/livekit-client/dist/livekit-client.umd.js"));

const page_html = "<!doctype html><title>call</title><script src=/sdk.js></script>";
const server = createServer((request, response) => {
  const line = /^\/lines\/(\d+)$/.exec(request.url);
  if (line) {
    response.setHeader("content-type", "audio/wav");
    response.end(readFileSync(task.lines[Number(line[1])].wav));
    return;
  }
  const is_sdk = request.url === "/sdk.js";
  response.setHeader("content-type", is_sdk ? "text/javascript" : "text/html");
  response.end(is_sdk ? sdk : page_html);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const profile = mkdtempSync(join(tmpdir(), "samvad-call-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    `--use-file-for-fake-audio-capture=${task.wav}%noloop`,
  ],
});
try {
  const page = await browser.newPage();
  const log = [];
  page.on("console", (message) => log.push(message.text()));
  page.on("pageerror", (error) => log.push(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const seen = await page.evaluate(task.whip ? call_by_whip : call_by_livekit, task);
  console.log(JSON.stringify({ ...seen, log: log.slice(-20) }));
} finally {
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}

// Both run in the page.
async function call_by_livekit(task) {
  const { Room, RoomEvent, setLogLevel } = window.LivekitClient;
  setLogLevel("warn");
  const seen = { segments: [], states: [], heard_energy: 0, kinds: [], rpc: null, reason: null };
  const room = new Room();
  const ended = new Promise((done) => room.once(RoomEvent.Disconnected, (reason) => {
    seen.reason = reason ?? null;
    done();
  }));
  let asked = "";
  room.registerTextStreamHandler("lk.transcription", async (reader, from) => {
    const attributes = reader.info.attributes;
    const text = await reader.readAll();
    if (from.identity !== room.localParticipant.identity) asked = text;
    seen.segments.push({
      from: from.identity,
      segment: attributes["lk.segment_id"],
      final: attributes["lk.transcription_final"] === "true",
      text,
    });
  });
  const audio = new AudioContext();
  const voice = audio.createMediaStreamDestination();
  const lines = await Promise.all((task.lines ?? []).map(async (line, index) => {
    const file = await (await fetch(`/lines/${index}`)).arrayBuffer();
    return { expect: line.expect, sound: await audio.decodeAudioData(file) };
  }));
  let turn = 0;
  // People take a breath before they answer; a question begun meanwhile is heard first.
  const answer = async () => {
    const mine = ++turn;
    await new Promise((done) => setTimeout(done, 1000));
    const line = lines.find((line) => asked.includes(line.expect));
    if (mine !== turn || !line) return;
    asked = "";
    const player = audio.createBufferSource();
    player.buffer = line.sound;
    player.connect(voice);
    player.start();
  };
  room.on(RoomEvent.ParticipantAttributesChanged, (changed, who) => {
    const state = changed["lk.agent.state"];
    if (state) seen.states.push(state);
    if (state === "listening") answer();
    else if (state) turn++;
    seen.kinds.push(who.kind);
  });
  let receiver = null;
  room.on(RoomEvent.TrackSubscribed, (track) => {
    document.body.append(track.attach());
    receiver = track.receiver;
  });
  const measure = async () => {
    for (const report of receiver ? (await receiver.getStats()).values() : []) {
      if (report.type === "inbound-rtp") {
        seen.heard_energy = report.totalAudioEnergy ?? 0;
        seen.heard_packets = report.packetsReceived;
      }
    }
  };
  const timer = setInterval(measure, 500);
  await room.connect(task.url, task.token);
  const agent = [...room.remoteParticipants.values()][0];
  seen.agent = agent?.identity;
  seen.agent_is_agent = agent?.isAgent ?? null;
  if (lines.length) {
    const [track] = voice.stream.getAudioTracks();
    await room.localParticipant.publishTrack(track, { source: "microphone" });
  } else {
    await room.localParticipant.setMicrophoneEnabled(true, {
      echoCancellation: false, noiseSuppression: false, autoGainControl: false,
    });
  }
  if (task.rpc) {
    seen.rpc = await room.localParticipant
      .performRpc({ destinationIdentity: agent.identity, method: "nothing", payload: "" })
      .then((answer) => answer, (error) => error.code);
  }
  const limit = new Promise((done) => setTimeout(done, task.limit_s * 1000));
  const leave = task.leave_after_s
    ? new Promise((done) => setTimeout(done, task.leave_after_s * 1000))
    : new Promise(() => {});
  await Promise.race([ended, limit, leave]);
  clearInterval(timer);
  await room.disconnect();
  return seen;
}

async function call_by_whip(task) {
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const peer = new RTCPeerConnection();
  for (const track of microphone.getTracks()) peer.addTrack(track, microphone);
  peer.ontrack = ({ streams }) => {
    const audio = document.createElement("audio");
    audio.autoplay = true;
    audio.srcObject = streams[0];
    document.body.append(audio);
  };
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete") {
    await new Promise((done) => peer.addEventListener("icegatheringstatechange", done, { once: true }));
  }
  const reply = await fetch(task.whip, {
    method: "POST",
    headers: { "content-type": "application/sdp", authorization: `Bearer ${task.token}` },
    body: peer.localDescription.sdp,
  });
  const answer = await reply.text();
  const seen = { status: reply.status, answer };
  if (reply.status !== 201) return seen;
  await peer.setRemoteDescription({ type: "answer", sdp: answer });
  await new Promise((done) => setTimeout(done, task.leave_after_s * 1000));
  for (const report of (await peer.getStats()).values()) {
    if (report.type === "inbound-rtp") {
      seen.heard_energy = report.totalAudioEnergy ?? 0;
      seen.heard_packets = report.packetsReceived;
    }
  }
  const session = new URL(reply.headers.get("location"), task.whip);
  seen.hung_up = (await fetch(session, { method: "DELETE" })).status;
  seen.hung_up_again = (await fetch(session, { method: "DELETE" })).status;
  return seen;
}
