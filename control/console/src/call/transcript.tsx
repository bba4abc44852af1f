import type { Turn } from "../api/calls";
import { duration } from "../ui/format";
import { Badge, Empty } from "../ui/parts";

interface Props {
  turns: Turn[];
  partial: string | undefined;
  live: boolean;
  /** Place of the playback in ms. */
  position: number;
  onSeek: ((ms: number) => void) | undefined;
}

export function Transcript(props: Props) {
  if (!props.turns.length && !props.partial) {
    return <Empty title={props.live ? "Nothing has been said yet." : "Nothing was said."} />;
  }
  return (
    <ol class="transcript" aria-live={props.live ? "polite" : undefined}>
      {props.turns.map((turn, index) => {
        const current = props.position > 0 && props.position >= turn.start_ms && props.position < turn.end_ms;
        const time = duration(turn.start_ms);
        return (
          <li key={index} class={`turn ${turn.speaker}`} aria-current={current || undefined}>
            {props.onSeek ? (
              <button class="time" type="button" onClick={() => props.onSeek?.(turn.start_ms)} aria-label={`Play from ${time}`}>
                {time}
              </button>
            ) : (
              <span class="time">{time}</span>
            )}
            <span class="speaker">{turn.speaker}</span>
            <p>
              {turn.text || <em>inaudible</em>} {turn.interrupted && <Badge kind="plain">interrupted</Badge>}
              {turn.dtmf && <Badge kind="plain">keys</Badge>}
            </p>
          </li>
        );
      })}
      {props.partial && (
        <li class="turn caller partial">
          <span class="time">…</span>
          <span class="speaker">caller</span>
          <p>{props.partial}</p>
        </li>
      )}
    </ol>
  );
}
