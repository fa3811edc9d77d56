/** A `fetch` without a network: tests play the other side. */

import { Mailbox } from "./peer.js";

const OCTETS = "application/octet-stream";

/** One request, until the test answers it. */
export class Asked {
  readonly url: URL;
  readonly method: string;
  readonly body: string | undefined;
  readonly init: RequestInit;
  readonly answered: Promise<Response>;
  #resolve!: (response: Response) => void;
  #reject!: (error: unknown) => void;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string | URL, init: RequestInit = {}) {
    this.url = new URL(url);
    this.method = init.method ?? "GET";
    this.body = (init.body as string | null) ?? undefined;
    this.init = init;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    init.signal?.addEventListener("abort", () => this.fail("aborted"));
  }

  get isAborted(): boolean {
    return !!this.init.signal?.aborted;
  }

  get query(): Record<string, string> {
    return Object.fromEntries(this.url.searchParams);
  }

  /** Answers with all there is to say. */
  answer(status: number, body: string | null = null, headers: Record<string, string> = {}): void {
    this.#resolve(new Response(body, { status, headers: { "content-type": OCTETS, ...headers } }));
  }

  /** Begins an answer. */
  begin(kind = OCTETS): void {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#stream = controller) });
    this.#resolve(new Response(body, { headers: { "content-type": kind } }));
  }

  /** More of it. */
  say(text: string): void {
    this.#stream?.enqueue(new TextEncoder().encode(text));
  }

  /** All of it was said. */
  end(): void {
    this.#stream?.close();
  }

  /** Somebody hangs up. */
  fail(reason = "hung up"): void {
    const error = new TypeError(reason);
    this.#reject(error);
    try {
      this.#stream?.error(error);
    } catch {
      // It is over.
    }
  }
}

export class TestFetch {
  readonly gets = new Mailbox<Asked>();
  readonly posts = new Mailbox<Asked>();
  count = 0;

  readonly fetch = ((url: string | URL, init?: RequestInit) => {
    const asked = new Asked(url, init);
    this.count += 1;
    (asked.method === "GET" ? this.gets : this.posts).put(asked);
    return asked.answered;
  }) as typeof fetch;
}

/** Everything that needs no time has happened. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}
