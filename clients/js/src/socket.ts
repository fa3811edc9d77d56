/**
 * A WebSocket that comes back, and may stand wherever the platform's `WebSocket` stands: back-off with full jitter, a
 * heartbeat, a bounded queue for what is sent meanwhile, and a `close` that is final. It knows nothing of channels, and
 * works with any server.
 */

import { checkProtocols, failure, resolveUrl } from "./address.js";
import { Backoff } from "./backoff.js";
import { systemClock } from "./clock.js";
import { Heartbeat } from "./heartbeat.js";
import { type SocketInput, type SocketState, transitions } from "./machine.js";
import { frozen, isBytes, Queue, sizeOf } from "./queue.js";
import { SocketTarget } from "./target.js";
import type { Cut, Sendable, SocketOptions, SocketUrl, WebSocketClass, WebSocketLike } from "./types.js";
import { onWake } from "./wake.js";

const OPEN = 1;
/** A no, which would be the same again; and 4409: who came back would fight a newer connection for its session. */
const FINAL_CODES = new Set([4401, 4403, 4409]);
const LONGEST_TIMER = 2 ** 31 - 1;
const SILENT = 4410;
const ABNORMAL = 1006;

type Options = Required<Omit<SocketOptions, "protocols" | "WebSocket" | "retry">> & Pick<SocketOptions, "retry">;

export class RobustSocket extends SocketTarget {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;

  static {
    ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].forEach((name, value) => {
      for (const holder of [this, this.prototype]) Object.defineProperty(holder, name, { value, enumerable: true });
    });
  }

  readonly #url: SocketUrl;
  readonly #options: Options;
  readonly #protocols: string[];
  readonly #WebSocket: WebSocketClass;
  readonly #backoff: Backoff;
  readonly #heartbeat: Heartbeat;
  readonly #queue: Queue<Sendable>;
  readonly #unwake: () => void;
  #state: SocketState = "idle";
  /** The transport of this attempt; after `close`, the one that is still to say how it ended. */
  #ws: WebSocketLike | undefined;
  /** The last one that opened. */
  #opener: WebSocketLike | undefined;
  /** The one timer of connecting (its deadline) and of waiting. */
  #timer: unknown;
  /** Counts attempts, so that what an older one started is not taken for the newest. */
  #attempt = 0;
  #openedAt = 0;
  #isPatient = false;
  #lastUrl = "";
  #origin = "";
  #binaryType: BinaryType = "blob";
  /** Bytes that were to be sent and never will be. */
  #unsent = 0;
  /** The state that listeners know. */
  #told: SocketState = "idle";

  /**
   * Connects at once, unless `lazy`. Throws where there is no WebSocket, and a `SyntaxError` of the platform for an
   * address or a subprotocol that is none.
   */
  constructor(url: SocketUrl, protocols: string | Iterable<string> | SocketOptions = [], options: SocketOptions = {}) {
    super();
    need(arguments.length);
    const isList = typeof protocols !== "object" || !protocols || Symbol.iterator in protocols;
    const {
      protocols: offered = isList ? (protocols as string) : [],
      WebSocket = globalThis.WebSocket as WebSocketClass | undefined,
      ...rest
    } = isList ? options : (protocols as SocketOptions);
    if (!WebSocket) {
      throw new TypeError("there is no global WebSocket here; pass { WebSocket }, for example that of the package ws");
    }
    this.#url = typeof url === "function" ? url : (this.#lastUrl = resolveUrl(url));
    this.#protocols = checkProtocols(offered);
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
    } as Options;
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

  /** One of the four constants: CLOSED is for good, and between two connections it is CONNECTING. */
  get readyState(): 0 | 1 | 2 | 3 {
    const inner = this.#ws?.readyState as 0 | 1 | 2 | 3 | undefined;
    if (this.#state === "closed") return inner ?? this.CLOSED;
    return (this.#state === "open" && inner !== this.CLOSED && inner) || this.CONNECTING;
  }

  /** The address, or that of the last attempt where each has its own. */
  get url(): string {
    return this.#lastUrl;
  }

  /** The subprotocol that the server chose, at the last connection. */
  get protocol(): string {
    return this.#opener?.protocol ?? "";
  }

  /** The extensions that the server chose, at the last connection. */
  get extensions(): string {
    return this.#opener?.extensions ?? "";
  }

  /** How bytes come: "blob" or "arraybuffer"; anything else changes nothing. */
  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    if (type !== "blob" && type !== "arraybuffer") return;
    this.#binaryType = type;
    if (this.#ws) this.#ws.binaryType = type;
  }

  /** Bytes that wait, here and in the transport; once closed, those too that were never sent. */
  get bufferedAmount(): number {
    return this.#queue.bytes + (this.#ws?.bufferedAmount ?? 0) + this.#unsent;
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
   * What is neither text nor bytes goes as its text, or as JSON with `json`.
   */
  send(data: unknown): boolean {
    need(arguments.length);
    const message: Sendable = isBytes(data)
      ? data
      : `${this.#options.json && typeof data !== "string" ? JSON.stringify(data) : data}`;
    if (this.#state === "closed") {
      this.#unsent += sizeOf(message);
      return false;
    }
    if (this.#state === "open" && this.#ws?.readyState === OPEN) {
      this.#ws.send(message);
      return true;
    }
    const isKept = this.#queue.put(frozen(message), sizeOf(message));
    if (!isKept) this.emit("overflow", {}, { data });
    return isKept;
  }

  /**
   * Ends for good, in every state; what waits is dropped. The event `close` comes when the transport has said how it
   * ended. Throws `InvalidAccessError` for a code other than 1000 and 3000 to 4999, and `SyntaxError` for a reason of
   * more than 123 bytes.
   */
  close(code?: number, reason?: string): void {
    if (code !== undefined) {
      code = Math.round(+code);
      if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw failure(`close code ${code}; may be 1000, or 3000 to 4999`, "InvalidAccessError");
      }
    }
    if (reason !== undefined && sizeOf((reason = `${reason}`)) > 123) {
      throw failure(`a reason of ${sizeOf(reason)} bytes; may have 123`);
    }
    const ws = this.#ws;
    // Only the standard takes a reason alone: it means 1000.
    if (reason) code ??= 1000;
    if (!this.#finish("close")) return;
    if (ws) {
      ws.onopen = ws.onmessage = null;
      ws.onclose = (cut) => this.#tell(cut);
      if (code === undefined) ws.close();
      else ws.close(code, reason ?? "");
    } else queueMicrotask(() => this.#tell({ code: ABNORMAL }));
    this.#changed();
  }

  /** Gives the present transport up and goes on as if it had been lost. */
  reconnect(cut: Cut = { code: 1000 }): void {
    if (this.#state === "connecting" || this.#state === "open") this.#cut(cut);
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
      this.failed(error, "address");
      // A refusal while the address was made (a ticket that is not given) is as final as one by close code.
      const isRefused = (error as { code?: unknown } | null)?.code === "refused";
      if (isCurrent()) this.#cut({ code: isRefused ? 4401 : ABNORMAL, reason: String(error) });
    };
    this.#timer = this.#options.clock.setTimeout(() => {
      const reason = "no connection in time";
      this.failed(new Error(reason), "transport");
      if (isCurrent()) this.#cut({ code: ABNORMAL, reason });
    }, this.#options.connectTimeout);
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
    this.#origin = new URL(this.#lastUrl).origin;
    const ws = new this.#WebSocket(this.#lastUrl, this.#protocols);
    this.#ws = ws;
    ws.binaryType = this.#binaryType;
    ws.onopen = () => this.#opened(ws);
    ws.onmessage = ({ data }) => this.#received(ws, data);
    ws.onerror = (event) => this.failed(event?.error ?? new Error("the connection failed"), "transport");
    ws.onclose = ({ code, reason, wasClean }) => this.#cut({ code, reason, wasClean });
  }

  #opened(ws: WebSocketLike): void {
    if (!this.#step("opened")) return;
    this.#opener = ws;
    this.#openedAt = this.#options.clock.now();
    if (this.#options.heartbeat || ws.protocol.startsWith("anywire.")) this.#heartbeat.start();
    // Before any listener runs: what was sent first goes first.
    for (const message of this.#queue.take()) ws.send(message);
    this.#changed();
    if (this.#ws === ws && this.#state === "open") this.emit("open", {}, { protocol: ws.protocol });
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
    if (this.#ws === ws) this.emit("message", { data: value, origin: this.#origin });
  }

  #cut(cut: Cut): void {
    if (cut.after === null || FINAL_CODES.has(cut.code)) return this.#end(cut);
    const { clock } = this.#options;
    if (this.#state === "open") this.#backoff.ended(clock.now() - this.#openedAt);
    if (!this.#step("cut")) return;
    this.#release(cut);
    const own = this.#options.retry?.() ?? this.#backoff.next();
    const delay = Math.min(cut.after ?? own, LONGEST_TIMER);
    this.#isPatient = cut.after !== undefined;
    this.#timer = clock.setTimeout(() => this.open(), delay);
    this.#changed();
    this.#tell(cut, delay);
  }

  #end(cut: Cut): void {
    if (!this.#finish("ended")) return;
    this.#release(cut);
    this.#changed();
    this.#tell(cut);
  }

  /** The last step: nothing is awaited any more, and nothing will be sent. */
  #finish(input: "ended" | "close"): boolean {
    if (!this.#step(input)) return false;
    this.#unwake();
    this.#heartbeat.stop();
    this.#unsent += this.#queue.bytes;
    this.#queue.take();
    return true;
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

  #changed(): void {
    const previous = this.#told;
    this.#told = this.#state;
    if (previous !== this.#state) this.emit("state", {}, { state: this.#state, previous });
  }

  #tell({ code, reason = "", wasClean = false }: Cut, delay?: number): void {
    this.emit("close", { code, reason, wasClean }, { willReconnect: delay !== undefined, delay: delay ?? 0 });
  }
}

/** As the platform's classes do, for callers without types. */
function need(given: number): void {
  if (!given) throw new TypeError("1 argument is required");
}
