// What is sent, in which form, in which order, and how much of it waits.

import { bytes, echo, is, next, same, test, throws, until } from "./harness.mjs";

// ---- send

test("send wants something to send", async (t) => {
  const socket = await t.open();
  throws("TypeError", () => socket.send());
  throws("TypeError", () => socket.send(Symbol("s")));
});

test("send while it connects", async (t) => {
  const socket = t.make();
  const isQueued = t.differs("what is sent without a connection waits for one: that is what it is for", {
    native: false,
    dropIn: true,
  });
  if (!isQueued) return throws("InvalidStateError", () => socket.send("early"));
  const answer = next(socket, "message");
  is(socket.send("early"), true, "send");
  is(socket.bufferedAmount, 5, "bufferedAmount");
  is((await answer).data, "early");
  is(socket.bufferedAmount, 0, "bufferedAmount");
});

test("text comes back as it went: empty, long, of every script, with null characters", async (t) => {
  const socket = await t.open();
  for (const text of ["", "x", "a\0b", "Grüße, 世界, 👋🏽, \u{10FFFF}", "\uFEFFbom", "\r\n", "ß".repeat(30_000)]) {
    is(await echo(socket, text), text);
  }
});

test("a surrogate without its other half becomes a replacement character", async (t) => {
  const socket = await t.open();
  for (const [text, sent] of [["\uD807", "\uFFFD"], ["a\uDC00b", "a\uFFFDb"], ["\uDC00\uD800", "\uFFFD\uFFFD"]]) {
    is(await echo(socket, text), sent);
  }
});

test("what is neither text nor bytes goes as its text", async (t) => {
  const socket = await t.open();
  for (const [value, text] of [
    [null, "null"],
    [undefined, "undefined"],
    [12.5, "12.5"],
    [false, "false"],
    [["a", "b"], "a,b"],
    [{}, "[object Object]"],
    [{ toString: () => "own words" }, "own words"],
    [new URLSearchParams("q=1"), "q=1"],
  ]) {
    is(await echo(socket, value), text);
  }
});

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

test("an ArrayBuffer and every kind of view on one go as their bytes, and only theirs", async (t) => {
  const socket = await t.open();
  const whole = Uint8Array.from({ length: 64 }, (_, n) => n);
  same(await bytes(await echo(socket, whole.buffer)), [...whole], "the buffer");
  for (const View of VIEWS) {
    const size = View.BYTES_PER_ELEMENT ?? 1;
    const view = new View(whole.buffer, 16, 32 / size);
    same(await bytes(await echo(socket, view)), [...whole.slice(16, 48)], View.name);
    const rest = new View(whole.buffer, 8);
    same(await bytes(await echo(socket, rest)), [...whole.slice(8)], `${View.name} to the end`);
  }
});

test("a Blob and a File go as their bytes", async (t) => {
  const socket = await t.open();
  const blob = new Blob(["ab", new Uint8Array([0, 255])], { type: "text/plain" });
  same(await bytes(await echo(socket, blob)), [97, 98, 0, 255], "the Blob");
  same(await bytes(await echo(socket, blob.slice(1, 3))), [98, 0], "a part of it");
  same(await bytes(await echo(socket, new File(["cd"], "c.txt"))), [99, 100], "the File");
});

test("nothing is a message too, in each form", async (t) => {
  const socket = await t.open();
  for (const nothing of [new ArrayBuffer(0), new Uint8Array(0), new DataView(new ArrayBuffer(4), 4), new Blob([])]) {
    const data = await echo(socket, nothing);
    is(data instanceof Blob, true, "a Blob");
    is(data.size, 0, "its size");
  }
});

test("bytes from another frame of the page are bytes", async (t) => {
  const { contentWindow: other } = t.frame();
  const socket = await t.open();
  same(await bytes(await echo(socket, new other.Uint8Array([1, 2]).buffer)), [1, 2], "its ArrayBuffer");
  same(await bytes(await echo(socket, new other.Uint8Array([3]))), [3], "its view");
  same(await bytes(await echo(socket, new other.Blob(["d"]))), [100], "its Blob");
});

test("bytes are taken when they are sent: what becomes of the buffer afterwards changes nothing", async (t) => {
  const socket = t.make();
  if (t.differs("it can be sent before it is open", { native: true, dropIn: false })) await next(socket, "open");
  const view = new Uint8Array([1, 2, 3]);
  const { buffer } = new Uint8Array([4, 5]);
  const heard = [];
  const all = new Promise((resolve) => {
    socket.onmessage = ({ data }) => heard.push(data) === 4 && resolve();
  });
  socket.send(view);
  socket.send(buffer);
  socket.send(new DataView(view.buffer, 1));
  view.fill(9);
  structuredClone(buffer, { transfer: [buffer] });
  socket.send(buffer);
  await all;
  same(await Promise.all(heard.map(bytes)), [[1, 2, 3], [4, 5], [2, 3], []]);
});

test("memory that threads share is not sent as bytes", async (t) => {
  const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const socket = await t.open();
  throws("TypeError", () => t.make().send(new Uint8Array(buffer, 0, 1)), "a view that would wait");
  throws("TypeError", () => socket.send(new Uint8Array(buffer, 0, 1)), "a view");
  throws("TypeError", () => socket.send(buffer), "the buffer");
});

test("a Blob keeps its place among what is sent before and after it", async (t) => {
  const socket = t.make();
  if (t.differs("it can be sent before it is open", { native: true, dropIn: false })) await next(socket, "open");
  const big = new Blob([new Uint8Array(60_000).fill(66)]);
  const heard = [];
  const all = new Promise((resolve) => {
    socket.onmessage = ({ data }) => heard.push(data) === 7 && resolve();
  });
  const send = () => {
    for (const data of [big, "1", new Uint8Array([2]), big.slice(0, 3), "4", big, new Blob(["6"])]) socket.send(data);
  };
  send();
  await all;
  const shown = () => Promise.all(heard.map((data) => data.size ?? data));
  same(await shown(), [60_000, "1", 1, 3, "4", 60_000, 1], "the order");
});

test("with json a Blob keeps its place among values", async (t) => {
  if (t.differs("the platform's class has no json", { native: true, dropIn: false })) return;
  const socket = t.make("/raw/echo", [], { json: true });
  const heard = [];
  const all = new Promise((resolve) => {
    socket.onmessage = ({ data }) => heard.push(data) === 6 && resolve();
  });
  const send = () => {
    for (const data of [{ n: 1 }, new Blob(["two"]), [3]]) socket.send(data);
  };
  send();
  socket.onopen = send;
  await all;
  same(heard.map((data) => (data instanceof Blob ? data.size : data)), [{ n: 1 }, 3, [3], { n: 1 }, 3, [3]]);
});

test("many messages keep their order", async (t) => {
  const socket = await t.open();
  const heard = [];
  const all = new Promise((resolve) => {
    socket.onmessage = ({ data }) => heard.push(Number(data)) === 300 && resolve();
  });
  for (let n = 0; n < 300; n++) socket.send(`${n}`);
  await all;
  same(heard, Array.from({ length: 300 }, (_, n) => n));
});

// ---- bufferedAmount

test("bufferedAmount counts the bytes of each form at once, and none when they are gone", async (t) => {
  const socket = await t.open();
  const sizes = [];
  const answers = until(socket, "close");
  for (const data of ["abc", "€", "👋", "\uD800", new ArrayBuffer(10), new Uint16Array(3), new Blob(["12345"])]) {
    const before = socket.bufferedAmount;
    socket.send(data);
    sizes.push(socket.bufferedAmount - before);
  }
  same(sizes, [3, 3, 4, 3, 10, 6, 5]);
  await echo(socket, "and its echo");
  while (socket.bufferedAmount) await next(socket, "message");
  socket.close();
  same((await answers).filter((type) => type !== "message"), ["close"]);
});

test("bufferedAmount does not change while the page does not rest", async (t) => {
  const socket = await t.open();
  socket.send("x".repeat(10_000));
  const end = performance.now() + 20;
  while (performance.now() < end) is(socket.bufferedAmount, 10_000, "bufferedAmount");
});

test("what is sent after the close is thrown away, and counted for good", async (t) => {
  const socket = await t.open(`/watch/${t.name}`);
  socket.close();
  const answer = t.differs("send says whether it took the message", { native: undefined, dropIn: false });
  const before = socket.bufferedAmount;
  is(socket.send("abc"), answer, "send while it closes");
  socket.send(new Uint8Array(4));
  is(socket.bufferedAmount - before, 7, "bufferedAmount while it closes");
  await next(socket, "close");
  is(socket.send(new Blob(["12"])), answer, "send once it is closed");
  socket.send("€");
  is(socket.bufferedAmount - before, 12, "bufferedAmount once it is closed");
  same((await t.ended()).messages, [], "what the server got");
});
