// Data of a page: loading, there, or not to be had.

import { useCallback, useEffect, useState } from "preact/hooks";

export interface Loaded<T> {
  data: T | undefined;
  problem: Error | undefined;
  reload: () => void;
}

/** Loads when `inputs` change; answers to earlier inputs are dropped, earlier data stays in sight. */
export function useLoad<T>(load: () => Promise<T>, inputs: unknown[]): Loaded<T> {
  const [data, setData] = useState<T>();
  const [problem, setProblem] = useState<Error>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    let wanted = true;
    load().then(
      (loaded) => {
        if (!wanted) return;
        setData(() => loaded);
        setProblem(undefined);
      },
      (failed: Error) => wanted && setProblem(failed),
    );
    return () => {
      wanted = false;
    };
  }, [...inputs, round]);
  const reload = useCallback(() => setRound((count) => count + 1), []);
  return { data, problem, reload };
}
