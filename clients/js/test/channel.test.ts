import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import type { Channel, ChannelOptions, HistoryOptions } from "../src/channel.js";
import { type Client, connect } from "../src/client.js";
import { AnywireError } from "../src/error.js";
import { TestClock } from "./clock.js";
import { type Connection, Peer } from "./peer.js";

type Events = { said: { by: string; text: string }; n: number };
type Quote = { symbol: string; price: number };
type Calls = {
  say(arg: { text: string }): number;
  ping(): string;
  ticks(arg: { symbol: string }): AsyncIterable<Quote>;
  bulk(arg?: null): number;
};
type Meta = { status: string };

let peer: Peer;
let clock: TestClock;
let client: Client;
let connection: Connection;
const errors: unknown[] = [];

beforeEach(async () => {
  peer = await Peer.listen();
  clock = new TestClock();
  errors.length = 0;
  client = connect(peer.url, { WebSocket, clock, random: () => 0 });
  client.on("error", (error) => errors.push(error));
  connection = await peer.next();
  connection.welcome();
});

afterEach(async () => {
  client.close();
  await peer.stop();
});

async function joined(options: ChannelOptions = {}): Promise<Channel<Events, Calls, Meta>> {
  const channel = client.channel<Events, Calls, Meta>("desk", options);
  const join = channel.join();
  await connection.admit();
  await join;
  return channel;
}

/** Cuts, and answers the next opening. */
async function cut(welcome: object): Promise<void> {
  connection.cut();
  await new Promise<void>((resolve) => client.once("state", () => resolve()));
  clock.advance(0);
  connection = await peer.next();
  connection.welcome(welcome);
}

test("an address has one channel", () => {
  assert.equal(client.channel("a"), client.channel("a"));
  assert.notEqual(client.channel("a"), client.channel("b"));
});

test("what is sent before the join waits for it, in order", async () => {
  const channel = client.channel<Events, Calls>("desk");
  channel.send("say", { text: "one" });
  const answer = channel.call("ping");
  void channel.join();
  await connection.admit();
  assert.deepEqual(await connection.expect("event"), {
    type: "event",
    address: "desk",
    event: "say",
    data: { text: "one" },
  });
  const call = await connection.expect("call");
  assert.deepEqual(call, { type: "call", ref: call.ref, address: "desk", event: "ping" });
  connection.send({ type: "reply", ref: call.ref, args: [null] });
  assert.equal(await answer, null);
});

test("a refused join rejects, and with it all that waited", async () => {
  const channel = client.channel("staff");
  const told: unknown[] = [];
  channel.membership.on("refused", ({ code }) => told.push(code));
  const waiting = channel.call("x");
  const join = channel.join();
  const { ref } = await connection.expect("join");
  connection.send({ type: "refused", ref, code: "staff_only", text: "no", data: { why: 1 } });
  await assert.rejects(join, { code: "staff_only", text: "no", data: { why: 1 } });
  await assert.rejects(waiting, { code: "staff_only" });
  await assert.rejects(channel.call("x"), { code: "left" });
  assert.throws(() => channel.send("x"), { code: "left", message: /join it again/ });
  assert.deepEqual([channel.state, told], ["left", ["staff_only"]]);
  const again = channel.join();
  await connection.admit({ data: "welcome" });
  assert.equal(await again, "welcome");
});

test("a join refused for its rate is tried again", async () => {
  const channel = client.channel("a");
  const join = channel.join();
  const first = await connection.expect("join");
  connection.send({ type: "refused", ref: first.ref, address: "a", code: "rate" }, { type: "ping" });
  await connection.expect("pong");
  clock.advance(500);
  const second = await connection.admit();
  assert.notEqual(second.ref, first.ref);
  await join;
});

test("leave stops delivery at once, ends what was asked, and is answered", async () => {
  const channel = await joined();
  const heard: unknown[] = [];
  channel.on("n", (n) => heard.push(n));
  const reader = channel[Symbol.asyncIterator]();
  const reading = reader.next();
  const failed = assert.rejects(channel.call("ping"), { code: "left" });
  await connection.expect("call");
  const leaving = channel.leave();
  assert.equal(channel.leave(), leaving);
  const { ref } = await connection.expect("leave");
  connection.send({ type: "event", address: "desk", event: "n", data: 1 }, { type: "leave", address: "desk", ref });
  await leaving;
  await failed;
  assert.equal((await reading).done, true);
  assert.deepEqual([heard, channel.state], [[], "left"]);
  await channel.leave();
});

test("the server may end a membership", async () => {
  const channel = await joined();
  const left = new Promise((resolve) => channel.membership.once("left", resolve));
  connection.send({ type: "leave", address: "desk", code: "kicked", text: "be nice" });
  assert.deepEqual(await left, { code: "kicked", text: "be nice" });
  await assert.rejects(channel.call("ping"), { code: "left" });
});

test("joining while leaving takes the newer word, and the older answer means nothing", async () => {
  const channel = await joined();
  const leaving = channel.leave();
  const { ref } = await connection.expect("leave");
  const join = channel.join();
  await leaving;
  const { ref: second } = await connection.expect("join");
  connection.send(
    { type: "joined", ref: second, address: "desk", outcome: "fresh" },
    { type: "leave", address: "desk", ref },
    { type: "ping" },
  );
  await join;
  await connection.expect("pong");
  assert.equal(channel.state, "joined");
});

test("a leave during a cut is told when the session goes on", async () => {
  const channel = await joined();
  connection.cut();
  await new Promise<void>((resolve) => client.once("state", () => resolve()));
  const leaving = channel.leave();
  clock.advance(0);
  connection = await peer.next();
  connection.welcome({ resumed: true, received: 1 });
  const { ref } = await connection.expect("leave");
  connection.send({ type: "leave", address: "desk", ref });
  await leaving;
});

test("a leave that the session does not survive is done", async () => {
  const channel = await joined();
  const leaving = channel.leave();
  await connection.expect("leave");
  await cut({ session: "s2" });
  await leaving;
  assert.equal(channel.state, "left");
});

test("events bear their room and place, and arguments come as one value or a list", async () => {
  const channel = await joined();
  const heard: unknown[] = [];
  for (const name of ["n", "__proto__", "constructor"] as "n"[]) {
    channel.on(name, (data, event) => heard.push([data, event.room]));
  }
  connection.send(
    { type: "event", address: "desk", event: "n", args: [1, 2], room: "desk/a" },
    { type: "event", address: "desk", event: "n", args: [3] },
    { type: "event", address: "desk", event: "__proto__", data: 4, room: null },
    { type: "event", address: "desk", event: "constructor" },
    { type: "ping" },
  );
  await connection.expect("pong");
  assert.deepEqual(heard, [[[1, 2], "desk/a"], [3, "desk"], [4, "desk"], [undefined, "desk"]]);
});

test("an offset is heard once in each room and epoch", async () => {
  const channel = await joined();
  const heard: unknown[] = [];
  channel.on("n", (n) => heard.push(n));
  const event = (data: number, offset: number, more = {}) =>
    ({ type: "event", address: "desk", event: "n", data, offset, epoch: "x", ...more });
  connection.send(
    event(1, 5),
    event(2, 5),
    event(3, 4),
    event(4, 5, { room: "__proto__" }),
    event(5, 5, { room: "__proto__" }),
    event(6, 1, { epoch: "y" }),
    { type: "gap", address: "desk", lost: 2, offset: 3, epoch: "y" },
    event(7, 3, { epoch: "y" }),
    event(8, 4, { epoch: "y" }),
    { type: "ping" },
  );
  await connection.expect("pong");
  assert.deepEqual(heard, [1, 4, 6, 8]);
});

test("positions of rooms with any name come back in the next join", async () => {
  await joined({ recover: true });
  connection.ws.send(
    '{"type":"event","address":"desk","event":"n","data":1,"room":"__proto__","offset":7,"epoch":"x"}',
  );
  connection.send({ type: "ping" });
  await connection.expect("pong");
  await cut({ session: "s2" });
  const join = JSON.parse(await connection.texts.next());
  assert.deepEqual(Object.entries(join.since.positions), [["__proto__", { offset: 7, epoch: "x" }]]);
});

test("events can be read in a loop, which may end", async () => {
  const channel = await joined();
  connection.send(...[1, 2, 3].map((data) => ({ type: "event", address: "desk", event: "n", data })));
  const heard: unknown[] = [];
  for await (const { event, data } of channel) {
    heard.push([event, data]);
    if (heard.length === 2) break;
  }
  assert.deepEqual(heard, [["n", 1], ["n", 2]]);
});

test("presence is kept by key", async () => {
  const channel = await joined();
  const change = new Promise<number>((resolve) => channel.presence.on("change", ({ size }) => resolve(size)));
  connection.send({ type: "presence", address: "desk", joined: { ana: [{ status: "on" }] }, left: {}, whole: true });
  assert.equal(await change, 1);
  assert.equal(channel.presence.people.get("ana")?.[0]?.status, "on");
});

test("history asks for a moment, for positions, or for the last so many", async () => {
  const channel = await joined();
  const positions = { desk: { offset: 1, epoch: "x" } };
  const cases: [HistoryOptions, object][] = [
    [{}, {}],
    [{ limit: 50 }, { since: { last: 50 }, limit: 50 }],
    [{ last: 5 }, { since: { last: 5 } }],
    [{ since: new Date(1500), limit: 2 }, { since: { time: 1.5 }, limit: 2 }],
    [{ since: positions }, { since: { positions } }],
  ];
  for (const [options, asked] of cases) {
    const answer = channel.history(options);
    const { ref, ...past } = await connection.expect("past");
    assert.deepEqual(past, { type: "past", address: "desk", ...asked });
    const one = { event: "said", offset: 1, epoch: "x", time: 9 };
    connection.send({ type: "reply", ref, data: [{ ...one, data: { text: "hi" } }, { ...one, args: [1, 2] }] });
    assert.deepEqual(await answer, [
      { ...one, room: "desk", data: { text: "hi" } },
      { ...one, room: "desk", data: [1, 2] },
    ]);
  }
});

test("an event that the server cannot take is told with its name", async () => {
  const channel = await joined();
  const told = new Promise<AnywireError>((resolve) => channel.membership.on("refused", resolve));
  connection.send({ type: "refused", address: "desk", event: "sya", code: "unknown_event", text: "known: say" });
  const { code, event } = await told;
  assert.deepEqual([code, event, channel.state], ["unknown_event", "sya", "joined"]);
});

test("a call that fails rejects with what the server says", async () => {
  const channel = await joined();
  const answer = channel.call("say", { text: "x" });
  const { ref } = await connection.expect("call");
  connection.send({ type: "reply", ref, code: "declined", text: "no", data: { got: 1 } });
  await assert.rejects(answer, { name: "AnywireError", code: "declined", text: "no", data: { got: 1 } });
});

test("what cannot be encoded fails alone", async () => {
  const channel = await joined();
  const circle: { text: string; self?: unknown } = { text: "x" };
  circle.self = circle;
  await assert.rejects(channel.call("say", circle), TypeError);
  await assert.rejects(channel.stream("say", circle).next(), TypeError);
  assert.throws(() => channel.send("say", circle), TypeError);
  channel.send("say", { text: "fine" });
  assert.equal((await connection.expect("event")).data.text, "fine");
});

test("a call without an answer in time is cancelled, and what comes late is passed over", async () => {
  const channel = await joined();
  const answer = channel.call("ping", undefined, { timeout: 50 });
  const { ref } = await connection.expect("call");
  clock.advance(50);
  await assert.rejects(answer, { code: "timeout" });
  assert.equal((await connection.expect("cancel")).ref, ref);
  connection.send({ type: "reply", ref, data: 1 });
});

test("a call may be aborted, before it is sent and after", async () => {
  const channel = client.channel<Events, Calls>("desk");
  const early = new AbortController();
  const late = new AbortController();
  const calls = [early, late].map(({ signal }) => channel.call("say", { text: "x" }, { signal }));
  early.abort(new Error("changed my mind"));
  await assert.rejects(calls[0] as Promise<unknown>, /changed my mind/);
  await assert.rejects(channel.call("ping", undefined, { signal: early.signal }), /changed my mind/);
  void channel.join();
  await connection.admit();
  const { ref } = await connection.expect("call");
  late.abort(new Error("too late"));
  await assert.rejects(calls[1] as Promise<unknown>, /too late/);
  assert.equal((await connection.expect("cancel")).ref, ref);
  assert.equal(connection.texts.waiting, 0);
});

test("a stream is asked for when it is read, and leaving its loop cancels it", async () => {
  const channel = await joined();
  const ticks = channel.stream("ticks", { symbol: "x" });
  const heard: number[] = [];
  const reading = (async () => {
    for await (const { price } of ticks) {
      heard.push(price);
      if (price === 2) break;
    }
  })();
  const call = await connection.expect("call");
  assert.equal(call.stream, true);
  const item = (price: number) => ({ type: "item", ref: call.ref, data: { symbol: "x", price } });
  connection.send(item(1), item(2), item(3));
  await reading;
  assert.equal((await connection.expect("cancel")).ref, call.ref);
  connection.send(item(4));
  assert.deepEqual(heard, [1, 2]);
});

test("a stream ends by its end, by its error, and by a refusal", async () => {
  const channel = await joined();
  for (const [last, error] of [
    [{ type: "end" }, undefined],
    [{ type: "end", code: "gone", text: "x" }, "gone"],
    [{ type: "reply", code: "refused" }, "refused"],
  ] as const) {
    const stream = channel.stream("ticks", { symbol: "x" });
    const first = stream.next();
    const { ref } = await connection.expect("call");
    connection.send({ type: "item", ref, data: null }, { ...last, ref });
    assert.equal((await first).value, null);
    if (error) await assert.rejects(stream.next(), { code: error });
    else assert.equal((await stream.next()).done, true);
  }
});

test("a stream under way is lost with its session", async () => {
  const channel = await joined();
  const reading = channel.stream("ticks", { symbol: "x" }).next();
  await connection.expect("call");
  await cut({ session: "s2" });
  await assert.rejects(reading, { code: "lost" });
});

async function* numbers(count: number, left?: () => void): AsyncGenerator<number> {
  try {
    for (let n = 1; n <= count; n++) yield n;
  } finally {
    left?.();
  }
}

test("an upload is streamed after its call and closed", async () => {
  const channel = await joined();
  const answer = channel.call("bulk", null, { uploads: [numbers(2), numbers(0)] });
  const call = await connection.expect("call");
  assert.deepEqual([call.args, call.uploads.length], [[null], 2]);
  const rest = await Promise.all([1, 2, 3, 4].map(() => connection.texts.next()));
  const of = (ref: string) => rest.map((text) => JSON.parse(text)).filter((message) => message.ref === ref);
  const [first, second] = call.uploads;
  assert.deepEqual(of(first), [
    { type: "item", ref: first, data: 1 },
    { type: "item", ref: first, data: 2 },
    { type: "end", ref: first },
  ]);
  assert.deepEqual(of(second), [{ type: "end", ref: second }]);
  connection.send({ type: "reply", ref: call.ref, data: 2 });
  assert.equal(await answer, 2);
});

test("an upload stops when the server cancels it, and waits while too much is on its way", async () => {
  const channel = await joined();
  const left = new Promise<void>((resolve) => {
    const call = channel.call("bulk", null, { uploads: [numbers(100_000, resolve)] });
    call.catch(() => {});
  });
  const call = await connection.expect("call");
  for (let n = 1; n <= 200; n++) await connection.expect("item");
  connection.send({ type: "ack", received: 150 });
  for (let n = 201; n <= 300; n++) await connection.expect("item");
  connection.send({ type: "cancel", ref: call.uploads[0] });
  await left;
});

test("an upload that fails is ended with a code, and its error stays here", async () => {
  const channel = await joined();
  const bad = (async function* () {
    yield 1;
    throw new Error("secret");
  })();
  void channel.call("bulk", null, { uploads: [bad] }).catch(() => {});
  await connection.expect("call");
  await connection.expect("item");
  assert.equal((await connection.expect("end")).code, "internal");
  assert.match(String(errors[0]), /secret/);
});

test("calls from the server are answered by value, promise, refusal or the error of a bug", async () => {
  const channel = await joined();
  const off = channel.answer("confirm", async (quote, { event }) => [event, quote]);
  channel.answer("nothing", () => {});
  channel.answer("null", () => null);
  channel.answer("no", () => {
    throw new AnywireError("declined", "not today", { data: 1 });
  });
  channel.answer("bug", () => {
    throw new Error("secret");
  });
  const ask = async (event: string) => {
    connection.send({ type: "call", ref: "q", address: "desk", event, data: 7 });
    const { ref, type, ...rest } = await connection.expect("reply");
    assert.equal(ref, "q");
    return rest;
  };
  assert.deepEqual(await ask("confirm"), { data: ["confirm", 7] });
  assert.deepEqual(await ask("nothing"), {});
  assert.deepEqual(await ask("null"), { args: [null] });
  assert.deepEqual(await ask("no"), { code: "declined", text: "not today", data: 1 });
  assert.deepEqual(await ask("bug"), { code: "internal" });
  assert.equal((errors.pop() as Error).message, "secret");
  off();
  const { code, text } = await ask("confirm");
  assert.deepEqual([code, text], ["unknown_event", 'call "confirm" is unknown here; known: nothing, null, no, bug']);
});

test("a call from the server may be answered by a stream, until it is cancelled", async () => {
  const channel = await joined();
  let left = () => {};
  const isLeft = new Promise<void>((resolve) => (left = resolve));
  channel.answer("count", (most: number) => numbers(most, left));
  connection.send({ type: "call", ref: 1, address: "desk", event: "count", data: 2, stream: true });
  assert.equal((await connection.expect("item")).data, 1);
  assert.equal((await connection.expect("item")).data, 2);
  await connection.expect("end");
  connection.send({ type: "call", ref: 2, address: "desk", event: "count", data: 1e9, stream: true });
  await connection.expect("item");
  connection.send({ type: "cancel", ref: 2 });
  await isLeft;
});

test("a call from the server may bring uploads", async () => {
  const channel = await joined();
  channel.answer("sum", async (_, { uploads }) => {
    let sum = 0;
    for await (const n of uploads[0] as AsyncIterable<number>) sum += n;
    return sum;
  });
  connection.send(
    { type: "call", ref: 1, address: "desk", event: "sum", uploads: ["a"] },
    { type: "item", ref: "a", data: 2 },
    { type: "item", ref: "a", data: 3 },
    { type: "end", ref: "a" },
  );
  assert.equal((await connection.expect("reply")).data, 5);
});

test("a cancelled call from the server is not answered, and its handler is told", async () => {
  const channel = await joined();
  const aborted = new Promise<void>((resolve) => {
    channel.answer("wait", (_, { signal }) => new Promise((done) => {
      signal.addEventListener("abort", () => (done(1), resolve()));
    }));
  });
  connection.send({ type: "call", ref: 1, address: "desk", event: "wait" }, { type: "cancel", ref: 1 });
  await aborted;
  connection.send({ type: "ping" });
  await connection.expect("pong");
  assert.equal(connection.texts.waiting, 0);
});
