/**
 * What stands where a `WebSocket` stands, over HTTP requests (docs/reference/protocol.md, Over HTTP): one that hears what
 * the server says, and one at a time that brings what was sent meanwhile.
 *
 * All by `fetch`, event streams too: an `EventSource` sees no status, so it cannot tell a refusal from a cut, and asks
 * again for the address that it was given, while we must say how far we are.
 */

import type { Clock } from "../clock.js";
import { json } from "../codec.js";
import { AnywireError } from "../error.js";
import { sizeOf } from "../queue.js";
import type { WebSocketLike } from "../types.js";
import type { HttpCarrier } from "./choice.js";
import { reader, SEPARATOR } from "./reading.js";

/** Milliseconds in which the last words are said, or heard. */
const CLOSING = 2000;
/** Bytes that one request brings, if they are several messages. */
const MOST = 2 ** 18;
const ABNORMAL = 1006;

export interface HttpSocketOptions {
  carrier: HttpCarrier;
  clock: Clock;
  fetch: typeof fetch;
  /** What an opening would say of the session. */
  session: () => Record<string, string>;
  /** The server will not have us. */
  refused: (error: AnywireError) => void;
}

export class HttpSocket implements WebSocketLike {
  protocol = "";
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "arraybuffer";
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onerror: WebSocketLike["onerror"] = null;
  onclose: WebSocketLike["onclose"] = null;
  readonly #url: URL;
  readonly #options: HttpSocketOptions;
  readonly #controller = new AbortController();
  #heard = 0;
  #brought = 0;
  #waiting: string[] = [];
  #posting: Promise<void> | undefined;
  #timer: unknown;

  constructor(url: string, options: HttpSocketOptions) {
    this.#url = new URL(url.replace(/^ws/, "http"));
    this.#url.pathname = `${this.#url.pathname.replace(/\/$/, "")}/${options.carrier}`;
    this.#options = options;
    void this.#listen();
  }

  send(data: string): void {
    this.#waiting.push(data);
    this.bufferedAmount += sizeOf(data);
    this.#posting ??= this.#post();
  }

  close(code = 1005, reason = ""): void {
    if (this.readyState > 1) return;
    this.readyState = 2;
    const end = () => this.#end(code, reason);
    this.#endSoon(end);
    void Promise.resolve(this.#posting).then(end);
  }

  /** Hears one answer after the other; what breaks is asked for again from where we are. */
  async #listen(): Promise<void> {
    const { carrier } = this.#options;
    let idle = 0;
    for (;;) {
      const before = this.#heard;
      // A poll is answered in bounded time; a stream has no end of its own.
      let trouble: unknown = carrier !== "poll" && "the stream ended";
      try {
        const response = await this.#ask();
        const { status, headers, body } = response;
        // A network that wants a login has pages of its own for everything.
        if (status !== 200 || !body || !/event-stream|octet-stream/.test(headers.get("content-type") ?? "")) {
          const text = (await response.text()).trim();
          if (!this.readyState || status < 500) return this.#refused(response, text);
          throw new Error(text);
        }
        const read = reader(carrier);
        const chunks = body.getReader();
        for (;;) {
          const { value, done } = await chunks.read();
          this.#hear(read(value));
          if (done) break;
        }
        const farewell = headers.get("x-anywire-close");
        if (farewell) this.#hear([`!${farewell}`]);
      } catch (error) {
        trouble = error;
      }
      if (this.readyState > 1) return;
      idle = trouble && this.#heard === before ? idle + 1 : 0;
      if (!this.readyState || idle > 1) return this.#end(ABNORMAL, `${trouble}`);
    }
  }

  #hear(parts: string[]): void {
    for (const data of parts) {
      if (this.readyState > 1) return;
      if (data[0] === "!") {
        const [code, reason = ""] = data.slice(1).split(" ");
        return this.#end(Number(code) || ABNORMAL, decodeURIComponent(reason));
      }
      this.#heard += 1;
      if (!this.readyState) {
        this.readyState = 1;
        this.protocol = json.subprotocol;
        this.onopen?.({});
      }
      this.onmessage?.({ data });
    }
  }

  async #post(): Promise<void> {
    // What is sent in one turn goes together.
    await undefined;
    while (this.#waiting.length) {
      let size = 0;
      let count = this.#waiting.findIndex((data) => (size += sizeOf(data)) > MOST);
      if (count < 0) count = this.#waiting.length;
      const batch = this.#waiting.splice(0, count || 1);
      let response = await this.#bring(batch);
      if (!response || response.status >= 500) response = await this.#bring(batch);
      if (!response?.ok) {
        this.#waiting = [];
        const end = () => this.#refused(response, "not taken");
        // The answer to the GET says why, if there is more to it.
        return response ? this.#endSoon(end) : end();
      }
      this.#brought += batch.length;
      this.bufferedAmount -= batch.reduce((sum, data) => sum + sizeOf(data), 0);
    }
    this.#posting = undefined;
  }

  /** The answer, if there is one; a batch that comes twice is known by the count before it. */
  #bring(batch: string[]): Promise<Response | undefined> {
    return this.#ask(batch.join(SEPARATOR)).catch(() => undefined);
  }

  #ask(body: string | null = null): Promise<Response> {
    const { fetch, session } = this.#options;
    if (this.readyState) {
      // A GET says how many counted messages came, a POST how many went before it; more does not hurt.
      const { received: ack, ...secret } = session();
      const params = this.#url.searchParams;
      params.delete("received");
      for (const [name, value] of Object.entries({ ...secret, ack, from: this.#brought })) params.set(name, `${value}`);
    }
    const method = body === null ? "GET" : "POST";
    return fetch(this.#url, { method, body, signal: this.#controller.signal, credentials: "include" });
  }

  /** Ends as an answer without messages says. */
  #refused(response: Response | undefined, text: string): void {
    const status = response?.status;
    let code = status === 409 ? 4409 : status === 413 ? 1009 : ABNORMAL;
    if (!this.readyState && (status === 401 || status === 403)) {
      code = 4401;
      this.#options.refused(new AnywireError(response?.headers.get("x-anywire-code") ?? "refused", text));
    }
    this.#end(code, `${status}: ${text}`);
  }

  #endSoon(end: () => void): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(end, CLOSING);
  }

  #end(code: number, reason: string): void {
    if (this.readyState > 2) return;
    this.readyState = 3;
    this.#options.clock.clearTimeout(this.#timer);
    this.#controller.abort();
    const wasClean = code !== ABNORMAL;
    if (!wasClean) this.onerror?.({ error: new Error(reason) });
    this.onclose?.({ code, reason, wasClean });
  }
}
