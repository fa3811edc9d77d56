/** How long to wait before the next attempt: exponential, capped, with full jitter. */

export interface BackoffOptions {
  /** Milliseconds; the bound of the first delay. */
  reconnectInterval: number;
  /** Milliseconds; no delay is longer. */
  maxReconnectInterval: number;
  /** The bound grows by this factor with each attempt. */
  reconnectDecay: number;
  /** Milliseconds a connection must have lasted for the count to begin anew. */
  minUptime: number;
  /** Returns a number in [0, 1). */
  random: () => number;
}

export class Backoff {
  /** Attempts since the last stable connection. */
  attempts = 0;
  readonly #options: BackoffOptions;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The delay in milliseconds before the next attempt, which is counted. */
  next(): number {
    const { reconnectInterval, maxReconnectInterval, reconnectDecay, random } = this.#options;
    const bound = Math.min(maxReconnectInterval, reconnectInterval * reconnectDecay ** this.attempts);
    this.attempts += 1;
    return random() * bound;
  }

  /** A connection ended after this many milliseconds. */
  ended(uptime: number): void {
    if (uptime >= this.#options.minUptime) this.attempts = 0;
  }
}
