// The recording as two waves, played in step with the transcript.

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Call, type Turn, recordingPath } from "../api/calls";
import { requestRaw } from "../api/client";
import { duration } from "../ui/format";
import { Empty, Problem } from "../ui/parts";
import { type Wave, peaks, readWave } from "./wav";

/** Longer recordings are fetched only when asked for: they are kept in memory. */
const AT_ONCE_MS = 10 * 60_000;

interface Props {
  call: Call;
  turns: Turn[];
  onPosition: (ms: number) => void;
  seek: RefObject<(ms: number) => void>;
}

export function Player(props: Props) {
  const { call } = props;
  const [wanted, setWanted] = useState((call.recording?.duration_ms ?? 0) <= AT_ONCE_MS);
  const [sound, setSound] = useState<{ wave: Wave; url: string }>();
  const [problem, setProblem] = useState<Error>();
  const recorded = call.recording !== null;
  useEffect(() => {
    if (!recorded || !wanted) return undefined;
    const stop = new AbortController();
    let url: string | undefined;
    requestRaw(recordingPath(call.id), { signal: stop.signal })
      .then((response) => response.arrayBuffer())
      .then((buffer) => {
        const wave = readWave(buffer);
        url = URL.createObjectURL(new Blob([buffer], { type: "audio/wav" }));
        setSound({ wave, url });
      })
      .catch((failed: Error) => stop.signal.aborted || setProblem(failed));
    return () => {
      stop.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [call.id, recorded, wanted]);
  let content;
  if (!recorded) content = <Empty title="The call was not recorded." />;
  else if (problem) content = <Problem problem={problem} />;
  else if (sound) content = <Waves {...props} wave={sound.wave} url={sound.url} />;
  else if (wanted) content = <div class="note waiting" role="status">Loading the recording…</div>;
  else
    content = (
      <Empty title={`The recording is ${duration(call.recording?.duration_ms)} long.`}>
        <button type="button" onClick={() => setWanted(true)}>Load it</button>
      </Empty>
    );
  return (
    <section class="player" aria-label="Recording">
      {content}
    </section>
  );
}

function Waves(props: Props & { wave: Wave; url: string }) {
  const { wave, url, turns, onPosition } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const audio = useRef<HTMLAudioElement>(null);
  const [position, setPosition] = useState(0);
  const [playing, setPlaying] = useState(false);
  const length = (wave.samples.length / wave.channels / wave.rate) * 1000;

  const move = (ms: number) => {
    if (audio.current) audio.current.currentTime = ms / 1000;
    setPosition(ms);
    onPosition(ms);
  };
  props.seek.current = (ms) => {
    move(ms);
    void audio.current?.play();
  };

  useEffect(() => {
    const target = canvas.current;
    if (!target) return undefined;
    const redraw = () => draw(target, wave, turns, length);
    redraw();
    const observer = new ResizeObserver(redraw);
    observer.observe(target);
    const scheme = window.matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", redraw);
    };
  }, [wave, turns]);

  useEffect(() => {
    if (!playing) return undefined;
    let frame = 0;
    const follow = () => {
      const ms = (audio.current?.currentTime ?? 0) * 1000;
      setPosition(ms);
      onPosition(ms);
      frame = requestAnimationFrame(follow);
    };
    frame = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(frame);
  }, [playing]);

  const toggle = () => void (playing ? audio.current?.pause() : audio.current?.play());
  return (
    <>
      <audio ref={audio} src={url} onPlay={() => setPlaying(true)} onPause={() => setPlaying(false)} onEnded={() => setPlaying(false)} />
      <div class="waves">
        <span class="channel caller">caller</span>
        <span class="channel agent">agent</span>
        <canvas ref={canvas} aria-hidden="true" />
        <div class="playhead" style={{ left: `${(position / Math.max(1, length)) * 100}%` }} />
        <input
          type="range"
          min={0}
          max={Math.ceil(length)}
          step={100}
          value={Math.round(position)}
          aria-label="Position in the recording"
          aria-valuetext={`${duration(position)} of ${duration(length)}`}
          onInput={(event) => move(Number(event.currentTarget.value))}
        />
      </div>
      <div class="controls">
        <button type="button" class="primary" onClick={toggle}>{playing ? "Pause" : "Play"}</button>
        <span class="number">{duration(position)} / {duration(length)}</span>
        <a class="button" href={url} download={props.call.recording?.file}>Download</a>
      </div>
    </>
  );
}

function draw(canvas: HTMLCanvasElement, wave: Wave, turns: Turn[], length: number): void {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  const context = canvas.getContext("2d");
  if (!context || !width || !height) return;
  canvas.width = width;
  canvas.height = height;
  const style = getComputedStyle(canvas);
  const lanes = Math.min(2, wave.channels);
  const lane = height / lanes;
  for (let channel = 0; channel < lanes; channel += 1) {
    const colour = style.getPropertyValue(channel === 0 ? "--caller" : "--agent");
    context.fillStyle = colour;
    context.globalAlpha = 0.14;
    for (const turn of turns) {
      if ((turn.speaker === "caller") !== (channel === 0)) continue;
      const left = (turn.start_ms / length) * width;
      context.fillRect(left, channel * lane, Math.max(1, (turn.end_ms / length) * width - left), lane);
    }
    context.globalAlpha = 1;
    const found = peaks(wave, channel, width);
    const middle = channel * lane + lane / 2;
    for (let x = 0; x < width; x += 1) {
      const low = found[x * 2] ?? 0;
      const high = found[x * 2 + 1] ?? 0;
      const top = middle - high * lane * 0.48;
      context.fillRect(x, top, 1, Math.max(1, (high - low) * lane * 0.48));
    }
  }
}
