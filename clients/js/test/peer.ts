/** A real WebSocket server on loopback whose side of the conversation a test plays. */

import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";

export class Mailbox<T> {
  #items: T[] = [];
  #readers: ((item: T) => void)[] = [];

  put(item: T): void {
    const reader = this.#readers.shift();
    if (reader) reader(item);
    else this.#items.push(item);
  }

  next(): Promise<T> {
    if (this.#items.length) return Promise.resolve(this.#items.shift() as T);
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  get waiting(): number {
    return this.#items.length;
  }
}

export class Connection {
  readonly texts = new Mailbox<string>();
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly query: URLSearchParams;

  constructor(
    readonly ws: WebSocket,
    request: IncomingMessage,
  ) {
    this.query = new URL(request.url ?? "/", "ws://test").searchParams;
    ws.on("message", (data) => this.texts.put(String(data)));
    this.closed = new Promise((resolve) => {
      ws.on("close", (code, reason) => resolve({ code, reason: String(reason) }));
    });
  }

  /** The next message, which must be of this type; returns it. */
  async expect(type: string): Promise<any> {
    const message = JSON.parse(await this.texts.next());
    if (message.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(message)}`);
    return message;
  }

  send(...messages: object[]): void {
    for (const message of messages) this.ws.send(JSON.stringify(message));
  }

  welcome(more: object = {}): void {
    this.send({
      type: "welcome",
      session: "s1",
      token: "t1",
      beat: 25,
      resumed: false,
      received: 0,
      limits: { message: 65536 },
      ...more,
    });
  }

  /** Answers the next join. */
  async admit(more: object = {}): Promise<any> {
    const join = await this.expect("join");
    this.send({ type: "joined", ref: join.ref, address: join.address, outcome: "fresh", ...more });
    return join;
  }

  cut(): void {
    this.ws.terminate();
  }
}

export class Peer {
  readonly #connections = new Mailbox<Connection>();
  #server!: WebSocketServer;
  #port = 0;

  static async listen(): Promise<Peer> {
    const peer = new Peer();
    await peer.start();
    return peer;
  }

  /** Listens on the port it had, or on any. */
  async start(): Promise<void> {
    this.#server = new WebSocketServer({ port: this.#port, host: "127.0.0.1" });
    this.#server.on("connection", (ws, request) => this.#connections.put(new Connection(ws, request)));
    await new Promise((resolve) => this.#server.on("listening", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** As if the process were killed. */
  async stop(): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/ws`;
  }

  next(): Promise<Connection> {
    return this.#connections.next();
  }
}
