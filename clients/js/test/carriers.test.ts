/** Which carrier a client goes over, and that its session goes on from one to the next. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { type Client, type ClientOptions, type ClientState, connect } from "../src/client.js";
import type { Codec } from "../src/codec.js";
import { TestClock } from "./clock.js";
import { type Asked, settle, TestFetch } from "./requests.js";
import { TestWebSocket } from "./wire.js";

let clock: TestClock;
let net: TestFetch;
let sockets: ReturnType<typeof TestWebSocket.fresh>;
let clients: Client[] = [];
let states: ClientState[];

beforeEach(() => {
  clock = new TestClock();
  net = new TestFetch();
  sockets = TestWebSocket.fresh();
  states = [];
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

function start(options: ClientOptions = {}): Client {
  const { WebSocket } = sockets;
  const client = connect("ws://host/ws", { WebSocket, fetch: net.fetch, clock, random: () => 0.5, ...options });
  clients.push(client);
  client.on("error", () => {});
  client.on("state", (state) => states.push(state));
  return client;
}

/** The next request for what the server says. */
async function get(carrier: string): Promise<Asked> {
  const asked = await net.gets.next();
  assert.equal(asked.url.pathname, `/ws/${carrier}`);
  return asked;
}

function welcome(more: object = {}): string {
  const limits = { message: 65536 };
  return JSON.stringify({ type: "welcome", session: "s1", token: "t1", beat: 25, resumed: false, received: 0, limits, ...more });
}

/** Lets everything pass that takes no time, the beginning of the next try too. */
async function turn(): Promise<void> {
  clock.advance(0);
  await settle();
}

test("a WebSocket comes first, and where it speaks there is no other request", async () => {
  const client = start();
  sockets.last().accept("anywire.json.1");
  assert.equal(client.carrier, "websocket");
  sockets.last().receive(welcome());
  clock.advance(20_000);
  await settle();
  assert.deepEqual([client.state, net.count], ["open", 0]);
});

test("what is eaten costs no time, and what falls through is told by one state", async () => {
  const client = start();
  sockets.last().lose();
  await turn();
  (await get("events")).answer(404);
  await settle();
  await turn();
  (await get("stream")).answer(200, "Log in", { "content-type": "text/html" });
  await settle();
  await turn();
  const poll = await get("poll");
  poll.answer(200, welcome());
  await settle();
  assert.deepEqual([client.carrier, client.session, clock.now()], ["poll", "s1", 0]);
  assert.deepEqual(states, ["open"]);
});

test("silence costs five seconds, whether the handshake passed or not", async () => {
  const client = start();
  sockets.last().accept("anywire.json.1");
  clock.advance(4999);
  await settle();
  assert.equal(net.count, 0);
  clock.advance(1);
  assert.equal(sockets.last().readyState, 2);
  await turn();
  const events = await get("events");
  events.begin("text/event-stream");
  events.say(":   \n\n");
  await settle();
  clock.advance(5000);
  await turn();
  assert.ok(events.isAborted);
  const stream = await get("stream");
  clock.advance(5000);
  await turn();
  assert.ok(stream.isAborted);
  const poll = await get("poll");
  clock.advance(9000);
  await settle();
  assert.ok(!poll.isAborted);
  poll.answer(200, welcome());
  await settle();
  assert.deepEqual([client.state, client.carrier], ["open", "poll"]);
});

test("where nothing gets through the next round waits", async () => {
  const client = start({ carriers: ["websocket", "poll"], reconnectInterval: 1000 });
  for (let round = 0; round < 2; round++) {
    sockets.last().lose();
    await turn();
    (await get("poll")).fail();
    await settle();
    assert.equal(client.state, "waiting");
    const made = sockets.made.length;
    clock.advance(400);
    assert.equal(sockets.made.length, made);
    clock.advance(1000);
    assert.equal(sockets.made.length, made + 1);
  }
  assert.deepEqual(states, ["waiting", "connecting", "waiting", "connecting"]);
});

test("the session goes on over the next carrier, and what got through has an attempt of its own before", async () => {
  const client = start({ reconnectInterval: 0 });
  const room = client.channel("a");
  void room.join();
  sockets.last().accept("anywire.json.1");
  sockets.last().receive(welcome());
  const join = JSON.parse(sockets.last().sent[0] as string);
  sockets.last().receive(JSON.stringify({ type: "joined", ref: join.ref, address: "a", outcome: "fresh" }));
  sockets.last().lose();
  await turn();
  sockets.last().lose();
  await settle();
  assert.equal(net.count, 0);
  await turn();
  sockets.last().lose();
  await turn();
  assert.equal(sockets.made.length, 3);
  const events = await get("events");
  assert.deepEqual(events.query, { session: "s1", resume: "t1", received: "1" });
  room.send("x", 1);
  events.begin("text/event-stream");
  events.say(`data: ${welcome({ resumed: true, token: "t2", received: 1 })}\n\n`);
  const post = await net.posts.next();
  assert.deepEqual(post.query, { session: "s1", resume: "t2", ack: "1", from: "0" });
  assert.deepEqual(JSON.parse(post.body as string), { type: "event", address: "a", event: "x", data: 1 });
  post.answer(204);
  events.say(`data: {"type":"event","address":"a","event":"y","data":2}\n\n`);
  const heard = await new Promise((resolve) => room.on("y", resolve));
  assert.deepEqual([heard, client.session, room.state], [2, "s1", "joined"]);
  // The next attempt begins with it; five minutes later with a WebSocket again.
  events.say("data: {}\n\n");
  await settle();
  await turn();
  await get("events");
  assert.equal(sockets.made.length, 3);
  clock.advance(300_000);
  await settle();
  assert.ok(sockets.made.length > 3);
});

test("a refusal over requests ends it, with the code of the server", async () => {
  const client = start();
  sockets.last().lose();
  await turn();
  (await get("events")).answer(403, "say ?name=\n", { "x-anywire-code": "name_missing" });
  await settle();
  assert.deepEqual([client.state, client.closed?.code, client.closed?.text], ["closed", "name_missing", "say ?name="]);
  assert.equal(clock.waiting, 0);
});

test("a close code that is final ends it, before the first word too", async () => {
  const client = start();
  sockets.last().lose(4403, "no");
  await turn();
  assert.deepEqual([client.state, client.closed?.code, net.count], ["closed", "refused", 0]);
});

test("each try has a ticket of its own", async () => {
  let tickets = 0;
  start({ ticket: async () => `k${++tickets}` });
  await settle();
  assert.equal(new URL(sockets.last().url).searchParams.get("ticket"), "k1");
  sockets.last().lose();
  await turn();
  assert.equal((await get("events")).query.ticket, "k2");
});

test("a carrier can be forced, and a wait for its first word is as long as ever", async () => {
  const client = start({ carriers: ["stream"] });
  await settle();
  const stream = await get("stream");
  assert.equal(sockets.made.length, 0);
  clock.advance(9999);
  assert.ok(!stream.isAborted);
  clock.advance(1);
  await settle();
  assert.ok(stream.isAborted);
  assert.equal(client.state, "waiting");
});

test("where there is no WebSocket, requests are enough", async () => {
  const holder = globalThis as { WebSocket?: unknown };
  const was = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  delete holder.WebSocket;
  try {
    const options = { fetch: net.fetch, clock };
    const client = connect("http://host/ws", options);
    clients.push(client);
    await get("events");
    assert.throws(() => connect("ws://host/ws", { ...options, carriers: ["websocket"] }), /none of these carriers/);
  } finally {
    if (was) Object.defineProperty(globalThis, "WebSocket", was);
  }
});

test("bytes go over WebSockets alone", async () => {
  const codec: Codec = { subprotocol: "anywire.msgpack.1", encode: () => new Uint8Array(), decode: () => ({ type: "" }) };
  start({ codec });
  for (let attempt = 1; attempt < 4; attempt++) {
    assert.equal(sockets.made.length, attempt);
    sockets.last().lose();
    clock.advance(10_000);
    await settle();
  }
  assert.equal(net.count, 0);
  assert.throws(() => start({ codec, carriers: ["poll"] }), /none of these carriers/);
});
