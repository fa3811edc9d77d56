/**
 * The events of a socket: the platform's own, for `addEventListener` and the `on…` attributes, and the short way of
 * `on`, `once` and `off`. What a listener throws goes to the platform there, and to the event `error` here.
 */

import { Emitter } from "./emitter.js";
import type { SocketEvents } from "./types.js";

type Listeners = { [K in keyof SocketEvents]: [event: SocketEvents[K]] };
type EventClass = new (type: string, init: object) => Event;
type Handler<Kind> = ((this: WebSocket, event: Kind) => any) | null;

const CLASSES: Record<string, string> = { message: "MessageEvent", close: "CloseEvent", error: "ErrorEvent" };

export class SocketTarget extends EventTarget {
  declare onopen: Handler<Event>;
  declare onmessage: Handler<MessageEvent>;
  /** The event has `willReconnect` and `delay` too, and is told of each cut. */
  declare onclose: Handler<CloseEvent & Partial<SocketEvents["close"]>>;
  declare onerror: Handler<Event & Partial<SocketEvents["error"]>>;

  static {
    for (const type of ["open", "message", "error", "close"]) {
      Object.defineProperty(this.prototype, `on${type}`, {
        get(this: SocketTarget) {
          return this.#handlers.get(type)?.handler ?? null;
        },
        set(this: SocketTarget, handler: unknown) {
          this.#handle(type, handler);
        },
        enumerable: true,
        configurable: true,
      });
    }
  }

  readonly #emitter = new Emitter<Listeners>((error) => this.failed(error, "listener"));
  readonly #handlers = new Map<string, { handler: unknown; listener: (event: Event) => unknown }>();
  #isReporting = false;

  on<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): () => void {
    return this.#emitter.on(type, listener as (...args: Listeners[K]) => unknown);
  }

  once<K extends keyof SocketEvents>(type: K, listener: (event: SocketEvents[K]) => unknown): () => void {
    return this.#emitter.once(type, listener as (...args: Listeners[K]) => unknown);
  }

  /** Takes away one listener of `on` or `once`, or all of them. */
  off<K extends keyof SocketEvents>(type: K, listener?: (event: SocketEvents[K]) => unknown): void {
    this.#emitter.off(type, listener as (...args: Listeners[K]) => unknown);
  }

  /** Tells of an event: first who came by `on`, then the platform's listeners in the order in which they came. */
  protected emit<K extends keyof SocketEvents>(type: K, init: object, more: object = {}): void {
    const Kind = (globalThis as unknown as Record<string, EventClass | undefined>)[CLASSES[type] ?? "Event"];
    // Node 20 has no CloseEvent and no ErrorEvent: there it is a plain event with the same members.
    const event = Kind ? new Kind(type, init) : Object.assign(new Event(type), init);
    const whole = Object.assign(event, more) as SocketEvents[keyof SocketEvents];
    (this.#emitter as Emitter<Record<string, [unknown]>>).emit(type, whole);
    this.dispatchEvent(whole);
  }

  protected failed(error: unknown, source: SocketEvents["error"]["source"]): void {
    // A transport that failed is told by `close` too, and tried again; a bug must be seen by someone, and one in a
    // listener for errors goes to the console, not round in a circle.
    const isHeard = this.onerror || this.#emitter.has("error");
    if (this.#isReporting || (source !== "transport" && !isHeard)) console.error(error);
    if (this.#isReporting) return;
    this.#isReporting = true;
    this.emit("error", { error, message: String(error) }, { source });
    this.#isReporting = false;
  }

  /** An attribute has the place of the first function it was given, until it is given none (HTML, event handlers). */
  #handle(type: string, value: unknown): void {
    const known = this.#handlers.get(type);
    const handler = typeof value === "function" || (typeof value === "object" && value) ? value : null;
    if (known) known.handler = handler;
    if (handler && !known) {
      const held = {
        handler: handler as unknown,
        listener: (event: Event) => typeof held.handler === "function" && held.handler.call(this, event),
      };
      this.#handlers.set(type, held);
      this.addEventListener(type, held.listener);
    } else if (!handler && known) {
      this.#handlers.delete(type);
      this.removeEventListener(type, known.listener);
    }
  }
}

export interface SocketTarget {
  addEventListener<K extends keyof SocketEvents>(
    type: K,
    listener: (this: WebSocket, event: SocketEvents[K]) => any,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof SocketEvents>(
    type: K,
    listener: (this: WebSocket, event: SocketEvents[K]) => any,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
