"""Drives the local server of the provider tests with the vendors' own SDKs.

Each check speaks the words of the fake recognisers (a word is 200 ms of constant level) or
reads what the fake models and voices give, through the vendor's code, and compares the result.
"""

import base64
import concurrent.futures
import io
import struct
import sys
import threading
import wave

import websockets

BASE = sys.argv[1]
WS = BASE.replace("http://", "ws://")
HOST = BASE.split("://")[1]
KEY = "good"
SAID = "hello i would"


def pcm(rate=16000, tail_ms=600):
    """The words 1, 2, 3 of the fake ear, then silence."""
    out = []
    for level in (1, 2, 3):
        out += [level * 1000] * (rate // 5) + [0] * (rate // 10)
    out += [0] * (rate * tail_ms // 1000)
    return struct.pack(f"<{len(out)}h", *out)


def pieces(audio, size=2560):
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def same(got, wanted=SAID):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def fails(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


# --- recognisers


def deepgram_client(key=KEY):
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    environment = DeepgramClientEnvironment(base=BASE, production=WS, agent=WS, agent_rest=BASE)
    return DeepgramClient(api_key=key, environment=environment)


def stt_deepgram():
    options = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
    with deepgram_client().listen.v1.connect(interim_results="true", **options) as line:
        for piece in pieces(pcm(tail_ms=0)):
            line.send_media(piece)
        line.send_finalize()
        while True:
            message = line.recv()
            if message.type == "Results" and message.from_finalize:
                break
        same(message.channel.alternatives[0].transcript)
        assert [w.word for w in message.channel.alternatives[0].words] == SAID.split()
        line.send_keep_alive()
        line.send_close_stream()
        assert line.recv().type == "Metadata"

    def refused():
        with deepgram_client("wrong").listen.v1.connect(**options) as line:
            line.recv()

    fails(websockets.exceptions.InvalidStatus, refused)


def stt_deepgram_flux():
    options = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": "16000"}
    with deepgram_client().listen.v2.connect(eager_eot_threshold="0.4", **options) as line:
        assert line.recv().type == "Connected"
        for piece in pieces(pcm()):
            line.send_media(piece)
        events = []
        while not events or events[-1].event != "EndOfTurn":
            events.append(line.recv())
        names = [event.event for event in events]
        assert names[0] == "StartOfTurn" and "EagerEndOfTurn" in names, names
        same(events[-1].transcript)
        for piece in pieces(pcm(tail_ms=0)):
            line.send_media(piece)
        line.send_force_end_turn()
        while line.recv().event != "EndOfTurn":
            pass
        line.send_close_stream()


def stt_assemblyai():
    import ssl  # noqa: F401  the SDK insists on wss, the server has no certificate
    import assemblyai.streaming.v3.client as module
    from assemblyai.streaming.v3 import models

    plain = module.websocket_connect
    module.websocket_connect = lambda uri, **more: plain(uri.replace("wss://", "ws://"), **more)
    client = module.RealTimeTranscriber(
        models.RealTimeTranscriberOptions(api_host=HOST, api_key=KEY, connect_timeout=10)
    )
    turns, ended, errors = [], threading.Event(), []

    def turn(_, event):
        turns.append(event)
        if event.end_of_turn:
            ended.set()

    client.on(models.RealTimeEvents.Turn, turn)
    client.on(models.RealTimeEvents.Error, lambda _, error: errors.append(error))
    client.connect(
        models.RealTimeParameters(
            sample_rate=16000,
            encoding=models.Encoding.pcm_s16le,
            speech_model=models.SpeechModel.universal_streaming_english,
        )
    )
    client.stream(pieces(pcm(tail_ms=0), 3200))
    client.force_endpoint()
    assert ended.wait(20), errors
    same([t for t in turns if t.end_of_turn][0].transcript)
    client.disconnect(terminate=True)


def stt_soniox():
    from soniox.errors import SonioxRealtimeError
    from soniox.realtime.stt import RealtimeSTTSession
    from soniox.types.realtime import RealtimeSTTConfig

    config = RealtimeSTTConfig(
        model="stt-rt-v4", audio_format="pcm_s16le", sample_rate=16000, num_channels=1,
        enable_endpoint_detection=True,
    )
    url = WS + "/transcribe-websocket"
    with RealtimeSTTSession(url, config, KEY) as session:
        for piece in pieces(pcm(tail_ms=0)):
            session.send_byte_chunk(piece)
        session.finalize()
        said, marks = "", []
        for event in session.receive_events():
            for token in event.tokens:
                if token.text in ("<fin>", "<end>"):
                    marks.append(token.text)
                elif token.is_final:
                    said += token.text
            if "<fin>" in marks:
                break
        same(said.strip())
        session.keep_alive()
        session.finish()
        assert [event for event in session.receive_events()][-1].finished

    def refused():
        with RealtimeSTTSession(url, config, "wrong") as session:
            session.receive_event()

    fails(SonioxRealtimeError, refused)


def openai_client(key=KEY):
    from openai import OpenAI

    return OpenAI(
        api_key=key, base_url=BASE + "/openai", websocket_base_url=WS + "/openai", max_retries=0
    )


def stt_openai_realtime():
    with openai_client().realtime.connect(extra_query={"intent": "transcription"}) as line:
        assert line.recv().type == "session.created"
        line.session.update(
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24000},
                        "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
                        "turn_detection": None,
                    }
                },
            }
        )
        for piece in pieces(pcm(24000, 0)):
            line.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
        line.input_audio_buffer.commit()
        for event in line:
            if event.type == "conversation.item.input_audio_transcription.completed":
                same(event.transcript)
                break


def stt_openai_upload():
    import openai

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes(pcm())
    file.name = "speech.wav"
    file.seek(0)
    answer = openai_client().audio.transcriptions.create(model="whisper-1", file=file)
    same(answer.text)
    for key, error in (("wrong", openai.AuthenticationError), ("limited", openai.RateLimitError)):
        file.seek(0)
        create = openai_client(key).audio.transcriptions.create
        fails(error, lambda: create(model="whisper-1", file=file))


def sarvam_client(key=KEY):
    from sarvamai import SarvamAI
    from sarvamai.environment import SarvamAIEnvironment

    environment = SarvamAIEnvironment(base=BASE, creative=BASE, production=WS)
    return SarvamAI(api_subscription_key=key, environment=environment)


def stt_sarvam():
    from sarvamai.types.realtime_audio_input import RealtimeAudioInput
    from sarvamai.types.realtime_end import RealtimeEnd
    from sarvamai.types.realtime_speech_end import RealtimeSpeechEnd
    from sarvamai.types.realtime_speech_start import RealtimeSpeechStart

    client = sarvam_client().speech_to_text_realtime_streaming
    with client.connect(
        language_code="hi-IN", endpointing="manual", encoding="linear16", sample_rate="16000"
    ) as line:
        assert line.recv().event == "session.begin"
        line.send_realtime_speech_start(RealtimeSpeechStart())
        for piece in pieces(pcm()):
            audio = base64.b64encode(piece).decode()
            line.send_realtime_audio_input(RealtimeAudioInput(audio=audio))
        line.send_realtime_speech_end(RealtimeSpeechEnd())
        events = [line.recv()]
        while events[-1].event != "transcript.final":
            events.append(line.recv())
        assert events[0].event == "transcript.partial"
        same(events[-1].text)
        same(events[-1].language, "hi-IN")
        line.send_realtime_end(RealtimeEnd())
        assert line.recv().event == "session.end"


# --- language models

LOOK_UP = {"type": "object", "properties": {"day": {"type": "string"}}}


def llm_openai():
    import openai

    tool = {"type": "function", "function": {"name": "look_up", "parameters": LOOK_UP}}

    def ask(text, key=KEY):
        client = openai_client(key)
        return client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": text}], tools=[tool], stream=True,
            stream_options={"include_usage": True},
        )

    chunks = list(ask("hello"))
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    same(said, "You said: hello. Thank you!")
    same(chunks[-1].usage.completion_tokens, 7)
    calls = [c.choices[0].delta.tool_calls for c in ask("look up monday") if c.choices]
    pieces_ = [call[0].function for call in calls if call]
    same("".join(p.arguments or "" for p in pieces_), '{"day": "monday"}')
    fails(openai.AuthenticationError, lambda: ask("x", "wrong"))
    fails(openai.RateLimitError, lambda: ask("x", "limited"))
    fails(openai.APIError, lambda: list(ask("x y z", "error")))


def llm_anthropic():
    import anthropic

    tool = {"name": "look_up", "input_schema": LOOK_UP}

    def ask(text, key=KEY):
        client = anthropic.Anthropic(api_key=key, base_url=BASE, max_retries=0)
        with client.messages.stream(
            model="m", max_tokens=100, messages=[{"role": "user", "content": text}], tools=[tool]
        ) as stream:
            return stream.get_final_message()

    message = ask("hello")
    same(message.content[0].text, "You said: hello. Thank you!")
    same((message.stop_reason, message.usage.output_tokens), ("end_turn", 7))
    call = ask("look up monday").content[0]
    same((call.name, call.input), ("look_up", {"day": "monday"}))
    fails(anthropic.AuthenticationError, lambda: ask("x", "wrong"))
    fails(anthropic.RateLimitError, lambda: ask("x", "limited"))
    fails(anthropic.APIStatusError, lambda: ask("x", "overloaded"))
    fails(anthropic.APIStatusError, lambda: ask("x y z", "error"))


def llm_gemini():
    from google import genai
    from google.genai import errors, types

    config = types.GenerateContentConfig(
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(name="look_up", parameters_json_schema=LOOK_UP)
                ]
            )
        ],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )

    def ask(text, key=KEY):
        client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE))
        stream = client.models.generate_content_stream(model="m", contents=text, config=config)
        return list(stream)

    chunks = ask("hello")
    parts = [p for c in chunks for p in c.candidates[0].content.parts or []]
    said = "".join(p.text or "" for p in parts if not p.thought)
    same(said, "You said: hello. Thank you!")
    same(chunks[-1].usage_metadata.prompt_token_count, 11)
    part = ask("look up monday")[0].candidates[0].content.parts[0]
    same((part.function_call.name, part.function_call.args), ("look_up", {"day": "monday"}))
    same(part.thought_signature, b"sig")
    fails(errors.ClientError, lambda: ask("x", "wrong"))


# --- voices

SPOKEN = "we are open on monday"


def levels(audio, rate=16000):
    """Levels in the middle of each word of the fake voice."""
    samples = struct.unpack(f"<{len(audio) // 2}h", audio)
    ms = rate // 1000
    return [samples[at * ms] for at in range(200, len(samples) // ms, 250)]


def spoken(audio, rate=16000):
    same(levels(audio, rate), [len(word) * 500 for word in SPOKEN.split()])


def tts_deepgram():
    from deepgram.speak.v1.types import SpeakV1Text

    with deepgram_client().speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate="16000"
    ) as line:
        line.send_text(SpeakV1Text(text=SPOKEN))
        line.send_flush()
        audio = b""
        while True:
            message = line.recv()
            if isinstance(message, bytes):
                audio += message
            elif message.type == "Flushed":
                break
        spoken(audio)
        line.send_clear()
        same(line.recv().type, "Cleared")
        line.send_close()


def tts_cartesia():
    from cartesia import Cartesia

    client = Cartesia(api_key=KEY, base_url=BASE, websocket_base_url=WS, max_retries=0)
    with client.tts.websocket_connect() as line:
        context = line.context(
            model_id="sonic-3",
            voice={"mode": "id", "id": "v"},
            output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
            add_timestamps=True,
        )
        context.push(SPOKEN)
        context.no_more_inputs()
        audio, words = b"", []
        for event in context.receive():
            if event.type == "chunk":
                audio += event.audio
            elif event.type == "timestamps":
                words += event.word_timestamps.words
        same(words, SPOKEN.split())
        spoken(audio[: 2 * (1600 + 5 * 4000)])


def tts_elevenlabs():
    import elevenlabs.realtime_tts as module
    from elevenlabs.client import ElevenLabs
    from elevenlabs.types import AudioOutputMulti, FinalOutputMulti
    from elevenlabs.types import CloseContext, FlushContext, InitialiseContext

    # The single-context socket by the client, which insists on wss; the server has no certificate.
    plain = module.connect
    module.connect = lambda url, **more: plain(url.replace("wss://", "ws://"), **more)
    client = ElevenLabs(api_key=KEY, base_url=BASE)
    audio = client.text_to_speech.convert_realtime(
        "voice", text=iter([SPOKEN + " "]), model_id="m", output_format="pcm_16000"
    )
    spoken(b"".join(audio))

    # The multi-context socket by the SDK's own message types.
    url = WS + "/v1/text-to-speech/voice/multi-stream-input?output_format=pcm_16000"
    import websockets.sync.client

    with websockets.sync.client.connect(url, additional_headers={"xi-api-key": KEY}) as line:
        for message in (
            InitialiseContext(text=" ", context_id="a"),
            FlushContext(text=SPOKEN + " ", context_id="a", flush=True),
            CloseContext(context_id="a", close_context=True),
        ):
            line.send(message.json(exclude_none=True))
        audio, chars = b"", ""
        while True:
            raw = line.recv()
            if '"isFinal"' in raw:
                final = FinalOutputMulti.model_validate_json(raw)
                same((final.is_final, final.context_id), (True, "a"))
                break
            output = AudioOutputMulti.model_validate_json(raw)
            same(output.context_id, "a")
            audio += base64.b64decode(output.audio)
            chars += "".join(output.alignment.chars)
        same(chars.strip(), SPOKEN)
        spoken(audio)


def tts_openai():
    import openai

    def speak(key=KEY):
        return openai_client(key).audio.speech.create(
            model="gpt-4o-mini-tts", voice="alloy", input=SPOKEN, response_format="pcm"
        )

    spoken(speak().content, 24000)
    fails(openai.RateLimitError, lambda: speak("limited"))


def tts_sarvam():
    with sarvam_client().text_to_speech_streaming.connect(
        model="bulbul:v2", send_completion_event="true"
    ) as line:
        line.configure(
            target_language_code="hi-IN", output_audio_codec="linear16", speech_sample_rate=16000
        )
        line.convert(SPOKEN)
        line.flush()
        audio = b""
        while True:
            message = line.recv()
            if message.type == "audio":
                audio += base64.b64decode(message.data.audio)
            elif message.type == "event":
                same(message.data.event_type, "final")
                break
        spoken(audio)


def main():
    checks = [(name, check) for name, check in globals().items() if name[:4] in ("stt_", "llm_", "tts_")]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [(name, pool.submit(check)) for name, check in checks]
        for name, future in running:
            try:
                future.result(timeout=150)
                print(f"ok     {name}")
            except Exception as error:  # noqa: BLE001  every failure is reported
                failed += 1
                print(f"FAILED {name}: {type(error).__name__}: {error}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
