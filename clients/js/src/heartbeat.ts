/** Asks a silent peer whether it is there, and tells when it is not. */

import type { Clock } from "./clock.js";

export interface HeartbeatOptions {
  /** Milliseconds of silence before a ping; 0 means never. */
  interval: number;
  /** Milliseconds a ping may stay without any message. */
  timeout: number;
  clock: Clock;
  ping: () => void;
  silent: () => void;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: unknown;
  #isRunning = false;
  #isAsking = false;
  #heardAt = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = { ...options };
  }

  start(): void {
    this.stop();
    if (!this.#options.interval) return;
    this.#isRunning = true;
    this.#heardAt = this.#options.clock.now();
    this.#wait();
  }

  stop(): void {
    this.#options.clock.clearTimeout(this.#timer);
    this.#isRunning = this.#isAsking = false;
  }

  /** Any message came: cheap, since the timer is moved only when it fires. */
  heard(): void {
    this.#heardAt = this.#options.clock.now();
    if (!this.#isAsking) return;
    this.#isAsking = false;
    this.#wait();
  }

  /** Ask now: something happened after which the connection may be dead. */
  ask(): void {
    if (!this.#isRunning || this.#isAsking) return;
    const { clock, timeout, ping, silent } = this.#options;
    this.#isAsking = true;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      this.stop();
      silent();
    }, timeout);
    ping();
  }

  set interval(interval: number) {
    this.#options.interval = interval;
    if (this.#isRunning && !this.#isAsking) this.#wait();
  }

  #wait(): void {
    const { clock, interval } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(
      () => (this.#heardAt + interval <= clock.now() ? this.ask() : this.#wait()),
      this.#heardAt + interval - clock.now(),
    );
  }
}
