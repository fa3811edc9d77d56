/** What waits to be sent, in order, bounded by count and by bytes. */

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
export function sizeOf(data: string | ArrayBufferLike | ArrayBufferView | Blob): number {
  if (typeof data === "string") return encoder.encode(data).length;
  return "byteLength" in data ? data.byteLength : data.size;
}
