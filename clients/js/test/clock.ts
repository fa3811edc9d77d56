/** A clock that tests move. */

import type { Clock } from "../src/clock.js";

export class TestClock implements Clock {
  #now = 0;
  #count = 0;
  #timers = new Map<unknown, { at: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  setTimeout(run: () => void, delay: number): unknown {
    const id = ++this.#count;
    this.#timers.set(id, { at: this.#now + Math.max(0, delay), run });
    return id;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer);
  }

  /** Timers that are set. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Runs what is due in its order, each at its own moment. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at);
      if (!next) break;
      this.#timers.delete(next[0]);
      this.#now = next[1].at;
      next[1].run();
    }
    this.#now = end;
  }
}
