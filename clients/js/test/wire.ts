/** A `WebSocket` without a network: tests play the other side. */

import type { WebSocketLike } from "../src/types.js";

export class TestWebSocket implements WebSocketLike {

  protocol = "";
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  sent: unknown[] = [];
  closedWith: { code: number | undefined; reason: string | undefined } | undefined;

  constructor(
    readonly url: string,
    readonly protocols: string[] = [],
  ) {
  }

  send(data: unknown): void {
    if (this.readyState === 0) throw new Error("still connecting");
    this.sent.push(data);
  }

  close(code?: number, reason?: string): void {
    this.closedWith = { code, reason };
    this.readyState = 2;
  }

  accept(protocol = ""): void {
    this.readyState = 1;
    this.protocol = protocol;
    this.onopen?.({});
  }

  receive(data: unknown): void {
    this.onmessage?.({ data });
  }

  lose(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason, wasClean: code !== 1006 });
  }

  /** A class of its own for one test, and what it makes. */
  static fresh(): { WebSocket: typeof TestWebSocket; made: TestWebSocket[]; last: () => TestWebSocket } {
    const made: TestWebSocket[] = [];
    class Fresh extends TestWebSocket {
      constructor(url: string, protocols?: string[]) {
        super(url, protocols);
        made.push(this);
      }
    }
    return { WebSocket: Fresh, made, last: () => made.at(-1) as TestWebSocket };
  }
}
