// Events and their answers, of every shape of arguments, text and binary.

import { Heard, holds, numbers, same } from "../scenes.mjs";
import { acked, also, ask, connected, disconnected, hear, scenario } from "./scene.mjs";

const TEXTS = [
  "",
  " ",
  "ascii",
  "Grüße, 世界, 👋🏽, \u{10FFFF}",
  "\0\x07\x1e\x7f\u2028\u2029\uFEFF",
  "\"\\/\r\n\t",
  "2[\"x\"]",
  "42/chat,",
];
const { MAX_SAFE_INTEGER: MOST, MIN_SAFE_INTEGER: LEAST } = Number;
const NUMBERS = [0, 1, -1, 1.5, -2.25e-7, 2 ** 31, 2 ** 32, MOST, LEAST, 2 ** 64, -(2 ** 63) - 4096, 1e20, 1e21, 1e308];
const DEEP = [[], [[]], {}, [{ a: { b: [null, { c: "ß" }] } }]];
const NESTED = { "": 1, list: DEEP, "ключ": { "👋": true, no: false } };
const LISTS = [
  [],
  [null],
  [null, null],
  [true, false],
  ["one"],
  TEXTS,
  NUMBERS,
  [NESTED],
  [[], {}, [[[[[[]]]]]]],
  ["mixed", 1, null, { a: [1, 2] }, ["x"], true],
  [{ toString: 1, constructor: 2, hasOwnProperty: null }],
];
const LOOKALIKES = [{ _placeholder: true, num: 0 }, { _placeholder: true, num: 7, more: [1] }];

const bytes = (...values) => new Uint8Array(values).buffer;
const ALL_BYTES = new Uint8Array(256).map((_, place) => place);
/** In the middle of a larger one. */
const VIEW = new Uint8Array(bytes(9, 9, 1, 2, 3, 9), 2, 3);
const BINARY = [
  [bytes(1, 2, 3)],
  [bytes()],
  [ALL_BYTES],
  [VIEW],
  ["text", bytes(0), 1, ALL_BYTES, null, bytes(255, 254)],
  [{ deep: { list: [bytes(1), { inner: bytes(2, 3), text: "ü" }] } }, [[bytes(4)]]],
  // The parsers of the official client and server take ten attachments at most.
  numbers(10).map((number) => bytes(number, number)),
  [{ bytes: bytes(5), num: 0 }, "after"],
];

scenario("message comes back as message-back with any arguments", async (t) => {
  const socket = await t.open();
  const back = hear(socket, "message-back");
  for (const list of LISTS) socket.emit("message", ...list);
  same(await back.until(LISTS.length), LISTS);
});

scenario("what JSON does not know goes as JSON makes it", async (t) => {
  const socket = await t.open();
  const date = new Date(0);
  same(await acked(socket, "message-with-ack", undefined, NaN, -0, date), [null, null, 0, date.toISOString()]);
});

scenario("send() is the event message", async (t) => {
  const socket = await t.open();
  const back = hear(socket, "message-back");
  socket.send("sent", { by: ["send"] }, 3);
  same(await back.until(), [["sent", { by: ["send"] }, 3]]);
});

scenario("message-with-ack is answered with its own arguments", async (t) => {
  const socket = await t.open();
  for (const list of LISTS) same(await acked(socket, "message-with-ack", ...list), list);
});

scenario("echo answers who asks for an answer, and comes back to who does not", async (t) => {
  const socket = await t.open();
  const echoed = hear(socket, "echo");
  for (const list of LISTS) socket.emit("echo", ...list);
  for (const list of LISTS) same(await acked(socket, "echo", ...list), list);
  same(await echoed.until(LISTS.length), LISTS);
});

scenario("emitWithAck resolves with the first argument of the answer", async (t) => {
  const socket = await t.open();
  same(await socket.emitWithAck("echo", { a: 1 }, "second"), { a: 1 });
  same(await socket.emitWithAck("echo"), undefined);
});

scenario("each of many questions under way gets its own answer", async (t) => {
  const socket = await t.open();
  const chat = await also(socket, "/chat");
  const questions = numbers(60).map((number) => ask(number % 2 ? socket : chat, "echo", number));
  same(await Promise.all(questions), numbers(60));
});

scenario("no-ack is never answered: the client's time-out tells", async (t) => {
  const socket = await t.open();
  const error = await new Promise((resolve) => socket.timeout(200).emit("no-ack", 1, resolve));
  same(error?.message, "operation has timed out");
  same(await ask(socket, "echo", "goes on"), "goes on");
});

scenario("an event that nobody listens to does no harm", async (t) => {
  const socket = await t.open();
  const error = await new Promise((resolve) => socket.timeout(200).emit("nobody listens", resolve));
  same(error?.message, "operation has timed out");
  socket.emit("");
  socket.emit("nobody listens", bytes(1), { x: bytes(2) });
  same(await ask(socket, "echo", "goes on"), "goes on");
});

scenario("ask-me asks the sender and hands its answer back", async (t) => {
  const socket = await t.open();
  const asked = new Heard("question");
  socket.on("question", (...args) => {
    const answer = args.pop();
    asked.take(args);
    answer({ answer: args[0] });
  });
  for (const value of [1, "zwei", null, [3], { four: "👋" }]) {
    same(await ask(socket, "ask-me", value), { answer: value });
  }
  same(await asked.until(5), [[1], ["zwei"], [null], [[3]], [{ four: "👋" }]]);
});

scenario("ask-me gives up on a sender that does not answer; a late answer does no harm", async (t) => {
  const socket = await t.open();
  const asked = new Heard("question");
  socket.on("question", (value, answer) => asked.take([value, answer]));
  same(await ask(socket, "ask-me", "quick?"), "timeout");
  const [[value, answer]] = await asked.until();
  same(value, "quick?");
  answer("late");
  same(await ask(socket, "echo", "goes on"), "goes on");
});

scenario("an answer of a client is taken once, and only where a question was", async (t) => {
  const socket = await t.open();
  socket.on("question", (value, answer) => {
    socket.io.engine.write('34000000["to no question"]');
    answer(value);
    answer("again");
  });
  same(await ask(socket, "ask-me", 1), 1);
  same(await ask(socket, "ask-me", 2), 2);
});

scenario("binary comes back as binary, text as text, wherever they are", async (t) => {
  const socket = await t.open();
  const back = hear(socket, "message-back");
  const echoed = hear(socket, "echo");
  for (const list of BINARY) {
    socket.emit("message", ...list);
    socket.emit("echo", ...list);
  }
  same(await back.until(BINARY.length), BINARY, "message-back");
  same(await echoed.until(BINARY.length), BINARY, "echo");
});

scenario("binary goes both ways in answers", async (t) => {
  const socket = await t.open();
  for (const list of BINARY) same(await acked(socket, "message-with-ack", ...list), list);
  socket.on("question", (value, answer) => answer({ got: value, more: [bytes(7), "ü"] }));
  same(await ask(socket, "ask-me", bytes(1, 2)), { got: bytes(1, 2), more: [bytes(7), "ü"] });
  same(await ask(socket, "ask-me", "text"), { got: "text", more: [bytes(7), "ü"] });
});

scenario("binary and text in turns keep their order", async (t) => {
  const socket = await t.open();
  const back = hear(socket, "message-back");
  const sent = numbers(60).map((number) => (number % 2 ? [number] : [number, bytes(number), [ALL_BYTES]]));
  for (const list of sent) socket.emit("message", ...list);
  same(await back.until(sent.length), sent);
});

scenario("what looks like the place of an attachment is data where there are none", async (t) => {
  const socket = await t.open();
  const back = hear(socket, "message-back");
  socket.emit("message", ...LOOKALIKES);
  same(await back.until(), [LOOKALIKES]);
  same(await acked(socket, "message-with-ack", ...LOOKALIKES), LOOKALIKES);
});

scenario("large messages come back whole: 300 kB of text, of three-byte characters, of bytes", async (t) => {
  const socket = await t.open();
  const large = new Uint8Array(300_000).map((_, place) => (place * 7) % 251);
  for (const value of ["x".repeat(300_000), "世".repeat(100_000), large]) {
    const answer = await ask(socket, "echo", value);
    if (typeof value === "string") holds(answer === value, "the text is another one");
    else same(answer, value);
  }
});

scenario("a message that is too large ends the connection, and the client comes back", async (t) => {
  const socket = await t.open();
  const before = socket.id;
  const reason = disconnected(socket);
  socket.emit("message", "x".repeat(1_100_000));
  // The server closes a WebSocket; a post it answers by a status of HTTP, or not at all, and it closes the poll.
  const isPolled = t.transports?.[0] !== "websocket";
  const reasons = isPolled ? ["transport error", "transport close"] : ["transport close"];
  holds(reasons.includes(await reason), `the reason is ${await reason}`);
  holds(before !== undefined && socket.active, "the client stays away");
  await connected(socket);
  same(await ask(socket, "echo", "back"), "back");
});

scenario("volatile events come, once each, without an offset", async (t) => {
  const socket = await t.open();
  const event = t.name("volatile");
  const heard = hear(socket, event, { isBare: true });
  let tries = 0;
  // One may be dropped: the server sends it only if it can at once, and a poll may just be over.
  while (heard.all.length < 3) {
    holds(tries < 60, `${heard.all.length} of ${tries} came`);
    socket.emit("volatile", event, tries++, "text");
    await ask(socket, "echo");
  }
  const came = heard.all.map(([number]) => number);
  same(heard.all, came.map((number) => [number, "text"]));
  same(came, [...new Set(came)].sort((a, b) => a - b), "the numbers");
});

scenario("a catch-all listener hears every event that starts with any:", async (t) => {
  const socket = await t.open();
  const any = hear(socket, "any");
  socket.emit("any:");
  socket.emit("any:thing", 1, [2, 3], null);
  socket.emit("anything", 1);
  socket.emit("any:ünïcode", bytes(1), { x: bytes(2) });
  same(await ask(socket, "echo", 1), 1);
  same(await any.until(3), [["any:", 0], ["any:thing", 3], ["any:ünïcode", 2]]);
});

scenario("what is sent before the connection is there goes when it is", async (t) => {
  const socket = t.make("/chat");
  const answer = ask(socket, "echo", "early");
  const back = hear(socket, "message-back");
  socket.emit("message", bytes(1, 2), "early");
  same(await answer, "early");
  same(await back.until(), [[bytes(1, 2), "early"]]);
  await connected(socket);
});
