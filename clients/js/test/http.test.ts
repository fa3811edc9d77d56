import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { AnywireError } from "../src/error.js";
import type { HttpCarrier } from "../src/transports/choice.js";
import { HttpSocket } from "../src/transports/http.js";
import { TestClock } from "./clock.js";
import { settle, TestFetch } from "./requests.js";

let net: TestFetch;
let clock: TestClock;
let session: Record<string, string>;
let told: unknown[];
let refusals: AnywireError[];

beforeEach(() => {
  net = new TestFetch();
  clock = new TestClock();
  session = { session: "s", resume: "t", received: "3" };
  told = [];
  refusals = [];
});

function open(carrier: HttpCarrier, url = "wss://host/ws/?room=1&session=s&resume=old&received=2"): HttpSocket {
  const refused = (error: AnywireError) => refusals.push(error);
  const socket = new HttpSocket(url, { carrier, clock, fetch: net.fetch, session: () => session, refused });
  socket.onopen = () => told.push("open");
  socket.onmessage = ({ data }) => told.push(data);
  socket.onerror = ({ error }) => told.push(error.message);
  socket.onclose = ({ code, reason, wasClean }) => told.push([code, reason, wasClean]);
  return socket;
}

/** Open, with its second poll under way. */
async function polling(): Promise<HttpSocket> {
  const socket = open("poll");
  (await net.gets.next()).answer(200, "welcome");
  await settle();
  told = [];
  return socket;
}

for (const [carrier, kind, one, two] of [
  ["stream", "application/octet-stream", "   \x1ewel", "come\x1e1\x1e2"],
  ["events", "text/event-stream", ":   \n\ndata: wel", "come\n\ndata: 1\n\ndata: 2"],
] as const) {
  test(`${carrier}: what comes is told as it comes, and a stream that breaks goes on where it was`, async () => {
    const socket = open(carrier);
    let get = await net.gets.next();
    assert.equal(get.url.href, `https://host/ws/${carrier}?room=1&session=s&resume=old&received=2`);
    assert.deepEqual([get.method, get.init.credentials], ["GET", "include"]);
    get.begin(kind);
    get.say(one);
    await settle();
    assert.deepEqual([told, socket.readyState, socket.protocol], [[], 0, ""]);
    get.say(two);
    await settle();
    assert.deepEqual(told, ["open", "welcome", "1"]);
    assert.deepEqual([socket.readyState, socket.protocol], [1, "anywire.json.1"]);
    session.received = "4";
    get.fail();
    get = await net.gets.next();
    assert.deepEqual(get.query, { room: "1", session: "s", resume: "t", ack: "4", from: "0" });
    get.begin(kind);
    get.say(carrier === "events" ? "data: 2\n\n" : "2\x1e");
    await settle();
    get.end();
    get = await net.gets.next();
    assert.deepEqual(told.slice(3), ["2"]);
    assert.equal(get.query.ack, "4");
  });
}

test("polls follow each other, each with the count of what came", async () => {
  const socket = await polling();
  for (const [body, wanted] of [["", []], ["1\x1e2", ["1", "2"]], ["", []], ["", []]] as const) {
    const get = await net.gets.next();
    assert.equal(get.query.ack, "3");
    get.answer(200, body);
    await settle();
    assert.deepEqual(told.splice(0), wanted);
  }
  assert.equal(socket.readyState, 1);
});

test("what is sent in one turn goes together, one request after the other, each with the count before it", async () => {
  const socket = await polling();
  for (const text of ["a", "b"]) socket.send(text);
  assert.equal(socket.bufferedAmount, 2);
  const first = await net.posts.next();
  assert.deepEqual([first.body, first.query.from, first.query.session, first.query.resume], ["a\x1eb", "0", "s", "t"]);
  for (const text of ["c", "d"]) socket.send(text);
  await settle();
  assert.equal(net.posts.waiting, 0);
  first.answer(204);
  const second = await net.posts.next();
  assert.deepEqual([second.body, second.query.from, socket.bufferedAmount], ["c\x1ed", "2", 2]);
  second.answer(204);
  await settle();
  socket.send("e");
  assert.equal((await net.posts.next()).query.from, "4");
});

test("a body holds so much, but one message at least", async () => {
  const socket = await polling();
  const large = "x".repeat(2 ** 18);
  for (const text of [`${large}y`, "a", "b", large, "c"]) socket.send(text);
  for (const wanted of [`${large}y`, "a\x1eb", large, "c"]) {
    const post = await net.posts.next();
    assert.equal(post.body, wanted);
    post.answer(204);
  }
});

test("a request with messages that fails is repeated under the same count", async () => {
  const socket = await polling();
  socket.send("a");
  (await net.posts.next()).answer(204);
  await settle();
  for (const fail of [(one: { fail(): void }) => one.fail(), (one: any) => one.answer(502)]) {
    socket.send("b");
    const post = await net.posts.next();
    const { from } = post.query;
    fail(post);
    const again = await net.posts.next();
    assert.deepEqual([again.body, again.query.from], ["b", from]);
    again.answer(204);
    await settle();
  }
  assert.deepEqual([told, socket.readyState], [[], 1]);
});

for (const [what, answer, wanted] of [
  ["no session", (one: any) => one.answer(404, "no such session"), [1006, "404: not taken", false]],
  ["a newer connection", (one: any) => one.answer(409), [4409, "409: not taken", true]],
  ["a body that is too large", (one: any) => one.answer(413), [1009, "413: not taken", true]],
  ["two failures of a proxy", (one: any) => one.answer(502), [1006, "502: not taken", false]],
] as const) {
  test(`a request with messages that is not taken ends it in time: ${what}`, async () => {
    const socket = await polling();
    socket.send("a");
    answer(await net.posts.next());
    if (what.startsWith("two")) answer(await net.posts.next());
    await settle();
    socket.send("never");
    clock.advance(1999);
    assert.deepEqual(told, []);
    clock.advance(1);
    assert.deepEqual(told.at(-1), wanted);
    assert.deepEqual([net.posts.waiting, clock.waiting, socket.readyState], [0, 0, 3]);
  });
}

test("a request with messages that fails twice ends it at once", async () => {
  const socket = await polling();
  socket.send("a");
  for (let count = 0; count < 2; count++) (await net.posts.next()).fail();
  await settle();
  assert.deepEqual(told.at(-1), [1006, "undefined: not taken", false]);
  assert.deepEqual([net.posts.waiting, clock.waiting, socket.readyState], [0, 0, 3]);
});

test("the answer that comes says why a request with messages was not taken", async () => {
  const socket = await polling();
  const get = await net.gets.next();
  socket.send("a");
  (await net.posts.next()).answer(404);
  await settle();
  get.answer(200, "bye", { "x-anywire-close": "4003 thrown%20out" });
  await settle();
  assert.deepEqual(told, ["bye", [4003, "thrown out", true]]);
  assert.equal(clock.waiting, 0);
});

test("the last word of a stream is the end", async () => {
  const socket = open("stream");
  const get = await net.gets.next();
  get.begin();
  get.say("welcome\x1e!4003 thrown%20out%20%C3%A9\x1enever\x1e");
  await settle();
  assert.deepEqual(told, ["open", "welcome", [4003, "thrown out é", true]]);
  assert.ok(get.isAborted);
  assert.equal(socket.readyState, 3);
  socket.close();
  assert.equal(net.count, 1);
});

for (const [what, answer, wanted] of [
  ["no session", (one: any) => one.answer(404, "no such session\n"), [1006, "404: no such session", false]],
  ["a newer connection", (one: any) => one.answer(409, "taken"), [4409, "409: taken", true]],
  ["a page of somebody else", (one: any) => one.answer(200, "Log in", { "content-type": "text/html" }), [
    1006,
    "200: Log in",
    false,
  ]],
] as const) {
  test(`an answer that means the end is the end: ${what}`, async () => {
    await polling();
    answer(await net.gets.next());
    await settle();
    assert.deepEqual(told.at(-1), wanted);
    assert.equal(net.count, 2);
  });
}

test("an answer that breaks is asked for again once, and again after one that brought something", async () => {
  const socket = await polling();
  (await net.gets.next()).fail();
  (await net.gets.next()).answer(200, "1");
  (await net.gets.next()).answer(502, "bad gateway");
  await settle();
  assert.deepEqual([told, socket.readyState], [["1"], 1]);
  (await net.gets.next()).fail("twice");
  await settle();
  assert.deepEqual(told.slice(1), ["TypeError: twice", [1006, "TypeError: twice", false]]);
});

test("a first request that fails is not repeated", async () => {
  for (const answer of [
    (one: any) => one.fail("no network"),
    (one: any) => one.answer(503, "not now"),
    (one: any) => one.answer(200, ""),
  ]) {
    const count = net.count;
    const socket = open("stream");
    answer(await net.gets.next());
    await settle();
    assert.deepEqual([net.count, socket.readyState, (told.at(-1) as unknown[])[0]], [count + 1, 3, 1006]);
  }
  assert.deepEqual(refusals, []);
});

test("a refusal has the code of the server, and is for good", async () => {
  for (const [status, headers, code] of [
    [403, { "x-anywire-code": "name_missing" }, "name_missing"],
    [401, {}, "refused"],
  ] as const) {
    open("events");
    (await net.gets.next()).answer(status, "say ?name=\n", headers as Record<string, string>);
    await settle();
    assert.deepEqual(told.at(-1), [4401, `${status}: say ?name=`, true]);
    const error = refusals.at(-1) as AnywireError;
    assert.deepEqual([error.code, error.text], [code, "say ?name="]);
  }
});

test("a close waits for what was sent, and for nothing else", async () => {
  const socket = await polling();
  const get = await net.gets.next();
  socket.send("bye");
  socket.close(1000, "enough");
  assert.equal(socket.readyState, 2);
  get.answer(200, "late");
  const post = await net.posts.next();
  await settle();
  assert.deepEqual([told, post.body], [[], "bye"]);
  post.answer(204);
  await settle();
  assert.deepEqual(told, [[1000, "enough", true]]);
  assert.equal(clock.waiting, 0);
});

test("a close that nobody hears is over in time", async () => {
  const socket = await polling();
  socket.send("bye");
  socket.close();
  socket.close(1000);
  const post = await net.posts.next();
  await settle();
  clock.advance(2000);
  assert.deepEqual(told, [[1005, "", true]]);
  assert.ok(post.isAborted);
});

test("a close before the first word gives it up", async () => {
  const socket = open("stream");
  const get = await net.gets.next();
  socket.close(1000, "enough");
  await settle();
  assert.deepEqual([told, get.isAborted, clock.waiting], [[[1000, "enough", true]], true, 0]);
});
