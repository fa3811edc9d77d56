/** The drop-in in Node, with the class of the package ws: what no browser is needed for. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { RobustSocket } from "../src/socket.js";
import type { SocketOptions } from "../src/types.js";
import { TestClock } from "./clock.js";
import { type Connection, Mailbox, Peer } from "./peer.js";
import { TestWebSocket } from "./wire.js";

let peer: Peer;
let clock: TestClock;
let sockets: RobustSocket[] = [];

beforeEach(async () => {
  peer = await Peer.listen();
  clock = new TestClock();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await peer.stop();
});

function open(options: SocketOptions = {}, protocols: string[] = []): RobustSocket {
  const socket = new RobustSocket(peer.url, protocols, { WebSocket, clock, random: () => 0.5, ...options });
  sockets.push(socket);
  return socket;
}

function next<T extends Event>(socket: RobustSocket, type: string): Promise<T> {
  return new Promise((resolve) => socket.addEventListener(type, resolve as never, { once: true }));
}

/** What the peer gets, in its order: text as it is, bytes as the list of them. */
function inbox({ ws }: Connection): Mailbox<unknown> {
  const box = new Mailbox<unknown>();
  ws.on("message", (data: Buffer, isBinary: boolean) => box.put(isBinary ? [...data] : String(data)));
  return box;
}

test("options are the second argument, or the third beside subprotocols, or name the subprotocols themselves", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const url = "ws://test/ws";
  const made = (...rest: any[]) => {
    const socket = new RobustSocket(url, ...rest);
    sockets.push(socket);
    return last().protocols;
  };
  assert.deepEqual(made({ WebSocket, clock }), []);
  assert.deepEqual(made({ WebSocket, clock, protocols: "one" }), ["one"]);
  assert.deepEqual(made("one", { WebSocket, clock }), ["one"]);
  assert.deepEqual(made(new Set(["one", "two"]), { WebSocket, clock }), ["one", "two"]);
  assert.deepEqual(made([], { WebSocket, clock, protocols: ["two"] }), ["two"]);
  assert.deepEqual(made(undefined, { WebSocket, clock }), []);
});

test("readyState is CLOSED only where nothing comes any more", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket, lazy: true });
  const seen: number[] = [];
  const look = () => seen.push(socket.readyState);
  look();
  socket.open();
  look();
  last().accept();
  look();
  last().readyState = 2;
  look();
  last().lose();
  look();
  clock.advance(500);
  last().accept();
  socket.close();
  look();
  last().lose(1005);
  look();
  assert.deepEqual(seen, [0, 0, 1, 2, 0, 2, 3]);
  assert.deepEqual([socket.CONNECTING, RobustSocket.OPEN, socket.CLOSING, RobustSocket.CLOSED], [0, 1, 2, 3]);
});

test("an address that is a function is url once it was made; one that is text is url at once", () => {
  const { WebSocket } = TestWebSocket.fresh();
  const options = { WebSocket, clock, lazy: true };
  assert.equal(new RobustSocket("http://test/ws", options).url, "ws://test/ws");
  const made = new RobustSocket(() => "ws://test/made", options);
  assert.equal(made.url, "");
  made.open();
  assert.equal(made.url, "ws://test/made");
  made.close();
});

test("arguments that are none are refused before anything is connected", () => {
  const { WebSocket, made } = TestWebSocket.fresh();
  const New = RobustSocket as unknown as new (...all: unknown[]) => RobustSocket;
  assert.throws(() => new New(), TypeError);
  assert.throws(() => new New("ws://test/#x", { WebSocket }), { name: "SyntaxError" });
  assert.throws(() => new New("ws://test/", "a b", { WebSocket }), { name: "SyntaxError" });
  assert.throws(() => new New("ws://test/", null, { WebSocket: undefined, protocols: ["a", "a"] }), TypeError);
  assert.equal(made.length, 0);
});

test("a close tells the server, and the event tells what the server answered", async () => {
  const socket = open();
  const connection = await peer.next();
  await next(socket, "open");
  socket.close(3001, "enough");
  assert.equal(socket.readyState, 2);
  assert.deepEqual(await connection.closed, { code: 3001, reason: "enough" });
  const { code, reason, wasClean, willReconnect } = await next<any>(socket, "close");
  assert.deepEqual([code, reason, wasClean, willReconnect, socket.readyState], [3001, "enough", true, false, 3]);
});

test("a close that the server never answers is not clean", async () => {
  const socket = open();
  const connection = await peer.next();
  await next(socket, "open");
  connection.ws.pause();
  socket.close(1000);
  connection.cut();
  const { code, wasClean } = await next<any>(socket, "close");
  assert.deepEqual([code, wasClean, socket.readyState], [1006, false, 3]);
});

test("a socket closed while it connects tells an error and an unclean 1006, after close has returned", async () => {
  const socket = open();
  const told: unknown[] = [];
  socket.close(1000);
  assert.equal(socket.readyState, 2);
  socket.onerror = ({ type }) => told.push(type);
  const { code, wasClean } = await next<any>(socket, "close");
  assert.deepEqual([...told, code, wasClean, socket.readyState], ["error", 1006, false, 3]);
});

test("who closes while the opening is told hears of no opening", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const told: string[] = [];
  socket.on("state", ({ state }) => state === "open" && socket.close());
  for (const type of ["open", "close"]) socket.addEventListener(type, () => told.push(type));
  last().accept();
  last().lose(1005);
  assert.deepEqual(told, ["close"]);
});

test("a transport that has ended is not CLOSED before its end is told", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  last().accept();
  last().readyState = 3;
  assert.equal(socket.readyState, 0);
});

test("an attempt that takes too long is an error too", async () => {
  const { WebSocket } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const told: unknown[] = [];
  socket.onerror = ({ message, source }) => told.push(message, source);
  socket.onclose = ({ code, willReconnect }) => told.push(code, willReconnect);
  clock.advance(10_000);
  assert.deepEqual(told, ["Error: no connection in time", "transport", 1006, true]);
});

test("events are the platform's, and have its members where the platform has no such class", async () => {
  const socket = open({}, ["one"]);
  const connection = await peer.next();
  const opened = await next<any>(socket, "open");
  assert.deepEqual([opened instanceof Event, opened.protocol, socket.protocol], [true, "one", "one"]);
  connection.ws.send("x");
  const message = await next<MessageEvent>(socket, "message");
  assert.deepEqual([message instanceof MessageEvent, message.data], [true, "x"]);
  assert.equal(message.origin, new URL(peer.url).origin);
  const failed = next<any>(socket, "error");
  const cut = next<any>(socket, "close");
  connection.ws.close(4000, "why");
  const { code, reason, wasClean, delay, target } = await cut;
  assert.deepEqual([code, reason, wasClean, delay, target === socket], [4000, "why", true, 500, true]);
  await peer.stop();
  clock.advance(500);
  const { error, source } = await failed;
  assert.deepEqual([error instanceof Error, source], [true, "transport"]);
  await peer.start();
});

test("what waits keeps its order and its bytes, whatever becomes of the buffers", async () => {
  const socket = open();
  const view = new Uint8Array([1, 2, 3]);
  const gone = new Uint8Array([9]).buffer;
  structuredClone(gone, { transfer: [gone] });
  const waiting = ["one", view, new DataView(view.buffer, 1, 1), new Blob(["ab"]), view.buffer, gone, "last"];
  for (const data of waiting) assert.equal(socket.send(data), true);
  assert.equal(socket.bufferedAmount, 3 + 3 + 1 + 2 + 3 + 0 + 4);
  view.fill(0);
  const box = inbox(await peer.next());
  for (const expected of ["one", [1, 2, 3], [2], [97, 98], [1, 2, 3], [], "last"]) {
    assert.deepEqual(await box.next(), expected);
  }
});

test("with json a Blob keeps its place among values, while open too", async () => {
  const socket = open({ json: true });
  const box = inbox(await peer.next());
  await next(socket, "open");
  for (const data of [{ n: 1 }, new Blob(["b"]), "text", new Blob([]), [2]]) socket.send(data);
  for (const expected of ['{"n":1}', [98], "text", [], "[2]"]) assert.deepEqual(await box.next(), expected);
});

test("binaryType is that of every connection", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  assert.equal(last().binaryType, "blob");
  socket.binaryType = "arraybuffer";
  socket.binaryType = "nothing" as BinaryType;
  assert.deepEqual([socket.binaryType, last().binaryType], ["arraybuffer", "arraybuffer"]);
  last().lose();
  clock.advance(500);
  assert.equal(last().binaryType, "arraybuffer");
});

test("what is sent once it is closed is counted and nothing else", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  assert.equal(socket.send("waits"), true);
  socket.close();
  assert.equal(socket.send("€"), false);
  assert.deepEqual([socket.bufferedAmount, last().sent], [8, []]);
});

test("memory that threads share and what has no text are refused, and nothing as well", () => {
  const socket = open({ WebSocket: TestWebSocket.fresh().WebSocket });
  const shared = new SharedArrayBuffer(1);
  for (const data of [shared, new Uint8Array(shared), Symbol("s")]) assert.throws(() => socket.send(data), TypeError);
  assert.throws(() => (socket.send as any)(), TypeError);
  assert.equal(socket.bufferedAmount, 0);
});

test("attributes and listeners are called in the order in which they came, after those of on", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const heard: string[] = [];
  socket.addEventListener("message", () => heard.push("first"));
  socket.onmessage = () => heard.push("old");
  socket.addEventListener("message", { handleEvent: () => heard.push("object") });
  socket.addEventListener("message", () => heard.push("once"), { once: true });
  socket.on("message", () => heard.push("on"));
  socket.onmessage = () => heard.push("new");
  last().accept();
  last().receive("x");
  assert.deepEqual(heard.splice(0), ["on", "first", "new", "object", "once"]);
  socket.onmessage = 5 as never;
  assert.equal(socket.onmessage, null);
  last().receive("y");
  assert.deepEqual(heard.splice(0), ["on", "first", "object"]);
});

test("an error that a listener for errors makes goes to the console", (t) => {
  const said = t.mock.method(console, "error", () => {});
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const heard: unknown[] = [];
  socket.on("error", ({ source }) => {
    heard.push(source);
    throw new Error("again");
  });
  last().onerror?.({});
  assert.deepEqual([heard, said.mock.calls.length], [["transport"], 1]);
});
