/** Who is here: metas by key. A key is plain data, whatever it spells. */

import type { Message } from "./codec.js";
import { Emitter } from "./emitter.js";

export type People<Meta> = ReadonlyMap<string, readonly Meta[]>;

export interface PresenceChange<Meta> {
  joined: People<Meta>;
  left: People<Meta>;
}

type Changes<Meta> = { change: [people: People<Meta>, change: PresenceChange<Meta>] };

export class Presence<Meta = unknown> {
  readonly #emitter: Emitter<Changes<Meta>>;
  #people = new Map<string, readonly Meta[]>();

  constructor(report?: (error: unknown) => void) {
    this.#emitter = new Emitter(report);
  }

  get people(): People<Meta> {
    return this.#people;
  }

  on(event: "change", listener: (...args: Changes<Meta>["change"]) => unknown): () => void {
    return this.#emitter.on(event, listener);
  }

  once(event: "change", listener: (...args: Changes<Meta>["change"]) => unknown): () => void {
    return this.#emitter.once(event, listener);
  }

  off(event: "change", listener?: (...args: Changes<Meta>["change"]) => unknown): void {
    this.#emitter.off(event, listener);
  }

  /** @internal A `presence` message. */
  apply(message: Message): void {
    const before = this.#people;
    const joined = new Map(Object.entries(message.joined ?? {})) as Map<string, Meta[]>;
    let left = new Map(Object.entries(message.left ?? {})) as Map<string, Meta[]>;
    let now = new Map<string, readonly Meta[]>();
    let came = joined;
    if (message.whole) {
      for (const [key, metas] of joined) if (metas.length) now.set(key, metas);
      came = difference(now, before);
      left = difference(before, now);
    } else {
      now = new Map(before);
      // Those who leave first: a change of one's meta is both.
      for (const [key, metas] of left) now.set(key, without(now.get(key) ?? [], metas));
      for (const [key, metas] of joined) now.set(key, [...(now.get(key) ?? []), ...metas]);
      for (const [key, metas] of now) if (!metas.length) now.delete(key);
    }
    this.#people = now;
    if (came.size || left.size) this.#emitter.emit("change", now, { joined: came, left });
  }
}

/** The list less one equal meta for each that left. */
function without<Meta>(metas: readonly Meta[], gone: readonly Meta[]): Meta[] {
  const rest = [...metas];
  for (const meta of gone) {
    const text = JSON.stringify(meta);
    const index = rest.findIndex((one) => JSON.stringify(one) === text);
    if (index >= 0) rest.splice(index, 1);
  }
  return rest;
}

function difference<Meta>(all: People<Meta>, less: People<Meta>): Map<string, Meta[]> {
  const result = new Map<string, Meta[]>();
  for (const [key, metas] of all) {
    const rest = without(metas, less.get(key) ?? []);
    if (rest.length) result.set(key, rest);
  }
  return result;
}
