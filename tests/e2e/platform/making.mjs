// The constructor and its arguments; what a socket says of itself.

import { bytes, echo, is, next, same, test, throws } from "./harness.mjs";

// ---- constructor

test("the four constants are on the class, on its prototype and on each socket, and cannot be changed", ({ Socket }) => {
  const names = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
  for (const [value, name] of names.entries()) {
    for (const holder of [Socket, Socket.prototype]) {
      is(holder[name], value, name);
      throws("TypeError", () => (holder[name] = 7));
      is(Object.keys(Object.getOwnPropertyDescriptors(holder)).includes(name), true, `${name} of its own`);
    }
  }
});

test("a new socket is connecting, waits for nothing, and knows nothing yet", (t) => {
  const socket = t.make();
  is(socket instanceof EventTarget, true, "an EventTarget");
  is(socket instanceof t.Socket, true, "an instance");
  is(socket.readyState, 0, "readyState");
  is(socket.CLOSED, 3, "CLOSED");
  is(socket.bufferedAmount, 0, "bufferedAmount");
  is(socket.protocol, "", "protocol");
  is(socket.extensions, "", "extensions");
  is(socket.binaryType, "blob", "binaryType");
  for (const type of ["open", "message", "error", "close"]) is(socket[`on${type}`], null, `on${type}`);
});

test("it must be called with new and with an address", ({ Socket }) => {
  throws("TypeError", () => Socket("/raw/echo"));
  throws("TypeError", () => new Socket());
  is(Socket.length, 1, "the parameters that must be there");
});

test("what is no address of a WebSocket is a SyntaxError", ({ Socket }) => {
  for (const url of [
    "ws://",
    "ws://[::1/",
    "ws://127.0.0.1:99999/",
    "ftp://127.0.0.1/",
    "mailto:a@example.org",
    "about:blank",
    "javascript:0",
    "wsx://127.0.0.1/",
    "blob:x",
  ]) {
    throws("SyntaxError", () => new Socket(url), url);
  }
});

test("a fragment is a SyntaxError, an empty one too", ({ Socket }) => {
  const { host } = location;
  for (const url of [`ws://${host}/raw/echo#x`, `ws://${host}/raw/echo#`, "/raw/echo#x", "#"]) {
    throws("SyntaxError", () => new Socket(url), url);
  }
});

test("url is the whole address at once: ws for http, completed, encoded, without the default port", async (t) => {
  const { host } = location;
  for (const [given, whole] of [
    ["/raw/echo", `ws://${host}/raw/echo`],
    ["raw/echo?q=1", `ws://${host}/raw/echo?q=1`],
    ["?q", `ws://${host}/page?q`],
    [`//${host}/raw/echo`, `ws://${host}/raw/echo`],
    [`http://${host}/raw/echo`, `ws://${host}/raw/echo`],
    [`HTTP://${host}`, `ws://${host}/`],
    [`ws://${host}/raw/echo?a b&c=é`, `ws://${host}/raw/echo?a%20b&c=%C3%A9`],
    [`  ws://${host}/raw/./echo\n`, `ws://${host}/raw/echo`],
    [new URL("/raw/echo", location), `ws://${host}/raw/echo`],
    [{ toString: () => "/raw/echo" }, `ws://${host}/raw/echo`],
    ["ws://127.0.0.1:80/x", "ws://127.0.0.1/x"],
    ["wss://127.0.0.1:443/x", "wss://127.0.0.1/x"],
    ["https://127.0.0.1:443/x", "wss://127.0.0.1/x"],
    ["WSS://127.0.0.1:444", "wss://127.0.0.1:444/"],
  ]) {
    const socket = t.make(given);
    is(socket.url, whole, `the url of ${given}`);
    socket.close();
    await next(socket, "close");
  }
});

test("an address is completed by the page's base, as its links are", (t) => {
  const base = document.head.appendChild(document.createElement("base"));
  try {
    base.href = "/raw/";
    is(t.make("echo").url, `ws://${location.host}/raw/echo`, "url");
  } finally {
    base.remove();
  }
});

test("an address of http is connected to", async (t) => {
  const socket = await t.open(`http://${location.host}/raw/echo`);
  is(await echo(socket, "x"), "x");
});

test("the attributes that tell cannot be set", (t) => {
  const socket = t.make();
  for (const name of ["url", "readyState", "bufferedAmount", "protocol", "extensions"]) {
    throws("TypeError", () => (socket[name] = "x"), name);
  }
  is(socket.readyState, 0, "readyState");
});

// ---- protocols

test("a subprotocol that is no token is a SyntaxError", ({ Socket }) => {
  const signs = [..."\"(),/:;<=>?@[\\]{} \t\n\r\0\x1F\x7F", "é", "\u2028", "日本"];
  for (const sign of signs) {
    throws("SyntaxError", () => new Socket("/protocols", `a${sign}b`), JSON.stringify(sign));
    throws("SyntaxError", () => new Socket("/protocols", ["first", sign]), JSON.stringify(sign));
  }
  throws("SyntaxError", () => new Socket("/protocols", ""));
  throws("SyntaxError", () => new Socket("/protocols", [""]));
});

test("a subprotocol offered twice is a SyntaxError; in other letters it is another one", async (t) => {
  for (const twice of [["first", "first"], ["a", "b", "a"], [1, "1"]]) {
    throws("SyntaxError", () => new t.Socket("/protocols", twice), `${twice}`);
  }
  is((await t.open("/protocols", ["FIRST", "first"])).protocol, "first", "protocol");
});

test("an address that is none is told of before a subprotocol that is none", ({ Socket }) => {
  throws("SyntaxError", () => new Socket("ftp://a/", "first"));
  throws("SyntaxError", () => new Socket("/protocols#x", []));
});

test("one subprotocol, a list or anything that can be gone through is offered, and the chosen one is told", async (t) => {
  for (const offer of ["first", ["first"], ["unknown", "first", "second"], new Set(["first"]), [{ toString: () => "first" }]]) {
    const socket = t.make("/protocols", offer);
    is(socket.protocol, "", "protocol before it is open");
    await next(socket, "open");
    is(socket.protocol, "first", "protocol");
    socket.close();
    is(socket.protocol, "first", "protocol while it closes");
    await next(socket, "close");
    is(socket.protocol, "first", "protocol once it is closed");
  }
});

test("no subprotocol is offered for an empty list, or where none is given", async (t) => {
  for (const offers of [[], [[]], [undefined]]) {
    const socket = await t.open("/protocols", ...offers);
    is(socket.protocol, "", "protocol");
    socket.close();
  }
});

test("a server that takes none of the offers is no server for this socket", async (t) => {
  const socket = t.make("/protocols", null);
  const { code, wasClean } = await next(socket, "close");
  same([code, wasClean], [1006, false]);
});

// ---- extensions, binaryType

test("the extensions that were agreed on are told once it is open", async (t) => {
  const socket = t.make();
  is(socket.extensions, "", "before");
  await next(socket, "open");
  const { extensions } = socket;
  is(extensions.split(";")[0], "permessage-deflate", "the extension without its parameters");
  socket.close();
  await next(socket, "close");
  is(socket.extensions, extensions, "after");
});

test("binaryType takes its two values and no other", (t) => {
  const socket = t.make();
  for (const [given, kept] of [
    ["arraybuffer", "arraybuffer"],
    ["Blob", "arraybuffer"],
    ["text", "arraybuffer"],
    [null, "arraybuffer"],
    ["blob", "blob"],
    ["", "blob"],
    [undefined, "blob"],
  ]) {
    socket.binaryType = given;
    is(socket.binaryType, kept, `binaryType after ${given}`);
  }
});

test("bytes come as binaryType says, and it may change between two messages", async (t) => {
  const socket = await t.open();
  const blob = await echo(socket, new Uint8Array([1, 2]));
  is(blob instanceof Blob, true, "a Blob");
  is(blob.type, "", "its type");
  same(await bytes(blob), [1, 2]);
  socket.binaryType = "arraybuffer";
  const buffer = await echo(socket, new Uint8Array([3]));
  is(buffer instanceof ArrayBuffer, true, "an ArrayBuffer");
  same(await bytes(buffer), [3]);
  socket.binaryType = "blob";
  is((await echo(socket, new Uint8Array([4]))) instanceof Blob, true, "a Blob again");
  is(await echo(socket, "text"), "text");
});
