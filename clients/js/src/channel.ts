/** A membership at one address: events, calls, streams, presence, history, and what was missed. */

import { type Answerer, type Asked, type CallOptions, type Calls as Asks, errorOf, type Line } from "./calls.js";
import { argumentsOf, type Message, type Position, type Since, valueOf } from "./codec.js";
import { Emitter } from "./emitter.js";
import { AnywireError } from "./error.js";
import { Presence } from "./presence.js";
import { Stream } from "./stream.js";

/** `left`: by our own word, the server's, or since the join was refused. */
export type ChannelState = "idle" | "joining" | "joined" | "leaving" | "left";

export interface ChannelOptions {
  /** Ask for what was missed whenever the channel is joined again. Default false. */
  recover?: boolean;
  /** What `join` hands to the server. */
  params?: unknown;
}

/** An event as it came. */
export interface Heard<Data = any> {
  event: string;
  /** The value, or the list of the positional arguments. */
  data: Data;
  room: string;
  offset?: number;
  epoch?: string;
  id?: string;
}

/** A publication of a room's history; `time` in unix seconds. */
export interface Past<Data = any> extends Heard<Data> {
  time?: number;
}

export interface HistoryOptions {
  /** Where it begins: a moment, or a position in each room. */
  since?: Date | Record<string, Position>;
  /** Only the last so many. */
  last?: number;
  /** No more than so many. */
  limit?: number;
}

/** What happens to the membership, apart from the application's events, which may have any name. */
export type MembershipEvents = {
  joined: [joined: { data: any; outcome: "fresh" | "recovered" | "lost"; reason: string }];
  /** What was missed follows as events. */
  recovered: [];
  /** What was missed cannot be had: `epoch`, `expired`, `limit` or `off`. */
  lost: [reason: string];
  /** So many publications will not come: we were too slow. */
  gap: [lost: number];
  /** A join was refused, or an event that asked for no answer (`error.event`). */
  refused: [error: AnywireError];
  left: [why: { code: string; text: string }];
};

type AnyCall = (arg: any) => any;
type Arg<F> = F extends (...args: infer A) => any ? A[0] : unknown;
type Result<F> = F extends (...args: any[]) => infer R ? Awaited<R> : unknown;
type Item<F> = F extends (...args: any[]) => AsyncIterable<infer T> ? T : Result<F>;
type Rest<F, O> = undefined extends Arg<F> ? [data?: Arg<F>, options?: O] : [data: Arg<F>, options?: O];
type Name<T> = keyof T & string;

interface Waiter<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: AnywireError) => void;
}

/** Milliseconds before a join that was refused for its rate is tried again, at least. */
const JOIN_AGAIN = 500;

/**
 * `Events` is what the server says here, `Calls` what it can be asked or told, `Meta` what it says of each person.
 */
export class Channel<
  Events extends object = Record<string, any>,
  Calls extends object = Record<string, AnyCall>,
  Meta = any,
> implements AsyncIterable<Heard>
{
  readonly address: string;
  readonly presence: Presence<Meta>;
  readonly membership: Emitter<MembershipEvents>;
  readonly #line: Line;
  readonly #calls: Asks;
  readonly #options: ChannelOptions;
  readonly #events: Emitter<Record<string, [data: any, heard: Heard]>>;
  readonly #answerers = new Map<string, Answerer>();
  readonly #readers = new Set<Stream<Heard>>();
  readonly #positions = new Map<string, Position>();
  #state: ChannelState = "idle";
  /** The ref of the join or leave that the server has and we wait for. */
  #asked: number | undefined;
  #joining: Waiter<any> | undefined;
  #leaving: Waiter<void> | undefined;
  #timer: unknown;
  #welcome: unknown;

  /** @internal Channels are made by `Client.channel`. */
  constructor(address: string, options: ChannelOptions, more: { line: Line; calls: Asks }) {
    this.address = address;
    this.#options = options;
    this.#line = more.line;
    this.#calls = more.calls;
    const report = (error: unknown) => this.#line.report(error);
    this.presence = new Presence(report);
    this.membership = new Emitter(report);
    this.#events = new Emitter(report);
  }

  get state(): ChannelState {
    return this.#state;
  }

  get isJoined(): boolean {
    return this.#state === "joined";
  }

  /** Becomes a member, and stays one over every cut; resolves with what the server's `join` said. */
  join(): Promise<any> {
    if (this.#line.closed) return Promise.reject(this.#line.closed);
    if (this.#state === "joined") return Promise.resolve(this.#welcome);
    if (this.#state !== "joining") {
      this.#state = "joining";
      this.#positions.clear();
      this.#left();
      this.#askToJoin();
    }
    this.#joining ??= waiter();
    return this.#joining.promise;
  }

  /** Ends the membership; what waits to be sent is dropped. */
  leave(): Promise<void> {
    if (this.#state === "leaving") return (this.#leaving as Waiter<void>).promise;
    const isKnown = this.#state === "joined" || this.#asked !== undefined;
    this.#over(new AnywireError("left", `the channel "${this.address}" was left`));
    if (!isKnown || this.#line.closed) return Promise.resolve();
    this.#state = "leaving";
    this.#leaving = waiter();
    this.#askToLeave();
    return this.#leaving.promise;
  }

  on<K extends Name<Events>>(event: K, listener: (data: Events[K], heard: Heard<Events[K]>) => unknown): () => void {
    return this.#events.on(event, listener);
  }

  once<K extends Name<Events>>(event: K, listener: (data: Events[K], heard: Heard<Events[K]>) => unknown): () => void {
    return this.#events.once(event, listener);
  }

  off<K extends Name<Events>>(event: K, listener?: (data: Events[K], heard: Heard<Events[K]>) => unknown): void {
    this.#events.off(event, listener);
  }

  /**
   * Tells the server, now or after the join; false if the message was refused since the queue is full. A volatile
   * one never waits.
   */
  send<K extends Name<Calls>>(event: K, ...rest: Rest<Calls[K], { volatile?: boolean }>): boolean {
    const [data, { volatile } = {}] = rest as [unknown, { volatile?: boolean }?];
    this.#check();
    const message = { type: "event", address: this.address, event, ...argumentsOf(data) };
    return this.#line.post({ channel: this, message: volatile ? { ...message, volatile } : message });
  }

  /** Asks the server; resolves with its answer, rejects with AnywireError. */
  async call<K extends Name<Calls>>(event: K, ...rest: Rest<Calls[K], CallOptions>): Promise<Result<Calls[K]>> {
    const [data, options] = rest as [unknown, CallOptions?];
    this.#check();
    return this.#calls.call(this, { type: "call", address: this.address, event, ...argumentsOf(data) }, options);
  }

  /** Asks the server for a stream, which begins when it is first read; leaving the loop cancels it. */
  stream<K extends Name<Calls>>(
    event: K,
    ...rest: Rest<Calls[K], CallOptions>
  ): AsyncIterableIterator<Item<Calls[K]>> {
    const [data, options] = rest as [unknown, CallOptions?];
    this.#check();
    return this.#calls.stream(this, { type: "call", address: this.address, event, ...argumentsOf(data) }, options);
  }

  /** Answers calls of this name from the server, by a value, a promise or an async iterable; one handler a name. */
  answer(event: string, answerer: (data: any, asked: Asked) => unknown): () => void {
    this.#answerers.set(event, answerer);
    return () => {
      if (this.#answerers.get(event) === answerer) this.#answerers.delete(event);
    };
  }

  /** Publications of the past, oldest first. */
  async history({ since, last, limit }: HistoryOptions = {}): Promise<Past<Events[keyof Events]>[]> {
    this.#check();
    let from: Since | undefined;
    if (since instanceof Date) from = { time: since.getTime() / 1000 };
    else if (since) from = { positions: since };
    else if (last !== undefined || limit !== undefined) from = { last: (last ?? limit) as number };
    const message = { type: "past", address: this.address, since: from, ...(limit !== undefined && { limit }) };
    const list = (await this.#calls.call(this, message)) as Message[];
    return list.map((one) => ({ ...this.#heard(one), ...(one.time != null && { time: one.time }) }));
  }

  /** Every event from now on, until the channel is left. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Heard> {
    const reader: Stream<Heard> = new Stream({ cancel: () => this.#readers.delete(reader) });
    if (this.#line.closed) reader.end();
    else this.#readers.add(reader);
    return reader;
  }

  /** @internal The ref is that of our join or leave. */
  isAsked(ref: unknown): boolean {
    return ref != null && ref === this.#asked;
  }

  /** @internal A message for this address. */
  receive(message: Message): void {
    if (message.type === "joined") this.#joined(message);
    else if (message.type === "refused") this.#refused(message);
    else if (message.type === "leave") this.#leaveCame(message);
    // Leaving stops delivery at once; before `joined` nothing is ours.
    else if (this.#state !== "joined" || !this.#isNew(message)) return;
    else if (message.type === "event") this.#event(message);
    else if (message.type === "presence") this.presence.apply(message);
    else if (message.type === "gap") this.membership.emit("gap", message.lost ?? 0);
    else if (message.type === "call") this.#callCame(message);
  }

  /** @internal The session goes on, or a new one began and every membership with it. */
  live(isResumed: boolean): void {
    if (!isResumed) {
      this.#asked = undefined;
      if (this.#state === "leaving") return this.#left("left");
      if (this.#state === "joined") this.#state = "joining";
    }
    if (this.#asked !== undefined) return;
    if (this.#state === "joining") this.#askToJoin();
    else if (this.#state === "leaving") this.#askToLeave();
  }

  /** @internal The client is closed. */
  close(error: AnywireError): void {
    this.#over(error);
  }

  #check(): void {
    if (this.#line.closed) throw this.#line.closed;
    if (this.#state === "leaving" || this.#state === "left") {
      throw new AnywireError("left", `the channel "${this.address}" was left; join it again first`);
    }
  }

  #askToJoin(): void {
    this.#line.clock.clearTimeout(this.#timer);
    this.#asked = undefined;
    if (!this.#line.isLive) return;
    this.#asked = this.#line.ref();
    const { params, recover } = this.#options;
    const since = recover && this.#positions.size ? { positions: this.#positionsAsData() } : undefined;
    this.#line.write({ type: "join", ref: this.#asked, address: this.address, params, since });
  }

  #askToLeave(): void {
    this.#asked = undefined;
    if (!this.#line.isLive) return;
    this.#asked = this.#line.ref();
    this.#line.write({ type: "leave", ref: this.#asked, address: this.address });
  }

  #positionsAsData(): Record<string, Position> {
    const positions = Object.create(null) as Record<string, Position>;
    for (const [room, position] of this.#positions) positions[room] = position;
    return positions;
  }

  #joined(message: Message): void {
    if (this.#state !== "joining" || !this.isAsked(message.ref)) return;
    this.#asked = undefined;
    this.#state = "joined";
    this.#positions.clear();
    for (const [room, { offset, epoch }] of Object.entries(message.positions ?? {})) {
      this.#positions.set(room, { offset, epoch });
    }
    const { outcome = "fresh" } = message;
    const reason = message.reason ?? "";
    this.#welcome = message.data ?? undefined;
    this.#joining?.resolve(this.#welcome);
    this.#joining = undefined;
    this.#line.flush();
    this.membership.emit("joined", { data: this.#welcome, outcome, reason });
    if (outcome === "recovered") this.membership.emit("recovered");
    if (outcome === "lost") this.membership.emit("lost", reason);
  }

  #refused(message: Message): void {
    const error = errorOf(message);
    if (this.isAsked(message.ref)) {
      if (this.#state === "leaving") return this.#left("left");
      if (error.code === "rate") {
        // Many channels that come back at once: each tries again until there is room.
        this.#asked = undefined;
        const delay = JOIN_AGAIN * (1 + this.#line.random());
        this.#timer = this.#line.clock.setTimeout(() => this.#askToJoin(), delay);
        return;
      }
      this.#over(error);
    }
    this.membership.emit("refused", error);
  }

  #leaveCame(message: Message): void {
    // The answer to our leave bears its ref; one that comes late, after a new join, means nothing.
    if (message.ref != null) {
      if (this.#state === "leaving" && this.isAsked(message.ref)) this.#left("left");
    } else if (this.#state === "joined" || this.#state === "leaving") {
      this.#over(new AnywireError(String(message.code || "left"), message.text ?? ""));
    }
  }

  /** The membership is over: nobody waits for it any more. */
  #over(error: AnywireError): void {
    const isNew = this.#state !== "left" && this.#state !== "idle";
    this.#line.clock.clearTimeout(this.#timer);
    this.#asked = undefined;
    this.#state = "left";
    this.#calls.left(this, error);
    this.#joining?.reject(error);
    this.#joining = undefined;
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
    this.#left("left");
    if (isNew) this.membership.emit("left", { code: error.code, text: error.text });
  }

  #left(state: ChannelState = this.#state): void {
    this.#state = state;
    this.#asked = undefined;
    this.#leaving?.resolve();
    this.#leaving = undefined;
  }

  /** Whether it stands after what we have of its room; if so, it is what we have now. */
  #isNew({ room, offset, epoch, whole }: Message): boolean {
    // Who is here as a whole repeats what came before, and does not stand for what comes.
    if (offset == null || whole) return true;
    const name = room ?? this.address;
    const known = this.#positions.get(name);
    if (known && known.epoch === (epoch ?? "") && offset <= known.offset) return false;
    this.#positions.set(name, { offset, epoch: epoch ?? "" });
    return true;
  }

  #event(message: Message): void {
    const heard = this.#heard(message);
    this.#events.emit(heard.event, heard.data, heard);
    for (const reader of this.#readers) reader.push(heard);
  }

  #heard(message: Message): Heard {
    const { event, room, offset, epoch, id } = message;
    return {
      event: event ?? "",
      data: valueOf(message),
      room: room ?? this.address,
      ...(offset != null && { offset }),
      ...(epoch != null && { epoch }),
      ...(id != null && { id }),
    };
  }

  #callCame(message: Message): void {
    const answerer = this.#answerers.get(message.event ?? "");
    const known = [...this.#answerers.keys()].join(", ");
    void this.#calls.answer(this, message, answerer ?? (() => {
      throw new AnywireError("unknown_event", `call "${message.event}" is unknown here; known: ${known || "none"}`);
    }));
  }
}

function waiter<T>(): Waiter<T> {
  let resolve!: Waiter<T>["resolve"];
  let reject!: Waiter<T>["reject"];
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever waits hears of it; where nobody does, `membership` has told.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
