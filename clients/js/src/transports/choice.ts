/** Which carrier an attempt goes over, and what follows when it gets nowhere. */

import type { Clock } from "../clock.js";

/** How messages travel: over a WebSocket, or over HTTP requests. */
export type Carrier = "websocket" | HttpCarrier;
export type HttpCarrier = "events" | "stream" | "poll";

/** In the order in which they are tried. */
export const CARRIERS: readonly Carrier[] = ["websocket", "events", "stream", "poll"];
/** Milliseconds for which the one that got through is the first to be tried. */
const KEPT = 300_000;

/**
 * The carriers are tried in their order until the server says something over one. That one is remembered, over loads of
 * the page too: attempts begin with it, and the first one after a cut has nothing else, since more often than a new proxy
 * it is a server that restarts.
 */
export class Choice {
  readonly #carriers: readonly Carrier[];
  readonly #clock: Clock;
  readonly #key: string;
  #last: Carrier;
  #since = 0;
  /** It got through last time. */
  #isTrusted = false;
  /** The one that got through last time is tried before all others have their turn. */
  #isAlone = false;
  /** What is still to be tried, the present one first. */
  #left: Carrier[] = [];

  constructor(carriers: readonly Carrier[], clock: Clock, host: string) {
    this.#carriers = carriers;
    this.#last = carriers[0] as Carrier;
    this.#clock = clock;
    this.#key = `anywire ${host}`;
    try {
      const [carrier, at] = sessionStorage[this.#key].split(" ");
      if (carriers.includes(carrier)) {
        this.#last = carrier;
        this.#since = clock.now() - (Date.now() - at);
        this.#isTrusted = true;
      }
    } catch {
      // Nothing is remembered, or nothing can be.
    }
  }

  /** What to try now; called at the beginning of each try. */
  next(): Carrier {
    if (!this.#left.length) {
      const isKept = this.#isKept;
      this.#isAlone = isKept && this.#isTrusted;
      this.#left = [...this.#carriers];
      // The sort is stable: the others keep their order.
      if (isKept) this.#left.sort((a, b) => Number(b === this.#last) - Number(a === this.#last));
      if (this.#isAlone) this.#left.length = 1;
    }
    return this.#left[0] as Carrier;
  }

  /** Nothing else is left: it has all the time there is. */
  get isLast(): boolean {
    return this.#carriers.length < 2 || (this.#left.length < 2 && !this.#isAlone);
  }

  /** The server said something. The time counts from the first success, so that it passes. */
  succeeded(): void {
    const carrier = this.next();
    this.#left = [];
    if (carrier !== this.#last || !this.#isKept) {
      this.#last = carrier;
      this.#since = this.#clock.now();
      try {
        sessionStorage[this.#key] = `${carrier} ${Date.now()}`;
      } catch {
        // Then the next page begins anew.
      }
    }
    this.#isTrusted = true;
  }

  /** It got nowhere; whether there is another one to try at once. */
  failed(): boolean {
    this.#left.shift();
    this.#isTrusted = false;
    return this.#left.length > 0;
  }

  get #isKept(): boolean {
    return this.#last === this.#carriers[0] || this.#clock.now() - this.#since < KEPT;
  }
}
