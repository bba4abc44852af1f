"""A caller with LiveKit's Python SDK: joins, speaks what a WAV file holds, and prints what it has seen
as one line of JSON when the room ends.

python caller.py '{"url": ..., "token": ..., "wav": ..., "limit_s": 120}'
"""

import asyncio
import json
import sys
import wave

from livekit import rtc


async def speak(source: rtc.AudioSource, path: str) -> None:
    with wave.open(path) as file:
        rate = file.getframerate()
        while block := file.readframes(rate // 50):
            samples = len(block) // 2
            await source.capture_frame(rtc.AudioFrame(block, rate, 1, samples))


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

    async def read(reader, identity: str) -> None:
        attributes = reader.info.attributes
        seen["segments"].append(
            {
                "from": identity,
                "segment": attributes["lk.segment_id"],
                "final": attributes["lk.transcription_final"] == "true",
                "text": await reader.read_all(),
            }
        )

    room.register_text_stream_handler(
        "lk.transcription", lambda reader, identity: start(read(reader, identity))
    )

    def attributes_changed(changed: dict, participant) -> None:
        if "lk.agent.state" in changed:
            seen["states"].append(changed["lk.agent.state"])

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
    source = rtc.AudioSource(16_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    start(speak(source, task["wav"]))
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
