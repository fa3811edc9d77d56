// Ends: by the page, by the server, and what each side hears of them.

import { echo, is, next, same, test, throws, until } from "./harness.mjs";

// ---- close: its arguments

test("a code that a page may not send is an InvalidAccessError, and changes nothing", async (t) => {
  const socket = await t.open();
  for (const code of [0, 1, 999, 1001, 1004, 1005, 1006, 1015, 2999, 5000, 65_535, 66_536, -1, NaN, null, "x", "1001", Infinity]) {
    throws("InvalidAccessError", () => socket.close(code), `close(${code})`);
  }
  is(socket.readyState, 1, "readyState");
  is(await echo(socket, "still here"), "still here");
});

test("a code of another type is made a number, as the platform makes one", async (t) => {
  for (const [given, code] of [["1000", 1000], [3000.2, 3000], [{ valueOf: () => 4000 }, 4000]]) {
    const socket = await t.open();
    socket.close(given);
    is((await next(socket, "close")).code, code, `the code of ${given}`);
  }
  throws("TypeError", () => t.make().close(1000n));
});

const ALONE = "Chromium wants a code where there is a reason; the standard has 1000 stand for it";

test("a reason of more than 123 bytes is a SyntaxError, and changes nothing", async (t) => {
  const socket = await t.open();
  for (const reason of ["x".repeat(124), "€".repeat(42), "👋".repeat(31), "\uD800".repeat(42)]) {
    throws("SyntaxError", () => socket.close(1000, reason));
    const alone = t.differs(ALONE, { native: "InvalidAccessError", dropIn: "SyntaxError" });
    throws(alone, () => socket.close(undefined, reason));
  }
  throws("InvalidAccessError", () => socket.close(1, "x".repeat(124)), "the code is looked at first");
  is(socket.readyState, 1, "readyState");
});

test("arguments are looked at in every state", async (t) => {
  const socket = t.make();
  throws("InvalidAccessError", () => socket.close(1), "while it connects");
  is(socket.readyState, 0, "readyState");
  await next(socket, "open");
  socket.close();
  throws("InvalidAccessError", () => socket.close(1), "while it closes");
  await next(socket, "close");
  throws("SyntaxError", () => socket.close(1000, "x".repeat(124)), "once it is closed");
});

for (const [how, given, heard] of [
  ["no code", [], { code: 1005, reason: "" }],
  ["undefined", [undefined, undefined], { code: 1005, reason: "" }],
  ["an empty reason alone", [undefined, ""], { code: 1005, reason: "" }],
  ["a reason alone", [undefined, "why"], { code: 1000, reason: "why" }],
  ["1000", [1000], { code: 1000, reason: "" }],
  ["1000 and a reason", [1000, "bye"], { code: 1000, reason: "bye" }],
  ["3000", [3000, "first"], { code: 3000, reason: "first" }],
  ["4999", [4999, "last"], { code: 4999, reason: "last" }],
  ["the longest reason", [1000, "€".repeat(41)], { code: 1000, reason: "€".repeat(41) }],
  ["half a surrogate pair", [1000, "a\uD800"], { code: 1000, reason: "a\uFFFD" }],
  ["null as a reason", [1000, null], { code: 1000, reason: "null" }],
]) {
  test(`the server hears how it was closed: ${how}`, async (t) => {
    const socket = await t.open(`/watch/${t.name}`);
    const isAlone = given.length === 2 && given[0] === undefined && given[1] !== undefined;
    if (isAlone && t.differs(ALONE, { native: true, dropIn: false })) {
      return throws("InvalidAccessError", () => socket.close(...given));
    }
    socket.close(...given);
    const event = await next(socket, "close");
    const { code, reason } = await t.ended();
    same({ code, reason }, heard, "what the server heard");
    same([event.code, event.wasClean], [heard.code, true], "what the page heard");
  });
}

// ---- close: what follows

test("close tells nothing before it returns; then CLOSING, and one event with CLOSED", async (t) => {
  const socket = await t.open();
  let count = 0;
  const heard = new Promise((resolve) => {
    socket.close(1000);
    is(socket.readyState, 2, "readyState");
    socket.onclose = (event) => {
      is(socket.readyState, 3, "readyState in the event");
      is(event.code, 1000, "code");
      is(event.wasClean, true, "wasClean");
      is(event.reason, "", "reason");
      if (!t.isNative) same([event.willReconnect, event.delay], [false, 0]);
      count += 1;
      resolve();
    };
  });
  await heard;
  socket.close();
  socket.close(3000, "again");
  await echo(await t.open(), "a round trip later");
  is(count, 1, "the number of events");
  is(socket.readyState, 3, "readyState");
});

test("the first close is the one that counts", async (t) => {
  const socket = await t.open(`/watch/${t.name}`);
  socket.close(3001, "one");
  socket.close(3002, "two");
  is((await next(socket, "close")).code, 3001, "code");
  same((await t.ended()).reason, "one");
});

test("what was sent before the close arrives before it", async (t) => {
  const socket = await t.open(`/watch/${t.name}`);
  socket.send("one");
  socket.send(new Blob(["2"]));
  socket.send(new Uint8Array([3]));
  socket.close();
  same((await t.ended()).messages, ["one", "32", "03"]);
});

test("no message comes after close, though the server has sent it", async (t) => {
  const socket = await t.open();
  const heard = until(socket, "close");
  socket.send("too late to be answered");
  socket.close();
  same(await heard, ["close"]);
});

test("a socket closed before it is open never opens: an error, then an unclean 1006", async (t) => {
  for (const url of ["/raw/echo", `/hang/${t.name}`]) {
    const socket = t.make(url);
    const heard = until(socket, "close");
    socket.close(3000, "never mind");
    is(socket.readyState, 2, "readyState");
    const { code, reason, wasClean } = await next(socket, "close");
    same({ code, reason, wasClean }, { code: 1006, reason: "", wasClean: false });
    is(socket.readyState, 3, "readyState");
    same(await heard, ["error", "close"]);
  }
});

test("a socket may be closed by its own events", async (t) => {
  const opening = t.make();
  opening.onopen = () => opening.close(3000);
  is((await next(opening, "close")).code, 3000, "from open");
  const hearing = await t.open();
  hearing.onmessage = () => hearing.close(3001);
  hearing.send("x");
  is((await next(hearing, "close")).code, 3001, "from message");
  hearing.onclose = () => hearing.close();
  is(hearing.readyState, 3, "readyState");
});

// ---- the server ends it

for (const [code, reason] of [[1000, ""], [1000, "done"], [1001, "restart"], [1011, "a bug"], [3000, "own"], [4002, "Grüße"]]) {
  test(`a server that closes with ${code} ${reason} is told of as it said`, async (t) => {
    const socket = t.quick("/raw/closing");
    await next(socket, "open");
    socket.send(new URLSearchParams({ code, reason }).toString());
    const heard = until(socket, "close");
    const event = await next(socket, "close");
    same([event.code, event.reason, event.wasClean], [code, reason, true]);
    same(await heard, ["close"]);
    is(socket.readyState, t.differs("it comes back: CLOSED is for good", { native: 3, dropIn: 0 }), "readyState");
    is(event.willReconnect, t.differs("the event says that it does", { native: undefined, dropIn: true }));
    if (t.isNative) return;
    await next(socket, "open");
    is(socket.readyState, 1, "readyState");
  });
}

for (const code of [4401, 4403, 4409]) {
  test(`a server that closes with ${code} ends it for good`, async (t) => {
    const socket = t.quick("/raw/closing");
    await next(socket, "open");
    socket.send(`code=${code}&reason=no`);
    const event = await next(socket, "close");
    same([event.code, event.reason, event.wasClean, socket.readyState], [code, "no", true, 3]);
    is(event.willReconnect, t.differs("the event says so", { native: undefined, dropIn: false }));
  });
}

test("a server that refuses is an error, then an unclean 1006", async (t) => {
  const socket = t.quick(`/refuse/${t.name}`);
  const heard = until(socket, "close");
  const { code, reason, wasClean } = await next(socket, "close");
  same({ code, reason, wasClean }, { code: 1006, reason: "", wasClean: false });
  same(await heard, ["error", "close"]);
  is(socket.readyState, t.differs("it tries again", { native: 3, dropIn: 0 }), "readyState");
  if (t.isNative) return;
  await next(socket, "close");
  is(socket.readyState, 0, "readyState after the next attempt");
});

test("a socket that is closed between two connections ends without a second thought", async (t) => {
  const socket = t.quick(`/refuse/${t.name}`);
  await next(socket, "close");
  if (t.differs("the platform's class is at its end here", { native: true, dropIn: false })) return;
  const heard = until(socket, "close");
  socket.close(1000, "enough");
  const event = await next(socket, "close");
  same([event.code, event.wasClean, event.willReconnect, socket.readyState], [1006, false, false, 3]);
  same(await heard, ["close"]);
});

test("what is sent between two connections goes out at the next, in order, and is counted until then", async (t) => {
  if (t.differs("the platform's class has no second connection", { native: true, dropIn: false })) return;
  const socket = t.quick(`/watch/${t.name}`);
  await next(socket, "open");
  const ended = next(socket, "close");
  socket.send("hang up");
  same([(await ended).code, (await ended).reason], [3210, "as told"]);
  const view = new Uint8Array([2]);
  for (const data of ["one", view, new Blob(["3"]), "four"]) is(socket.send(data), true, "send");
  view[0] = 9;
  is(socket.bufferedAmount, 9, "bufferedAmount");
  await next(socket, "open");
  socket.close();
  await next(socket, "close");
  // The answer is of the first end; both were over when it was asked.
  let all = await t.ended();
  while (all.messages.length < 5) all = await t.ended();
  same(all.messages, ["hang up", "one", "02", "33", "four"]);
  is(all.connections, 2, "connections");
});
