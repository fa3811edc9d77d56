/** Random conversations with a server in memory, cut at any point: nothing is lost, doubled or out of order. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/client.js";
import { COUNTED, type Message } from "../src/codec.js";
import { TestClock } from "./clock.js";
import { numbers } from "./numbers.js";
import { TestWebSocket } from "./wire.js";

/** One server with one room, whose session survives every cut unless it is forgotten. */
class Server {
  readonly log: unknown[] = [];
  published = 0;
  received = 0;
  #kept: Message[] = [];
  #session = 0;
  #tokens = 0;
  #good = new Set<string>();
  #isMember = false;
  #ws: TestWebSocket | undefined;
  #read = 0;
  #out: Message[] = [];

  accept(ws: TestWebSocket): void {
    const query = new URL(ws.url).searchParams;
    const resumed = query.get("session") === `s${this.#session}` && this.#good.has(query.get("resume") ?? "");
    if (!resumed) {
      this.#good.clear();
      this.#session += 1;
      this.received = 0;
      this.#kept = [];
      this.#isMember = false;
    }
    this.#tokens += 1;
    this.#good.add(`t${this.#tokens}`);
    this.#ws = ws;
    this.#read = 0;
    const welcome = { session: `s${this.#session}`, token: `t${this.#tokens}`, beat: 25, resumed };
    this.#out = [{ type: "welcome", ...welcome, received: this.received }];
    if (resumed) this.#out.push(...this.#kept.slice(Number(query.get("received"))));
    ws.accept("anywire.json.1");
  }

  forget(): void {
    this.#session += 1;
  }

  lose(): void {
    this.#ws?.lose();
    this.#ws = undefined;
  }

  get isConnected(): boolean {
    return this.#ws !== undefined;
  }

  get isIdle(): boolean {
    return !this.#out.length && this.#read === (this.#ws?.sent.length ?? 0);
  }

  publish(): void {
    this.published += 1;
    if (this.#isMember) {
      const data = this.published;
      this.#say({ type: "event", address: "a", event: "n", data, offset: data, epoch: "x" });
    }
  }

  ping(): void {
    if (this.#ws) this.#out.push({ type: "ping" });
  }

  ack(): void {
    if (this.#ws) this.#out.push({ type: "ack", received: this.received });
  }

  /** One message on its way to the client arrives. */
  deliver(): void {
    const message = this.#out.shift();
    if (message) this.#ws?.receive(JSON.stringify(message));
  }

  /** One message of the client's arrives. */
  take(): void {
    const text = this.#ws?.sent[this.#read];
    if (text === undefined) return;
    this.#read += 1;
    // The first message under a new token ends the older ones.
    this.#good = new Set([`t${this.#tokens}`]);
    const message = JSON.parse(text as string) as Message;
    if (COUNTED.has(message.type)) this.received += 1;
    if (message.type === "join") this.#joined(message);
    else if (message.type === "event") this.log.push(message.data);
    else if (message.type === "call") {
      this.log.push(message.data);
      this.#say({ type: "reply", ref: message.ref as number, data: message.data });
    }
  }

  #joined({ ref, since }: Message): void {
    assert.ok(!this.#isMember, "a session joins once");
    this.#isMember = true;
    const from = since && "positions" in since ? (since.positions.a?.offset ?? 0) : this.published;
    const positions = { a: { offset: from, epoch: "x" } };
    const outcome = since ? "recovered" : "fresh";
    this.#say({ type: "joined", ref: ref as number, address: "a", outcome, positions });
    for (let data = from + 1; data <= this.published; data++) {
      this.#say({ type: "event", address: "a", event: "n", data, offset: data, epoch: "x" });
    }
  }

  #say(message: Message): void {
    this.#kept.push(message);
    if (this.#ws) this.#out.push(message);
  }
}

async function converse(seed: number, mayForget: boolean): Promise<void> {
  const random = numbers(seed);
  const clock = new TestClock();
  const { WebSocket, made, last } = TestWebSocket.fresh();
  const client = connect("ws://test/ws", { WebSocket, carriers: ["websocket"], clock, random: () => 0, timeout: 0 });
  const server = new Server();
  const room = client.channel("a", { recover: true });
  const heard: number[] = [];
  const sent: number[] = [];
  const answers = new Map<number, unknown>();
  let calls = 0;
  let connected = 0;
  room.on("n", (n) => heard.push(n));
  void room.join();
  const connecting = () => {
    clock.advance(1);
    if (made.length === connected) return;
    connected = made.length;
    server.accept(last());
  };
  const say = (isCall: boolean) => {
    const n = sent.length + 1;
    sent.push(n);
    if (!isCall) return void room.send("n", n);
    calls += 1;
    room.call("n", n).then((answer) => answers.set(n, answer), ({ code }) => answers.set(n, code));
  };
  const actions = [
    () => say(false),
    () => say(true),
    () => server.publish(),
    () => server.deliver(),
    () => server.deliver(),
    () => server.take(),
    () => server.take(),
    () => server.ack(),
    () => server.ping(),
    () => connecting(),
    () => random() < 0.3 && server.lose(),
    () => mayForget && !server.isConnected && random() < 0.3 && server.forget(),
  ];
  for (let step = 0; step < 150; step++) actions[Math.floor(random() * actions.length)]?.();
  if (!server.isConnected) connecting();
  for (let turn = 0; turn < 1000 && !(server.isIdle && server.isConnected); turn++) {
    server.take();
    server.deliver();
  }
  await new Promise(setImmediate);
  const trail = `seed ${seed}`;
  assert.equal(client.state, "open", trail);
  assert.equal(room.state, "joined", trail);
  assert.equal(answers.size, calls, `${trail}: every call ends`);
  assert.deepEqual(heard, Array.from(heard, (_, index) => (heard[0] as number) + index), `${trail}: in order`);
  if (heard.length) assert.equal(heard.at(-1), server.published, `${trail}: up to the last`);
  if (mayForget) {
    assert.deepEqual(server.log, [...new Set(server.log as number[])].sort((a, b) => a - b), `${trail}: once, in order`);
    for (const [n, answer] of answers) assert.ok(answer === n || answer === "lost", trail);
  } else {
    assert.deepEqual(server.log, sent, `${trail}: all, once, in order`);
    for (const [n, answer] of answers) assert.equal(answer, n, trail);
  }
  client.close();
  assert.equal(clock.waiting, 0, trail);
}

test("while the session survives everything arrives once, in order, both ways", async () => {
  for (let seed = 1; seed <= 400; seed++) await converse(seed, false);
});

test("where sessions are lost nothing is doubled, events are recovered and every call ends", async () => {
  for (let seed = 1; seed <= 400; seed++) await converse(seed, true);
});
