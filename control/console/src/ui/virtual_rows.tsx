// A long list of which only the rows in sight are in the document.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Rows kept beyond the edges of the window. */
const MARGIN = 8;

interface Props {
  label: string;
  total: number;
  rowHeight: number;
  head: ComponentChildren;
  row: (index: number) => ComponentChildren;
  /** Told the first and last row in sight, so that they can be loaded. */
  onRange: (first: number, last: number) => void;
}

export function VirtualRows(props: Props) {
  const { total, rowHeight } = props;
  const frame = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<[number, number]>([0, 30]);
  const measure = () => {
    const box = frame.current;
    if (!box) return;
    const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - MARGIN);
    const last = Math.ceil((box.scrollTop + box.clientHeight) / rowHeight) + MARGIN;
    setRange((old) => (old[0] === first && old[1] === last ? old : [first, last]));
  };
  useLayoutEffect(measure, [total]);
  useEffect(() => {
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, []);
  const first = Math.min(range[0], Math.max(0, total - 1));
  const last = Math.min(range[1], total - 1);
  useEffect(() => {
    if (total > 0) props.onRange(first, last);
  }, [first, last, total]);
  const rows = [];
  for (let index = first; index <= last; index += 1) {
    rows.push(
      <div
        role="row"
        class="row"
        key={index}
        aria-rowindex={index + 2}
        style={{ height: `${rowHeight}px`, transform: `translateY(${index * rowHeight}px)` }}
      >
        {props.row(index)}
      </div>,
    );
  }
  return (
    // A region that scrolls must be reachable by keyboard.
    <div class="rows" ref={frame} tabIndex={0} onScroll={measure} role="table" aria-label={props.label} aria-rowcount={total + 1}>
      <div role="rowgroup" class="rows-head">
        <div class="row head" role="row" aria-rowindex={1}>
          {props.head}
        </div>
      </div>
      <div class="rows-space" role="rowgroup" style={{ height: `${total * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}
