// The recording: 16-bit PCM in a RIFF file, caller left, agent right.

export interface Wave {
  rate: number;
  channels: number;
  samples: Int16Array;
}

export function readWave(buffer: ArrayBuffer): Wave {
  const view = new DataView(buffer);
  const tag = (at: number) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 12 || tag(0) !== "RIFF" || tag(8) !== "WAVE") throw new Error("The recording is no WAV file.");
  let rate = 0;
  let channels = 0;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "fmt ") {
      channels = view.getUint16(at + 10, true);
      rate = view.getUint32(at + 12, true);
    }
    if (tag(at) === "data" && channels > 0) {
      const bytes = Math.min(size, buffer.byteLength - at - 8);
      const samples = new Int16Array(buffer.slice(at + 8, at + 8 + bytes - (bytes % 2)));
      return { rate, channels, samples };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("The recording has no sound.");
}

/** Lowest and highest sample of each of `columns` slices of a channel, from -1 to 1. */
export function peaks(wave: Wave, channel: number, columns: number): Float32Array {
  const frames = Math.floor(wave.samples.length / wave.channels);
  const found = new Float32Array(columns * 2);
  for (let column = 0; column < columns; column += 1) {
    const first = Math.floor((column * frames) / columns);
    const last = Math.floor(((column + 1) * frames) / columns);
    let low = 0;
    let high = 0;
    for (let frame = first; frame < last; frame += 1) {
      const sample = wave.samples[frame * wave.channels + channel] ?? 0;
      if (sample < low) low = sample;
      if (sample > high) high = sample;
    }
    found[column * 2] = low / 32_768;
    found[column * 2 + 1] = high / 32_768;
  }
  return found;
}
