// Addresses live behind the `#`, so that the server need know one page only.

import { useEffect, useState } from "preact/hooks";

export interface Address {
  /** Parts of the path: `#/calls/42` is `["calls", "42"]`. */
  path: string[];
  query: URLSearchParams;
}

function read(): Address {
  const [path = "", query = ""] = window.location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decodeURIComponent),
    query: new URLSearchParams(query),
  };
}

export function useAddress(): Address {
  const [address, setAddress] = useState(read);
  useEffect(() => {
    const follow = () => setAddress(read());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  return address;
}

export function go(path: string): void {
  window.location.hash = path;
}

/** Changes the query of the address without a step in the history. */
export function replaceQuery(path: string, query: URLSearchParams): void {
  const text = query.toString();
  window.history.replaceState(null, "", `#/${path}${text ? `?${text}` : ""}`);
}
