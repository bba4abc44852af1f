"""A caller with LiveKit's Python SDK: joins, answers the agent's questions, and prints what it has seen
as one line of JSON when the room ends.

python caller.py '{"url": ..., "token": ..., "limit_s": 120,
    "lines": [{"expect": words of the agent, "wav": ...}]}'
"""

import asyncio
import json
import sys
import wave

from livekit import rtc


RATE = 16_000
BLOCK = RATE // 50


async def speak(source: rtc.AudioSource, waiting: list) -> None:
    """Sends what waits to be said, and silence between."""
    while True:
        block = waiting.pop(0) if waiting else bytes(2 * BLOCK)
        block = block.ljust(2 * BLOCK, b"\0")
        await source.capture_frame(rtc.AudioFrame(block, RATE, 1, BLOCK))


async def main() -> None:
    task = json.loads(sys.argv[1])
    seen = {"segments": [], "states": [], "heard_s": 0.0, "loudest": 0, "rpc": None}
    room = rtc.Room()
    ended = asyncio.Event()
    room.on("disconnected", lambda *_: ended.set())
    tasks = set()

    def start(coroutine) -> None:
        running = asyncio.ensure_future(coroutine)
        tasks.add(running)
        running.add_done_callback(tasks.discard)

    waiting = []
    dialogue = {"asked": "", "turn": 0}

    async def read(reader, identity: str) -> None:
        attributes = reader.info.attributes
        text = await reader.read_all()
        if identity != room.local_participant.identity:
            dialogue["asked"] = text
        seen["segments"].append(
            {
                "from": identity,
                "segment": attributes["lk.segment_id"],
                "final": attributes["lk.transcription_final"] == "true",
                "text": text,
            }
        )

    async def answer(turn: int) -> None:
        # People take a breath before they answer; a question begun meanwhile is heard first.
        await asyncio.sleep(1)
        lines = [line for line in task["lines"] if line["expect"] in dialogue["asked"]]
        if turn != dialogue["turn"] or not lines:
            return
        dialogue["asked"] = ""
        with wave.open(lines[0]["wav"]) as file:
            while block := file.readframes(BLOCK):
                waiting.append(block)

    room.register_text_stream_handler(
        "lk.transcription", lambda reader, identity: start(read(reader, identity))
    )

    def attributes_changed(changed: dict, participant) -> None:
        if "lk.agent.state" in changed:
            seen["states"].append(changed["lk.agent.state"])
            dialogue["turn"] += 1
            if changed["lk.agent.state"] == "listening":
                start(answer(dialogue["turn"]))

    room.on("participant_attributes_changed", attributes_changed)

    async def hear(track) -> None:
        async for event in rtc.AudioStream(track):
            frame = event.frame
            seen["heard_s"] += frame.samples_per_channel / frame.sample_rate
            seen["loudest"] = max(seen["loudest"], max(memoryview(frame.data)))

    room.on("track_subscribed", lambda track, *_: start(hear(track)))

    await room.connect(task["url"], task["token"])
    agent = next(iter(room.remote_participants.values()))
    seen["agent"] = agent.identity
    seen["agent_is_agent"] = agent.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    start(speak(source, waiting))
    try:
        await room.local_participant.perform_rpc(
            destination_identity=agent.identity, method="nothing", payload=""
        )
    except rtc.RpcError as error:
        seen["rpc"] = error.code
    try:
        await asyncio.wait_for(ended.wait(), task["limit_s"])
    except asyncio.TimeoutError:
        pass
    await room.disconnect()
    print(json.dumps(seen))


asyncio.run(main())
