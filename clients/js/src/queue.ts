/** What waits to be sent, in order, bounded by count and by bytes. */

import type { Sendable } from "./types.js";

export class Queue<T> {
  #entries: { value: T; size: number }[] = [];
  #bytes = 0;
  readonly #most: number;
  readonly #mostBytes: number;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  get length(): number {
    return this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False when full: the new message is refused, what was accepted stays. */
  put(value: T, size: number): boolean {
    if (this.#entries.length >= this.#most || this.#bytes + size > this.#mostBytes) return false;
    this.#entries.push({ value, size });
    this.#bytes += size;
    return true;
  }

  /** Takes out all that are wanted, in order. */
  take(wanted: (value: T) => boolean = () => true): T[] {
    const taken: T[] = [];
    this.#entries = this.#entries.filter(({ value, size }) => {
      if (!wanted(value)) return true;
      taken.push(value);
      this.#bytes -= size;
      return false;
    });
    return taken;
  }
}

const encoder = new TextEncoder();

/** Bytes of a message on the wire: UTF-8 for text. */
export function sizeOf(data: Sendable): number {
  if (typeof data === "string") return encoder.encode(data).length;
  return "byteLength" in data ? data.byteLength : data.size;
}

/** Whether this is sent as bytes; told by its kind and not its class, which another frame of the page has too. */
export function isBytes(data: unknown): data is Exclude<Sendable, string> {
  const kind = Object.prototype.toString.call(ArrayBuffer.isView(data) ? data.buffer : data).slice(8, -1);
  if (kind === "SharedArrayBuffer") throw new TypeError("memory that threads share cannot be sent");
  return ["ArrayBuffer", "Blob", "File"].includes(kind);
}

/** What stays as it is now, whatever becomes of the caller's buffer. */
export function frozen(data: Sendable): Sendable {
  if (typeof data === "string" || !("byteLength" in data)) return data;
  // A buffer that was given away has no bytes, and cannot be looked into.
  if (!data.byteLength) return new Uint8Array();
  return ("buffer" in data ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)).slice();
}
