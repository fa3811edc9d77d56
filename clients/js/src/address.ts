/** What a socket is told to connect to, checked as the standard has it: addresses, subprotocols, words for errors. */

/** The address as `WebSocket` wants it: absolute (a page's own address completes it), `ws` or `wss`, no fragment. */
export function resolveUrl(url: string | URL): string {
  const page = globalThis.document as Document | undefined;
  const base = page?.baseURI ?? (globalThis.location as Location | undefined)?.href;
  let whole: URL;
  try {
    whole = new URL(url, base);
  } catch {
    throw failure(`"${url}" is no address; outside a page it must be whole, as in ws://127.0.0.1:8000/ws`);
  }
  whole.protocol = whole.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(whole.protocol)) throw failure(`"${url}" must begin with ws: or wss:`);
  // An empty fragment is one too, and only the whole address shows it.
  if (whole.href.includes("#")) throw failure(`"${url}" has a fragment, which no server would see`);
  return whole.href;
}

/** One subprotocol or several as a list; each must be a token (RFC 9110, 5.6.2), and none may come twice. */
export function checkProtocols(protocols: string | Iterable<string>): string[] {
  const list = typeof protocols === "object" && protocols ? Array.from(protocols, String) : [`${protocols}`];
  for (const [place, one] of list.entries()) {
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(one)) throw failure(`"${one}" cannot be a subprotocol`);
    if (list.indexOf(one) < place) throw failure(`the subprotocol "${one}" is offered twice`);
  }
  return list;
}

/** The standard's error; to throw. */
export function failure(text: string, name = "SyntaxError"): DOMException {
  return new DOMException(text, name);
}
