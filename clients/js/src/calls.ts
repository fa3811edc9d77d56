/** Calls and streams, both ways, with their uploads: everything that is found again by its `ref`. */

import type { Clock } from "./clock.js";
import { argumentsOf, type Message, type Ref, valueOf } from "./codec.js";
import { AnywireError } from "./error.js";
import { Stream } from "./stream.js";

/** A message on its way to the server. */
export interface Outgoing {
  message: Message;
  /** It waits until this channel is joined. */
  channel: { readonly isJoined: boolean };
  /** It means nothing in another session than the one it was made in. */
  isBound?: boolean;
  /** Called when it is handed to the transport. */
  sent?: () => void;
  /** Called when it never will be. */
  failed?: (error: AnywireError) => void;
}

/** What calls and channels need of the client. */
export interface Line {
  readonly clock: Clock;
  readonly random: () => number;
  /** Milliseconds a call may take, unless it says otherwise. */
  readonly timeout: number;
  /** Why nothing can be sent any more, once the client is closed. */
  readonly closed: AnywireError | undefined;
  readonly isLive: boolean;
  ref(): number;
  /** Sends now, whatever the channel's state; only while live. */
  write(message: Message): void;
  /** Sends now or later; false if the message was refused. */
  post(outgoing: Outgoing): boolean;
  /** Takes out what waits. */
  drop(wanted: (outgoing: Outgoing) => boolean): Outgoing[];
  /** Hands over what waits for channels that are joined. */
  flush(): void;
  /** Resolves when more may be sent without pressing, or when it is not wanted any more. */
  room(signal: AbortSignal): Promise<void>;
  report(error: unknown): void;
}

export interface CallOptions {
  /** Milliseconds; 0 means without end. Default: the client's `timeout`; of a stream 0. */
  timeout?: number;
  signal?: AbortSignal;
  /** Values to stream to the handler, in the order of its stream parameters. */
  uploads?: AsyncIterable<unknown>[];
}

/** What a handler for calls from the server may want beside the value. */
export interface Asked {
  event: string;
  /** Aborted when the answer is not wanted any more. */
  signal: AbortSignal;
  uploads: AsyncIterable<any>[];
}

export type Answerer = (data: any, asked: Asked) => unknown;

interface Ask {
  channel: Outgoing["channel"];
  isSent: boolean;
  item(message: Message): void;
  end(message: Message): void;
  fail(error: unknown): void;
}

type Answers = Pick<Ask, "item" | "end" | "fail">;

/** Something of ours that runs until it is done or aborted. */
interface Running {
  channel: Outgoing["channel"];
  controller: AbortController;
}

const LOST = () => new AnywireError("lost", "the session was lost before the answer came");

export class Calls {
  readonly #line: Line;
  readonly #asks = new Map<Ref, Ask>();
  readonly #uploads = new Map<Ref, Running>();
  readonly #answers = new Map<Ref, Running>();
  readonly #inboxes = new Map<Ref, Stream<unknown>>();

  constructor(line: Line) {
    this.#line = line;
  }

  /** Sends a message that is answered by one `reply`. */
  call(channel: Outgoing["channel"], message: Message, options: CallOptions = {}): Promise<any> {
    return new Promise((resolve, reject) => {
      this.#ask(channel, message, { timeout: this.#line.timeout, ...options }, {
        item: () => {},
        end: (answer) => resolve(valueOf(answer)),
        fail: reject,
      });
    });
  }

  /** Sends a call that is answered by items, at the first `next` of the stream. */
  stream(channel: Outgoing["channel"], message: Message, options: CallOptions = {}): Stream<any> {
    let withdraw = (): void => {};
    return new Stream({
      start: (stream) => {
        withdraw = this.#ask(channel, { ...message, stream: true }, { timeout: 0, ...options }, {
          item: ({ data }) => stream.push(data ?? null),
          end: (answer) => {
            if (valueOf(answer) !== undefined) stream.push(valueOf(answer));
            stream.end();
          },
          fail: (error) => stream.end(error),
        });
      },
      cancel: () => withdraw(),
    });
  }

  /** Answers a call from the server with what the handler returns. */
  async answer(channel: Outgoing["channel"], message: Message, answerer: Answerer): Promise<void> {
    const { ref, stream } = message as { ref: Ref; stream?: boolean };
    const controller = new AbortController();
    const { signal } = controller;
    const uploads = Array.isArray(message.uploads) ? message.uploads : [];
    const inboxes = uploads.map((upload) => {
      const inbox = new Stream<unknown>({ cancel: () => post({ type: "cancel", ref: upload }) });
      this.#inboxes.set(upload, inbox);
      return inbox;
    });
    const post = (answer: Message) =>
      signal.aborted || this.#line.post({ channel, message: answer, isBound: true });
    this.#answers.set(ref, { channel, controller });
    let type = "reply";
    try {
      const asked: Asked = { event: message.event ?? "", signal, uploads: inboxes };
      const result = await answerer(valueOf(message), asked);
      if (!stream) post({ type, ref, ...argumentsOf(result) });
      else {
        for await (const data of isIterable(result) ? result : [result]) {
          // Leaving the loop ends a generator, whose `finally` runs.
          if (signal.aborted) break;
          type = "end";
          await this.#line.room(signal);
          post({ type: "item", ref, data });
        }
        post({ type: "end", ref });
      }
    } catch (error) {
      if (error instanceof AnywireError) post({ type, ref, code: error.code, text: error.text, data: error.data });
      else {
        // What is in a bug's message is not for the other side.
        post({ type, ref, code: "internal" });
        this.#line.report(error);
      }
    } finally {
      this.#answers.delete(ref);
      for (const upload of uploads) this.#inboxes.delete(upload);
    }
  }

  /** A `reply`, `item`, `end`, `cancel` or `refused`; false if nobody here waits for its ref. */
  receive(message: Message): boolean {
    const ref = message.ref as Ref;
    if (message.type === "cancel") {
      const running = this.#answers.get(ref) ?? this.#uploads.get(ref);
      running?.controller.abort();
      return !!running;
    }
    const ask = this.#asks.get(ref);
    const inbox = this.#inboxes.get(ref);
    if (message.type === "item") {
      if (ask) ask.item(message);
      else inbox?.push(message.data ?? null);
    } else if (ask) {
      this.#asks.delete(ref);
      if (message.code) ask.fail(errorOf(message));
      else ask.end(message);
    } else inbox?.end(message.code ? errorOf(message) : undefined);
    return !!(ask || inbox);
  }

  /** The session is gone: what was under way fails; what was never sent waits on. */
  lost(): void {
    this.#line.drop((outgoing) => !!outgoing.isBound);
    for (const inbox of this.#inboxes.values()) inbox.end(LOST());
    this.#stop(LOST(), (one) => one.isSent !== false);
  }

  /** The membership is over, and with it all that was asked or is answered there. */
  left(channel: Outgoing["channel"], error: AnywireError): void {
    this.#line.drop((outgoing) => outgoing.channel === channel);
    this.#stop(error, (one) => one.channel === channel);
  }

  /** All is over. */
  close(error: AnywireError): void {
    this.lost();
    this.#stop(error, () => true);
  }

  #stop(error: AnywireError, isMeant: (one: { channel: object; isSent?: boolean }) => boolean): void {
    for (const running of [...this.#answers.values(), ...this.#uploads.values()]) {
      if (isMeant(running)) running.controller.abort();
    }
    for (const [ref, ask] of this.#asks) if (isMeant(ask)) this.#fail(ref, error);
  }

  #fail(ref: Ref, error: unknown): boolean {
    const ask = this.#asks.get(ref);
    this.#asks.delete(ref);
    ask?.fail(error);
    return !!ask;
  }

  /** Returns the function that takes the question back. */
  #ask(channel: Outgoing["channel"], message: Message, options: CallOptions, ask: Answers): () => void {
    const { clock } = this.#line;
    const { timeout, signal, uploads = [] } = options;
    const ref = this.#line.ref();
    // Names of their own: an item under a number may also belong to a call of the server's.
    const names = uploads.map((_, index) => `u${ref}.${index}`);
    let timer: unknown;
    const withdraw = (error?: unknown) => {
      const isWaiting = this.#line.drop((outgoing) => outgoing.message.ref === ref).length > 0;
      const isKnown = error === undefined ? this.#asks.delete(ref) : this.#fail(ref, error);
      finish();
      if (isKnown && !isWaiting) this.#line.post({ channel, message: { type: "cancel", ref }, isBound: true });
    };
    const abort = () => withdraw(signal?.reason ?? new AnywireError("lost", "aborted"));
    const finish = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      for (const name of names) this.#uploads.get(name)?.controller.abort();
    };
    const settled: Ask = {
      channel,
      isSent: false,
      item: ask.item,
      end: (answer) => (finish(), ask.end(answer)),
      fail: (error) => (finish(), ask.fail(error)),
    };
    this.#asks.set(ref, settled);
    if (this.#line.closed) this.#fail(ref, this.#line.closed);
    else if (signal?.aborted) this.#fail(ref, signal.reason);
    else {
      signal?.addEventListener("abort", abort);
      if (timeout) {
        timer = clock.setTimeout(
          () => {
            const what = message.event ?? message.type;
            withdraw(new AnywireError("timeout", `no answer to "${what}" in ${timeout} ms`));
          },
          timeout,
        );
      }
      const outgoing: Outgoing = {
        channel,
        message: { ...message, ref, ...(names.length && { uploads: names }) },
        sent: () => {
          settled.isSent = true;
          uploads.forEach((upload, index) => void this.#upload(channel, names[index] as Ref, upload));
        },
        failed: (error) => this.#fail(ref, error),
      };
      try {
        const isTaken = this.#line.post(outgoing);
        if (!isTaken) this.#fail(ref, new AnywireError("busy", "the queue of what waits to be sent is full"));
      } catch (error) {
        // What cannot be encoded.
        this.#fail(ref, error);
      }
    }
    return withdraw;
  }

  async #upload(channel: Outgoing["channel"], ref: Ref, values: AsyncIterable<unknown>): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const post = (message: Message) => signal.aborted || this.#line.post({ channel, message, isBound: true });
    this.#uploads.set(ref, { channel, controller });
    try {
      for await (const data of values) {
        await this.#line.room(signal);
        if (signal.aborted) break;
        post({ type: "item", ref, data });
      }
      post({ type: "end", ref });
    } catch (error) {
      post({ type: "end", ref, code: error instanceof AnywireError ? error.code : "internal" });
      if (!signal.aborted) this.#line.report(error);
    } finally {
      this.#uploads.delete(ref);
    }
  }
}

/** The error that a message tells. */
export function errorOf({ code, text, data, event }: Message): AnywireError {
  return new AnywireError(String(code || "refused"), text ?? "", { data, event: event ?? undefined });
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
