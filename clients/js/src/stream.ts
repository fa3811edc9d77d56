/** Values that come one by one, for `for await`. */

import { AnywireError } from "./error.js";

/** Items that may wait for the loop; more end the stream with `busy`. */
const MOST = 1000;

export interface StreamOptions {
  /** Called at the first `next`. */
  start?: (stream: Stream<any>) => unknown;
  /** Called when the loop ends before the stream does, but not before `start`. */
  cancel?: () => unknown;
}

export class Stream<T> implements AsyncIterableIterator<T> {
  readonly #options: StreamOptions;
  readonly #items: T[] = [];
  #readers: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #isStarted = false;
  #isEnded = false;
  #error: unknown;

  constructor(options: StreamOptions = {}) {
    this.#options = options;
  }

  /** @internal */
  push(value: T): void {
    if (this.#isEnded) return;
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value, done: false });
    else if (this.#items.push(value) > MOST) {
      this.#items.length = 0;
      this.end(new AnywireError("busy", `more than ${MOST} items waited for the loop`));
      this.#options.cancel?.();
    }
  }

  /** @internal What came before is still read; then an error is thrown, if there is one. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    const readers = this.#readers.splice(0);
    for (const reader of readers) this.#finish().then(reader.resolve, reader.reject);
  }

  next(): Promise<IteratorResult<T>> {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#options.start?.(this);
    }
    if (this.#items.length) return Promise.resolve({ value: this.#items.shift() as T, done: false });
    if (this.#isEnded) return this.#finish();
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** The loop was left: the rest is not wanted. */
  return(): Promise<IteratorResult<T>> {
    this.#items.length = 0;
    if (!this.#isEnded) {
      this.end();
      if (this.#isStarted || !this.#options.start) this.#options.cancel?.();
    }
    this.#isStarted = true;
    this.#error = undefined;
    return this.#finish();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The error is thrown once; after it the stream is just over. */
  async #finish(): Promise<IteratorResult<T>> {
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
    return { value: undefined, done: true };
  }
}
