/** One session across cuts: what both ends counted, and what the server may not have. */

import type { Encoded, Message } from "./codec.js";
import { sizeOf } from "./queue.js";

/** Counted messages received after which an `ack` is due at the latest. */
const ACK_AFTER = 64;

export class Session {
  id: string | undefined;
  #token = "";
  /** Counted messages from the server. */
  received = 0;
  #told = 0;
  /** The place in the sequence of the first message kept. */
  #first = 0;
  #kept: Encoded[] = [];
  #bytes = 0;
  readonly #most: number;
  readonly #mostBytes: number;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  /** Messages sent and not acknowledged. */
  get kept(): number {
    return this.#kept.length;
  }

  /** What the opening request must say to resume; nothing without a session. */
  get query(): Record<string, string> {
    if (this.id === undefined || !this.#token) return {};
    return { session: this.id, resume: this.#token, received: String(this.received) };
  }

  /** A new session: both counts are zero. */
  begin({ session, token }: Message): void {
    this.forget();
    this.id = session;
    this.#token = token ?? "";
  }

  /** What the server, which has `received` of ours, must be sent again; undefined if that is not kept any more. */
  resume({ received = 0, token }: Message): Encoded[] | undefined {
    if (received < this.#first || received > this.#first + this.#kept.length) return undefined;
    this.acknowledge(received);
    this.#token = token ?? this.#token;
    this.#told = this.received;
    return this.#kept.slice();
  }

  /** The next attempt begins a new session. */
  forget(): void {
    this.id = undefined;
    this.#kept = [];
    this.#bytes = this.#first = this.received = this.#told = 0;
  }

  /** A counted message is sent. Past the bound the oldest is dropped; if the server lacks it, nothing is resumed. */
  sent(data: Encoded): void {
    // Without a token there is no resume, and no ack will come.
    if (!this.#token) return;
    this.#kept.push(data);
    this.#bytes += sizeOf(data);
    while (this.#kept.length > this.#most || this.#bytes > this.#mostBytes) this.#drop();
  }

  acknowledge(received: number): void {
    while (this.#first < received && this.#kept.length) this.#drop();
  }

  /** A counted message came; true when an `ack` is due. */
  count(): boolean {
    this.received += 1;
    return this.received - this.#told >= ACK_AFTER;
  }

  /** The `ack` that is due, if the server does not know the count. */
  ack(): Message | undefined {
    if (this.#told === this.received) return undefined;
    this.#told = this.received;
    return { type: "ack", received: this.received };
  }

  #drop(): void {
    this.#bytes -= sizeOf(this.#kept.shift() as Encoded);
    this.#first += 1;
  }
}
