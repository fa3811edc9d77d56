/** Listeners by name. One that throws is reported and stops no other. */

type Listener = (...args: never[]) => unknown;

export class Emitter<Events extends { [name: string]: unknown[] }> {
  // A Map: names may come from the network, and "__proto__" is a name like any other.
  readonly #listeners = new Map<string, Listener[]>();
  readonly #report: (error: unknown) => void;

  constructor(report: (error: unknown) => void = console.error) {
    this.#report = report;
  }

  /** Returns the function that takes the listener away. */
  on<K extends keyof Events & string>(name: K, listener: (...args: Events[K]) => unknown): () => void {
    // Lists are replaced, never changed, so that an emit under way is not disturbed.
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    return () => this.off(name, listener);
  }

  once<K extends keyof Events & string>(name: K, listener: (...args: Events[K]) => unknown): () => void {
    const off = this.on(name, (...args) => {
      off();
      return listener(...args);
    });
    return off;
  }

  /** Takes away one listener, or all of that name. */
  off<K extends keyof Events & string>(name: K, listener?: (...args: Events[K]) => unknown): void {
    const rest = listener ? (this.#listeners.get(name) ?? []).filter((one) => one !== listener) : [];
    if (rest.length) this.#listeners.set(name, rest);
    else this.#listeners.delete(name);
  }

  has(name: keyof Events & string): boolean {
    return this.#listeners.has(name);
  }

  /** @internal */
  emit<K extends keyof Events & string>(name: K, ...args: Events[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        const result = (listener as (...args: Events[K]) => unknown)(...args);
        if (result instanceof Promise) result.catch(this.#report);
      } catch (error) {
        this.#report(error);
      }
    }
  }
}
