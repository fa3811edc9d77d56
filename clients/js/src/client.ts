/** A session with the server over a socket that comes back: channels stay joined, nothing that can be kept is lost. */

import { resolveUrl } from "./address.js";
import { Calls, errorOf, type Line, type Outgoing } from "./calls.js";
import { Channel, type ChannelOptions } from "./channel.js";
import { systemClock } from "./clock.js";
import { COUNTED, type Codec, type Encoded, json, type Message } from "./codec.js";
import { Emitter } from "./emitter.js";
import { AnywireError } from "./error.js";
import { Queue, sizeOf } from "./queue.js";
import { Session } from "./session.js";
import { RobustSocket } from "./socket.js";
import { CARRIERS, type Carrier, Choice } from "./transports/choice.js";
import { HttpSocket } from "./transports/http.js";
import type { SocketEvents, SocketOptions, WebSocketClass, WebSocketLike } from "./types.js";

/** `resuming`: connecting, to go on with the same session. `waiting`: until the next attempt. `closed` is final. */
export type ClientState = "connecting" | "open" | "resuming" | "waiting" | "closed";

/** A secret, or what fetches it anew for each attempt; throwing AnywireError `refused` ends the attempts. */
export type Secret = string | (() => string | Promise<string>);

type Own = "json" | "heartbeat" | "protocols" | "lazy" | "ping" | "retry";

export interface ClientOptions extends Omit<SocketOptions, Own> {
  /** Where a ticket is had by POST (its answer is `{"ticket": …}`), or what returns one. Goes along as `?ticket=`. */
  ticket?: Secret;
  /** Goes along as `?token=`. */
  token?: Secret;
  /** Milliseconds a call may take, unless it says otherwise; 0 means without end. Default 10000. */
  timeout?: number;
  /** Messages kept for a resume until the server has them. Default 1000. */
  maxKept?: number;
  /** Bytes kept for a resume. Default 1 MiB. */
  maxKeptBytes?: number;
  /** The form of messages. Default JSON. */
  codec?: Codec;
  /** What to connect over, tried in this order. Default: all; bytes (of another codec) go over WebSockets alone. */
  carriers?: readonly Carrier[];
  /** Milliseconds a carrier has for the server's first word while there is another one to try. Default 5000. */
  carrierTimeout?: number;
  /** Fetches the ticket, and makes the requests of carriers. Default: the global one. */
  fetch?: typeof fetch;
}

export type ClientEvents = {
  state: [state: ClientState, previous: ClientState];
  /** What no call or join could tell: a failed attempt, a listener that threw, the reason of the end. */
  error: [error: unknown];
  /** The queue of what waits to be sent is full: this was refused. */
  overflow: [refused: { address: string; event: string; data: unknown }];
};

type Queued = Outgoing & { data: Encoded };

/** Close codes after which the same session would fail again: something of it is the cause. */
const FATAL_TO_SESSION = new Set([1002, 1003, 1007, 1009, 4400]);
const REFUSED_CODES = new Set([4401, 4403]);
const PROTOCOL_ERROR = 4400;
const ABNORMAL = 1006;
/** Messages on their way past which uploads wait, */
const PRESSING = 256;
/** bytes in the transport past which they wait, and milliseconds until they look again: nobody tells of its drain. */
const PRESSING_BYTES = 2 ** 18;
const LOOK_AGAIN = 20;

/** Connects at once, and again whenever it must. */
export function connect(url: string | URL, options: ClientOptions = {}): Client {
  return new Client(url, options);
}

export class Client {
  /** What the server says of its limits; empty before the first session. */
  limits: Readonly<Record<string, number>> = {};
  /** Why the client is closed. */
  closed: AnywireError | undefined;

  readonly #url: string;
  readonly #options: ClientOptions;
  readonly #codec: Codec;
  readonly #clock;
  readonly #emitter = new Emitter<ClientEvents>((error) => this.#report(error));
  readonly #session: Session;
  readonly #queue: Queue<Queued>;
  readonly #channels = new Map<string, Channel<any, any, any>>();
  readonly #line: Line;
  readonly #calls: Calls;
  readonly #choice: Choice;
  readonly #socket: RobustSocket;
  #carrier: Carrier | undefined;
  /** A carrier is being tried: the server has said nothing over it yet. */
  #isTrying = false;
  /** It got nowhere, and another one follows at once. */
  #isHasty = false;
  #state: ClientState = "connecting";
  #isLive = false;
  #refs = 0;
  #timer: unknown;
  #waiters: (() => void)[] = [];
  /** What the server said of the session itself before it ended. */
  #refusal: AnywireError | undefined;
  #isReporting = false;

  constructor(url: string | URL, options: ClientOptions = {}) {
    const { codec = json, clock = systemClock, maxQueue = 1000, maxQueueBytes = 2 ** 20, ...rest } = options;
    this.#url = resolveUrl(url);
    this.#options = options;
    this.#codec = codec;
    this.#clock = clock;
    this.#session = new Session(options.maxKept ?? 1000, options.maxKeptBytes ?? 2 ** 20);
    this.#queue = new Queue(maxQueue, maxQueueBytes);
    this.#line = this.#makeLine();
    this.#calls = new Calls(this.#line);
    const { WebSocket = globalThis.WebSocket as WebSocketClass | undefined, carriers = CARRIERS } = options;
    const isText = codec.subprotocol === json.subprotocol;
    const possible = carriers.filter((one) => (one === "websocket" ? WebSocket : isText));
    if (!possible.length) throw new TypeError(`none of these carriers can be had here: ${carriers}`);
    this.#choice = new Choice(possible, clock, new URL(this.#url).host);
    const client = this;
    this.#socket = new RobustSocket(() => this.#address(), {
      ...rest,
      WebSocket: function (url: string, protocols: string[]) {
        return client.#dial(url, protocols, WebSocket);
      } as unknown as WebSocketClass,
      retry: () => {
        this.#isHasty = this.#isTrying && this.#choice.failed();
        return this.#isHasty ? 0 : undefined;
      },
      clock,
      protocols: codec.subprotocol,
      lazy: true,
      // What waits, waits here, where it is known which session it belongs to.
      maxQueue: 0,
      ping: () => {
        this.#acknowledge();
        return codec.encode({ type: "ping" }) as string;
      },
    });
    this.#socket.binaryType = "arraybuffer";
    this.#socket.on("state", (event) => this.#socketChanged(event));
    this.#socket.on("message", ({ data }) => this.#received(data));
    this.#socket.on("close", (event) => this.#cut(event));
    this.#socket.on("error", ({ error, source }) => {
      // An attempt that `close` breaks off fails, and is no failure.
      if (source !== "transport" || (!this.closed && this.#emitter.has("error"))) this.#report(error);
    });
    this.#socket.open();
  }

  get state(): ClientState {
    return this.#state;
  }

  /** What the last attempt goes over. */
  get carrier(): Carrier | undefined {
    return this.#carrier;
  }

  /** The public id of the session, once there is one. */
  get session(): string | undefined {
    return this.#session.id;
  }

  /** The channel at an address: one object per address, with the options of the first time. */
  channel<
    Events extends object = Record<string, any>,
    Calls extends object = Record<string, (arg: any) => any>,
    Meta = any,
  >(
    address: string,
    options: ChannelOptions = {},
  ): Channel<Events, Calls, Meta> {
    let channel = this.#channels.get(address);
    if (!channel) {
      channel = new Channel(address, options, { line: this.#line, calls: this.#calls });
      this.#channels.set(address, channel);
    }
    return channel;
  }

  on<K extends keyof ClientEvents>(event: K, listener: (...args: ClientEvents[K]) => unknown): () => void {
    return this.#emitter.on(event, listener);
  }

  once<K extends keyof ClientEvents>(event: K, listener: (...args: ClientEvents[K]) => unknown): () => void {
    return this.#emitter.once(event, listener);
  }

  off<K extends keyof ClientEvents>(event: K, listener?: (...args: ClientEvents[K]) => unknown): void {
    this.#emitter.off(event, listener);
  }

  /** Ends for good: the session, every channel, every call under way. */
  close(code = 1000, reason = ""): void {
    if (this.#isLive) this.#write({ type: "bye", code, text: reason });
    this.#socket.close(code, reason);
    this.#end(code, reason);
  }

  #makeLine(): Line {
    const client = this;
    return {
      clock: this.#clock,
      random: this.#options.random ?? Math.random,
      timeout: this.#options.timeout ?? 10_000,
      get closed() {
        return client.closed;
      },
      get isLive() {
        return client.#isLive;
      },
      ref: () => ++this.#refs,
      write: (message) => this.#write(message),
      post: (outgoing) => this.#post(outgoing),
      drop: (wanted) => this.#queue.take(wanted),
      flush: () => this.#flush(),
      room: (signal) => this.#room(signal),
      report: (error) => this.#report(error),
    };
  }

  /** The address of one attempt; a promise only where something must be fetched. */
  #address(): string | Promise<string> {
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(this.#session.query)) url.searchParams.set(name, value);
    const { token, ticket } = this.#options;
    if (typeof token === "string") url.searchParams.set("token", token);
    if (typeof token !== "function" && ticket === undefined) return url.href;
    return (async () => {
      if (typeof token === "function") url.searchParams.set("token", await token());
      if (typeof ticket === "function") url.searchParams.set("ticket", await ticket());
      else if (ticket !== undefined) url.searchParams.set("ticket", await this.#fetchTicket(ticket));
      return url.href;
    })();
  }

  async #fetchTicket(url: string): Promise<string> {
    const { fetch = globalThis.fetch } = this.#options;
    const base = this.#url.replace(/^ws/, "http");
    const response = await fetch(new URL(url, base), { method: "POST", credentials: "include" });
    const { status } = response;
    if (status === 401 || status === 403) throw new AnywireError("refused", `no ticket from ${url}: status ${status}`);
    const ticket: unknown = response.ok ? ((await response.json()) as { ticket?: unknown }).ticket : undefined;
    if (typeof ticket !== "string") throw new AnywireError("invalid", `no ticket from ${url}: status ${status}`);
    return ticket;
  }

  /** One try, which has so much time for the server's first word, which is the welcome. */
  #dial(url: string, protocols: string[], WebSocket: WebSocketClass | undefined): WebSocketLike {
    const { connectTimeout = 10_000, carrierTimeout = 5000, fetch = globalThis.fetch } = this.#options;
    const carrier = this.#choice.next();
    this.#carrier = carrier;
    this.#isTrying = true;
    this.#timer = this.#clock.setTimeout(
      () => this.#socket.reconnect({ code: this.#isTrying ? ABNORMAL : PROTOCOL_ERROR, reason: "no welcome in time" }),
      this.#choice.isLast ? connectTimeout : carrierTimeout,
    );
    if (carrier === "websocket") return new (WebSocket as WebSocketClass)(url, protocols);
    return new HttpSocket(url, {
      carrier,
      clock: this.#clock,
      fetch,
      session: () => this.#session.query,
      refused: (error) => (this.#refusal = error),
    });
  }

  #socketChanged({ state }: SocketEvents["state"]): void {
    if (state === "connecting") this.#change(this.#session.query.session ? "resuming" : "connecting");
    else if (state === "waiting") {
      this.#refusal = undefined;
      this.#isLive = false;
      // From one carrier to the next there is no wait to be told.
      if (!this.#isHasty) this.#change("waiting");
    }
  }

  /** The transport ended; the socket has said by its state whether for good. */
  #cut({ code, reason, willReconnect }: SocketEvents["close"]): void {
    this.#isLive = false;
    this.#clock.clearTimeout(this.#timer);
    if (FATAL_TO_SESSION.has(code)) this.#session.forget();
    if (!willReconnect) this.#end(code, reason);
  }

  #end(code: number, reason: string): void {
    if (this.closed) return;
    this.#isLive = false;
    this.#clock.clearTimeout(this.#timer);
    const ended = new AnywireError(REFUSED_CODES.has(code) ? "refused" : "closed", reason, { data: { code } });
    const error = this.#refusal ?? ended;
    this.closed = error;
    for (const channel of this.#channels.values()) channel.close(error);
    this.#calls.close(error);
    this.#queue.take();
    this.#wake();
    this.#change("closed");
    if (code !== 1000) this.#report(error);
  }

  #received(data: unknown): void {
    if (this.#isTrying) this.#choice.succeeded();
    this.#isTrying = false;
    try {
      this.#take(this.#codec.decode(data));
    } catch (error) {
      // Listeners' errors do not come here: this is a message that is none, or has members of other types.
      this.#report(error);
      this.#socket.reconnect({ code: PROTOCOL_ERROR, reason: "not a message" });
    }
  }

  #take(message: Message): void {
    if (COUNTED.has(message.type) && this.#session.count()) this.#acknowledge();
    switch (message.type) {
      case "welcome":
        return this.#welcome(message);
      case "ack":
        this.#session.acknowledge(message.received ?? 0);
        return this.#wake();
      case "ping":
        return this.#write({ type: "pong", timestamp: Math.floor(Date.now() / 1000), echo: message.echo ?? undefined });
      case "beat":
        this.#write({ type: "beat" });
        return this.#acknowledge();
      case "bye":
        return this.#socket.reconnect({
          code: Number(message.code) || 1000,
          reason: message.text ?? "",
          wasClean: true,
          after: typeof message.retry === "number" ? message.retry * 1000 : null,
        });
      case "reply":
      case "item":
      case "end":
      case "cancel":
        this.#calls.receive(message);
        return;
      case "refused":
        return this.#refused(message);
    }
    this.#channels.get(message.address ?? "")?.receive(message);
  }

  #refused(message: Message): void {
    if (message.ref != null && this.#calls.receive(message)) return;
    for (const channel of this.#channels.values()) {
      if (channel.isAsked(message.ref) || channel.address === message.address) return channel.receive(message);
    }
    this.#refusal = errorOf(message);
    this.#report(this.#refusal);
  }

  #welcome(message: Message): void {
    this.#clock.clearTimeout(this.#timer);
    this.limits = message.limits ?? {};
    if (message.beat) {
      this.#socket.heartbeatInterval = Math.min(this.#options.heartbeatInterval ?? 30_000, message.beat * 1000);
    }
    const isResumed = !!message.resumed && this.#session.id !== undefined;
    if (isResumed) {
      const missing = this.#session.resume(message);
      if (!missing) {
        // More was dropped than the server has: only a new session is whole.
        this.#session.forget();
        return this.#socket.reconnect({ code: 1000, reason: "cannot resume", after: 0 });
      }
      for (const data of missing) this.#socket.send(data);
    } else {
      this.#calls.lost();
      this.#session.begin(message);
    }
    this.#isLive = true;
    for (const channel of this.#channels.values()) channel.live(isResumed);
    this.#flush();
    this.#wake();
    this.#change("open");
  }

  #post(outgoing: Outgoing): boolean {
    const { message, channel, isBound } = outgoing;
    if (this.closed || (isBound && !channel.isJoined)) return false;
    const data = this.#codec.encode(message);
    if (this.#isLive && channel.isJoined) {
      this.#hand({ ...outgoing, data });
      return true;
    }
    if (message.volatile) return false;
    const isTaken = this.#queue.put({ ...outgoing, data }, sizeOf(data));
    if (!isTaken) {
      const { address, event, data: value } = message;
      this.#emitter.emit("overflow", { address: address ?? "", event: event ?? "", data: value });
    }
    return isTaken;
  }

  #flush(): void {
    if (!this.#isLive) return;
    for (const queued of this.#queue.take(({ channel }) => channel.isJoined)) this.#hand(queued);
  }

  #hand(queued: Queued): void {
    const most = this.limits.message;
    if (most !== undefined && sizeOf(queued.data) > most) {
      // The server would cut the connection for it.
      const error = new AnywireError("too_large", `a message of ${sizeOf(queued.data)} bytes; at most ${most}`);
      if (queued.failed) queued.failed(error);
      else this.#report(error);
      return;
    }
    this.#send(queued.message, queued.data);
    queued.sent?.();
  }

  #write(message: Message): void {
    this.#send(message, this.#codec.encode(message));
  }

  #send(message: Message, data: Encoded): void {
    if (COUNTED.has(message.type)) this.#session.sent(data);
    this.#socket.send(data);
  }

  #acknowledge(): void {
    const ack = this.#session.ack();
    if (ack) this.#write(ack);
  }

  async #room(signal: AbortSignal): Promise<void> {
    while (!this.closed && !signal.aborted) {
      const isTaken = this.#isLive && this.#session.kept < PRESSING;
      if (isTaken && this.#socket.bufferedAmount < PRESSING_BYTES) return;
      await new Promise<unknown>((resolve) => {
        if (isTaken) this.#clock.setTimeout(() => resolve(undefined), LOOK_AGAIN);
        else {
          this.#waiters.push(() => {
            signal.removeEventListener("abort", resolve);
            resolve(undefined);
          });
          signal.addEventListener("abort", resolve);
        }
      });
    }
  }

  /** Those who wait look again. */
  #wake(): void {
    for (const look of this.#waiters.splice(0)) look();
  }

  #change(state: ClientState): void {
    const previous = this.#state;
    this.#state = state;
    if (previous !== state) this.#emitter.emit("state", state, previous);
  }

  /** An error in a listener for errors goes to the console, not round in a circle. */
  #report(error: unknown): void {
    if (this.#isReporting || !this.#emitter.has("error")) return console.error(error);
    this.#isReporting = true;
    this.#emitter.emit("error", error);
    this.#isReporting = false;
  }
}
