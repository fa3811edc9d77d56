/**
 * A WebSocket that comes back: back-off with full jitter, a heartbeat, a bounded queue for what is sent meanwhile,
 * and a `close` that is final. It knows nothing of channels, and works with any server.
 */

import { Backoff } from "./backoff.js";
import { systemClock } from "./clock.js";
import { Emitter } from "./emitter.js";
import { Heartbeat } from "./heartbeat.js";
import { type SocketInput, type SocketState, transitions } from "./machine.js";
import { Queue, sizeOf } from "./queue.js";
import type { Cut, Sendable, SocketEvents, SocketOptions, SocketUrl, WebSocketClass, WebSocketLike } from "./types.js";
import { onWake } from "./wake.js";

type Listeners = { [K in keyof SocketEvents]: [event: SocketEvents[K]] };

const OPEN = 1;
/** A no, which would be the same again; and 4409: who came back would fight a newer connection for its session. */
const FINAL_CODES = new Set([4401, 4403, 4409]);
const LONGEST_TIMER = 2 ** 31 - 1;
const SILENT = 4410;
const ABNORMAL = 1006;

export class RobustSocket {
  onopen: ((event: SocketEvents["open"]) => unknown) | null = null;
  onmessage: ((event: SocketEvents["message"]) => unknown) | null = null;
  onclose: ((event: SocketEvents["close"]) => unknown) | null = null;
  onerror: ((event: SocketEvents["error"]) => unknown) | null = null;

  readonly #url: SocketUrl;
  readonly #options: Required<Omit<SocketOptions, "protocols" | "WebSocket">>;
  readonly #protocols: string[];
  readonly #WebSocket: WebSocketClass;
  readonly #emitter = new Emitter<Listeners>((error) => this.#failed(error, "listener"));
  readonly #backoff: Backoff;
  readonly #heartbeat: Heartbeat;
  readonly #queue: Queue<Sendable>;
  readonly #unwake: () => void;
  #state: SocketState = "idle";
  #ws: WebSocketLike | undefined;
  /** The one timer of connecting (its deadline) and of waiting. */
  #timer: unknown;
  /** Counts attempts, so that what an older one started is not taken for the newest. */
  #attempt = 0;
  #openedAt = 0;
  #isPatient = false;
  #lastUrl = "";
  /** The state that listeners know. */
  #told: SocketState = "idle";
  #isReporting = false;

  /** Connects at once, unless `lazy`. Throws where there is no WebSocket, or for an address that is none. */
  constructor(url: SocketUrl, options: SocketOptions = {}) {
    const { protocols = [], WebSocket = globalThis.WebSocket as WebSocketClass | undefined, ...rest } = options;
    if (!WebSocket) {
      throw new TypeError("there is no global WebSocket here; pass { WebSocket }, for example that of the package ws");
    }
    this.#url = typeof url === "function" ? url : resolveUrl(url);
    this.#protocols = typeof protocols === "string" ? [protocols] : protocols;
    this.#WebSocket = WebSocket;
    this.#options = {
      reconnectInterval: 1000,
      maxReconnectInterval: 30_000,
      reconnectDecay: 1.5,
      minUptime: 5000,
      connectTimeout: 10_000,
      heartbeatInterval: 30_000,
      heartbeatTimeout: 5000,
      heartbeat: false,
      json: false,
      maxQueue: 1000,
      maxQueueBytes: 2 ** 20,
      lazy: false,
      ping: () => '{"type":"ping"}',
      random: Math.random,
      clock: systemClock,
      onWake,
      ...(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as typeof rest),
    } as Required<typeof rest>;
    const { clock, maxQueue, maxQueueBytes } = this.#options;
    this.#backoff = new Backoff(this.#options);
    this.#queue = new Queue(maxQueue, maxQueueBytes);
    this.#heartbeat = new Heartbeat({
      interval: this.#options.heartbeatInterval,
      timeout: this.#options.heartbeatTimeout,
      clock,
      ping: () => this.#ws?.send(this.#options.ping()),
      silent: () => this.reconnect({ code: SILENT, reason: "silent" }),
    });
    this.#unwake = this.#options.onWake(() => this.#wake());
    if (!this.#options.lazy) this.open();
  }

  get state(): SocketState {
    return this.#state;
  }

  /** The address of the last attempt. */
  get url(): string {
    return this.#lastUrl;
  }

  /** The subprotocol that the server chose; empty without a connection. */
  get protocol(): string {
    return this.#state === "open" ? (this.#ws?.protocol ?? "") : "";
  }

  /** Bytes that wait, here and in the transport. */
  get bufferedAmount(): number {
    return this.#queue.bytes + (this.#ws?.bufferedAmount ?? 0);
  }

  /** Milliseconds of silence before a ping. */
  set heartbeatInterval(interval: number) {
    this.#heartbeat.interval = interval;
  }

  /** Connects, or cuts the wait short; nothing while connected or once closed. */
  open(): void {
    if (this.#step("start")) this.#connect();
  }

  /**
   * Sends now, or when there is a connection; false if the message was refused: the queue is full, or all is over.
   */
  send(data: unknown): boolean {
    if (this.#state === "closed") return false;
    const message = this.#options.json && !isSendable(data) ? JSON.stringify(data) : (data as Sendable);
    if (this.#state === "open" && this.#ws?.readyState === OPEN) {
      this.#ws.send(message);
      return true;
    }
    const isKept = this.#queue.put(message, sizeOf(message));
    if (!isKept) this.#emit({ type: "overflow", data });
    return isKept;
  }

  /** Ends for good, in every state; what waits is dropped. Code 1000 or 3000 to 4999. */
  close(code = 1000, reason = ""): void {
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new RangeError(`close code ${code}; may be 1000, or 3000 to 4999`);
    }
    this.#end("close", { code, reason, wasClean: true });
  }

  /** Gives the present transport up and goes on as if it had been lost. */
  reconnect(cut: Cut = { code: 1000 }): void {
    if (this.#state === "connecting" || this.#state === "open") this.#cut(cut);
  }

  on<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): () => void {
    return this.#emitter.on(type, listener as (...args: Listeners[K]) => unknown);
  }

  once<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): () => void {
    return this.#emitter.once(type, listener as (...args: Listeners[K]) => unknown);
  }

  off<K extends keyof SocketEvents>(type: K, listener?: (event: SocketEvents[K]) => unknown): void {
    this.#emitter.off(type, listener as (...args: Listeners[K]) => unknown);
  }

  addEventListener<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): void {
    this.off(type, listener);
    this.on(type, listener);
  }

  removeEventListener<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): void {
    this.off(type, listener);
  }

  /** Takes one way of the table; false where the state has none for this input. */
  #step(input: SocketInput): boolean {
    const state = transitions[this.#state][input];
    if (!state) return false;
    this.#state = state;
    this.#options.clock.clearTimeout(this.#timer);
    return true;
  }

  #connect(): void {
    const attempt = ++this.#attempt;
    const isCurrent = () => attempt === this.#attempt && this.#state === "connecting";
    const give = (error: unknown) => {
      if (!isCurrent()) return;
      this.#failed(error, "address");
      // A refusal while the address was made (a ticket that is not given) is as final as one by close code.
      const isRefused = (error as { code?: unknown } | null)?.code === "refused";
      if (isCurrent()) this.#cut({ code: isRefused ? 4401 : ABNORMAL, reason: String(error) });
    };
    this.#timer = this.#options.clock.setTimeout(
      () => this.#cut({ code: ABNORMAL, reason: "no connection in time" }),
      this.#options.connectTimeout,
    );
    this.#changed();
    if (!isCurrent()) return;
    try {
      const url = typeof this.#url === "function" ? this.#url() : this.#url;
      if (!(url instanceof Promise)) return this.#dial(url);
      url.then((made) => isCurrent() && this.#dial(made)).catch(give);
    } catch (error) {
      give(error);
    }
  }

  #dial(url: string | URL): void {
    this.#lastUrl = resolveUrl(url);
    const ws = new this.#WebSocket(this.#lastUrl, this.#protocols);
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onopen = () => this.#opened(ws);
    ws.onmessage = ({ data }) => this.#received(ws, data);
    ws.onerror = (event) => this.#failed(event?.error ?? new Error("the connection failed"), "transport");
    ws.onclose = ({ code, reason, wasClean }) => this.#cut({ code, reason, wasClean });
  }

  #opened(ws: WebSocketLike): void {
    if (!this.#step("opened")) return;
    this.#openedAt = this.#options.clock.now();
    if (this.#options.heartbeat || ws.protocol.startsWith("anywire.")) this.#heartbeat.start();
    // Before any listener runs: what was sent first goes first.
    for (const message of this.#queue.take()) ws.send(message);
    this.#changed();
    if (this.#ws === ws) this.#emit({ type: "open", protocol: ws.protocol });
  }

  #received(ws: WebSocketLike, data: unknown): void {
    this.#heartbeat.heard();
    let value = data;
    if (this.#options.json && typeof data === "string") {
      try {
        value = JSON.parse(data);
      } catch {
        // Text that is not JSON is handed over as it is.
      }
      if ((value as { type?: unknown } | null)?.type === "pong") return;
    }
    if (this.#ws === ws) this.#emit({ type: "message", data: value });
  }

  #cut(cut: Cut): void {
    if (cut.after === null || FINAL_CODES.has(cut.code)) return this.#end("ended", cut);
    const { clock } = this.#options;
    if (this.#state === "open") this.#backoff.ended(clock.now() - this.#openedAt);
    if (!this.#step("cut")) return;
    this.#release(cut);
    const own = this.#backoff.next();
    const delay = Math.min(cut.after ?? own, LONGEST_TIMER);
    this.#isPatient = cut.after !== undefined;
    this.#timer = clock.setTimeout(() => this.open(), delay);
    this.#changed();
    this.#emit({ ...closing(cut), willReconnect: true, delay });
  }

  #end(input: "ended" | "close", cut: Cut): void {
    if (!this.#step(input)) return;
    this.#unwake();
    this.#queue.take();
    this.#release(cut);
    this.#changed();
    this.#emit({ ...closing(cut), willReconnect: false, delay: 0 });
  }

  /** Lets go of the transport without waiting for it: a dead one would answer after minutes. */
  #release({ code, reason = "" }: Cut): void {
    const ws = this.#ws;
    this.#ws = undefined;
    this.#heartbeat.stop();
    if (!ws) return;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.onerror = () => {};
    try {
      // Only these codes may be sent; a reason has 123 bytes at most.
      if (code === 1000 || code >= 3000) ws.close(code, sizeOf(reason) > 123 ? "" : reason);
      else ws.close();
    } catch {
      // It is gone already.
    }
  }

  /** A wait that the server asked for is not cut short: it keeps a crowd apart. */
  #wake(): void {
    if (this.#state === "waiting" && !this.#isPatient) this.open();
    else if (this.#state === "open") this.#heartbeat.ask();
  }

  #failed(error: unknown, source: SocketEvents["error"]["source"]): void {
    if (this.#isReporting || !(this.onerror || this.#emitter.has("error"))) {
      // A transport that failed is told by `close` too, and tried again; a bug must be seen by someone.
      if (source !== "transport") console.error(error);
      return;
    }
    // An error in a listener for errors goes to the console, not round in a circle.
    this.#isReporting = true;
    this.#emit({ type: "error", error, source });
    this.#isReporting = false;
  }

  #changed(): void {
    const previous = this.#told;
    this.#told = this.#state;
    if (previous !== this.#state) this.#emit({ type: "state", state: this.#state, previous });
  }

  #emit(event: SocketEvents[keyof SocketEvents]): void {
    const property = (this as unknown as Record<string, unknown>)[`on${event.type}`];
    if (typeof property === "function") {
      try {
        property.call(this, event);
      } catch (error) {
        this.#failed(error, "listener");
      }
    }
    (this.#emitter as Emitter<Record<string, [unknown]>>).emit(event.type, event);
  }
}

function closing({ code, reason = "", wasClean = false }: Cut) {
  return { type: "close", code, reason, wasClean } as const;
}

function isSendable(data: unknown): data is Sendable {
  return (
    typeof data === "string" ||
    data instanceof ArrayBuffer ||
    ArrayBuffer.isView(data) ||
    (typeof Blob === "function" && data instanceof Blob)
  );
}

/** The address as `WebSocket` wants it: absolute (a page's own address completes it), `ws` or `wss`, no fragment. */
export function resolveUrl(url: string | URL): string {
  const base = (globalThis.location as Location | undefined)?.href;
  let whole: URL;
  try {
    whole = new URL(url, base);
  } catch {
    throw new SyntaxError(`"${url}" is no address; outside a page it must be whole, as in ws://127.0.0.1:8000/ws`);
  }
  whole.protocol = whole.protocol.replace(/^http/, "ws");
  whole.hash = "";
  if (!/^wss?:$/.test(whole.protocol)) throw new SyntaxError(`"${url}" must begin with ws: or wss:`);
  return whole.href;
}
