/** When a browser says that it is worth trying now: the network is back, or the page is looked at. */

/** Calls `run` on each such moment; returns the function that stops it. Outside browsers it does nothing. */
export function onWake(run: () => void): () => void {
  const page = globalThis.document as Document | undefined;
  if (typeof globalThis.addEventListener !== "function") return () => {};
  const seen = () => page?.visibilityState === "visible" && run();
  globalThis.addEventListener("online", run);
  page?.addEventListener("visibilitychange", seen);
  return () => {
    globalThis.removeEventListener("online", run);
    page?.removeEventListener("visibilitychange", seen);
  };
}
