import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { RobustSocket } from "../src/socket.js";
import type { SocketEvents, SocketOptions } from "../src/types.js";
import { TestClock } from "./clock.js";
import { Peer } from "./peer.js";
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

function open(options: SocketOptions = {}, url = peer.url): RobustSocket {
  const socket = new RobustSocket(url, { WebSocket, clock, random: () => 0.5, ...options });
  sockets.push(socket);
  return socket;
}

function once<K extends keyof SocketEvents>(socket: RobustSocket, type: K): Promise<SocketEvents[K]> {
  return new Promise((resolve) => socket.once(type, resolve));
}

test("a killed and restarted server is found again, and what was sent meanwhile arrives in order", async () => {
  const socket = open({ json: true });
  socket.on("error", () => {});
  const first = await peer.next();
  await once(socket, "open");
  socket.send({ type: "say", n: 1 });
  assert.equal((await first.expect("say")).n, 1);
  const cut = once(socket, "close");
  await peer.stop();
  const { code, willReconnect, delay } = await cut;
  assert.deepEqual({ code, willReconnect, delay }, { code: 1006, willReconnect: true, delay: 500 });
  assert.equal(socket.send({ type: "say", n: 2 }), true);
  assert.equal(socket.send({ type: "say", n: 3 }), true);
  // Nobody listens yet: the next attempt fails, with a longer delay.
  const failed = once(socket, "close");
  clock.advance(500);
  assert.equal((await failed).delay, 750);
  await peer.start();
  clock.advance(750);
  const second = await peer.next();
  assert.equal((await second.expect("say")).n, 2);
  assert.equal((await second.expect("say")).n, 3);
});

test("the first connection is tried as often as later ones", async () => {
  await peer.stop();
  const socket = open();
  const errors: unknown[] = [];
  socket.on("error", ({ error }) => errors.push(error));
  await once(socket, "close");
  assert.equal(errors.length, 1);
  await peer.start();
  clock.advance(500);
  await peer.next();
});

test("a peer that does not answer a ping is cut after the time-out, and one that answers is not", async () => {
  const socket = open({ heartbeat: true, json: true });
  const heard: unknown[] = [];
  socket.on("message", ({ data }) => heard.push(data));
  const first = await peer.next();
  await once(socket, "open");
  clock.advance(30_000);
  await first.expect("ping");
  const message = once(socket, "message");
  first.send({ type: "pong", timestamp: 1 }, { type: "news" });
  await message;
  assert.deepEqual(heard, [{ type: "news" }]);
  clock.advance(30_000);
  await first.expect("ping");
  const cut = once(socket, "close");
  clock.advance(5000);
  assert.equal((await cut).code, 4410);
  assert.equal((await first.closed).code, 4410);
  clock.advance(500);
  await peer.next();
});

test("close is final in every state", async () => {
  const ends: Record<string, number> = {};
  const { WebSocket, made, last } = TestWebSocket.fresh();
  const reach: Record<string, (socket: RobustSocket) => void> = {
    idle: () => {},
    connecting: (socket) => socket.open(),
    open: (socket) => (socket.open(), last().accept()),
    waiting: (socket) => (socket.open(), last().lose()),
    closed: (socket) => socket.close(),
  };
  for (const [state, bring] of Object.entries(reach)) {
    const socket = open({ WebSocket, lazy: true });
    bring(socket);
    await Promise.resolve();
    assert.equal(socket.state, state);
    socket.on("close", ({ willReconnect }) => (ends[state] = Number(willReconnect)));
    socket.send("x");
    const count = made.length;
    socket.close(3001, "enough");
    assert.equal(ends[state], undefined, "no event before close returns");
    made.at(-1)?.lose(3001);
    await Promise.resolve();
    socket.open();
    socket.reconnect();
    clock.advance(1_000_000);
    assert.deepEqual([socket.state, made.length, clock.waiting, socket.send("y")], ["closed", count, 0, false]);
  }
  assert.deepEqual(ends, { idle: 0, connecting: 0, open: 0, waiting: 0 });
});

test("a close code that only a browser may send is refused and changes nothing", () => {
  const { WebSocket } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  for (const code of [1001, 0, 2999, 5000, Number.NaN]) {
    assert.throws(() => socket.close(code), {
      name: "InvalidAccessError",
      message: `close code ${code}; may be 1000, or 3000 to 4999`,
    });
  }
  assert.throws(() => socket.close(1000, "€".repeat(42)), { name: "SyntaxError", message: /126 bytes; may have 123/ });
  assert.equal(socket.state, "connecting");
});

test("the server is told the code of a close", async () => {
  const socket = open();
  const connection = await peer.next();
  await once(socket, "open");
  socket.close(3001, "enough");
  assert.deepEqual(await connection.closed, { code: 3001, reason: "enough" });
});

for (const code of [4401, 4403, 4409]) {
  test(`close code ${code} ends the attempts`, async () => {
    const socket = open();
    const connection = await peer.next();
    connection.ws.close(code, "no");
    const event = await once(socket, "close");
    assert.deepEqual([event.code, event.reason, event.willReconnect, socket.state], [code, "no", false, "closed"]);
    assert.equal(clock.waiting, 0);
  });
}

for (const code of [1000, 1001, 4408, 4410, 4429]) {
  test(`after close code ${code} the socket comes back`, async () => {
    const socket = open();
    (await peer.next()).ws.close(code);
    assert.equal((await once(socket, "close")).willReconnect, true);
    clock.advance(500);
    await peer.next();
  });
}

test("heartbeats are sent on our subprotocol, or where they are asked for, and nowhere else", () => {
  for (const [heartbeat, protocol, pings] of [
    [false, "", 0],
    [false, "graphql-ws", 0],
    [false, "anywire.json.1", 1],
    [true, "", 1],
  ] as const) {
    const { WebSocket, last } = TestWebSocket.fresh();
    open({ WebSocket, heartbeat });
    last().accept(protocol);
    clock.advance(30_000);
    assert.equal(last().sent.length, pings, `${heartbeat} ${protocol}`);
  }
});

test("an attempt that hangs is given up", () => {
  const { WebSocket, made } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  clock.advance(10_000);
  assert.equal(socket.state, "waiting");
  clock.advance(500);
  assert.equal(made.length, 2);
});

test("the network's return cuts the wait short, but not one that the server asked for", () => {
  const { WebSocket, made, last } = TestWebSocket.fresh();
  let wake = () => {};
  const socket = open({ WebSocket, onWake: (run) => ((wake = run), () => {}) });
  last().lose();
  wake();
  assert.equal(made.length, 2);
  socket.reconnect({ code: 1001, after: 7000 });
  wake();
  assert.equal(made.length, 2);
  clock.advance(6999);
  assert.equal(made.length, 2);
  clock.advance(1);
  assert.equal(made.length, 3);
});

test("the network's return asks an open connection whether it lives", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  let wake = () => {};
  const socket = open({ WebSocket, heartbeat: true, onWake: (run) => ((wake = run), () => {}) });
  last().accept();
  wake();
  wake();
  assert.equal(last().sent.length, 1);
  clock.advance(5000);
  assert.equal(socket.state, "waiting");
});

test("a listener that throws is told of as an error and stops no other", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const heard: unknown[] = [];
  const errors: unknown[] = [];
  socket.onmessage = ({ data }) => heard.push(`property ${data}`);
  socket.on("message", () => {
    throw new Error("listener");
  });
  socket.on("message", ({ data }) => heard.push(data));
  socket.on("error", ({ error, message, source }) => errors.push([(error as Error).message, message, source]));
  last().accept();
  last().receive("a");
  last().receive("b");
  assert.deepEqual(heard, ["a", "property a", "b", "property b"]);
  assert.deepEqual(errors, [1, 2].map(() => ["listener", "Error: listener", "listener"]));
});

test("an error that nobody listens for goes to the console", (t) => {
  const said = t.mock.method(console, "error", () => {});
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  socket.on("open", () => {
    throw new Error("unheard");
  });
  last().accept();
  assert.equal(said.mock.calls.length, 1);
});

test("listeners come and go: on, once, off, addEventListener, removeEventListener", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  const heard: string[] = [];
  const all = () => heard.push("on");
  const listener = () => heard.push("added");
  const off = socket.on("message", all);
  socket.once("message", () => heard.push("once"));
  socket.addEventListener("message", listener);
  socket.addEventListener("message", listener);
  last().accept();
  last().receive("1");
  assert.deepEqual(heard.splice(0), ["on", "once", "added"]);
  off();
  last().receive("2");
  assert.deepEqual(heard.splice(0), ["added"]);
  socket.removeEventListener("message", listener);
  socket.on("message", all);
  socket.off("message");
  last().receive("3");
  assert.deepEqual(heard, []);
});

test("with json values are sent as text and come parsed; text that is not JSON comes as it is", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket, json: true });
  const heard: unknown[] = [];
  socket.on("message", ({ data }) => heard.push(data));
  last().accept();
  const bytes = new Uint8Array([1]);
  for (const value of [{ a: 1 }, [1], null, 3, "plain", bytes]) socket.send(value);
  assert.deepEqual(last().sent, ['{"a":1}', "[1]", "null", "3", "plain", bytes]);
  for (const text of ['{"a":1}', "[1]", "null", "plain", '{"type":"pong"}']) last().receive(text);
  assert.deepEqual(heard, [{ a: 1 }, [1], null, "plain"]);
});

test("without json text is text, a pong too", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const heard: unknown[] = [];
  open({ WebSocket }).on("message", ({ data }) => heard.push(data));
  last().accept();
  last().receive('{"type":"pong"}');
  assert.deepEqual(heard, ['{"type":"pong"}']);
});

test("what is sent while the transport closes waits for the next one", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  last().accept();
  last().readyState = 2;
  assert.equal(socket.send("late"), true);
  last().lose();
  clock.advance(500);
  last().accept();
  assert.deepEqual(last().sent, ["late"]);
});

test("what waits goes out before what a listener for open sends", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const socket = open({ WebSocket });
  socket.send("first");
  socket.onopen = () => socket.send("second");
  last().accept();
  assert.deepEqual(last().sent, ["first", "second"]);
});

test("an address is made anew for each attempt, and one that cannot be made is an attempt that failed", async () => {
  const { WebSocket, made, last } = TestWebSocket.fresh();
  let count = 0;
  const socket = new RobustSocket(
    async () => {
      count += 1;
      if (count === 2) throw new Error("no ticket today");
      return `ws://test/ws?ticket=${count}`;
    },
    { WebSocket, clock, random: () => 0.5 },
  );
  const errors: unknown[] = [];
  socket.on("error", ({ error }) => errors.push((error as Error).message));
  sockets.push(socket);
  await Promise.resolve();
  assert.equal(last().url, "ws://test/ws?ticket=1");
  const failed = new Promise((resolve) => {
    socket.on("close", () => errors.length && resolve(undefined));
  });
  last().lose();
  clock.advance(500);
  await failed;
  clock.advance(750);
  await Promise.resolve();
  assert.equal(made.length, 2);
  assert.equal(socket.url, "ws://test/ws?ticket=3");
  assert.deepEqual(errors, ["no ticket today"]);
});

test("an address that comes after the close opens nothing", async () => {
  const { WebSocket, made } = TestWebSocket.fresh();
  let give = (_: string) => {};
  const socket = new RobustSocket(() => new Promise<string>((resolve) => (give = resolve)), { WebSocket, clock });
  socket.close();
  give("ws://test/ws");
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(made.length, 0);
});

test("where there is no global WebSocket the error says what to pass", () => {
  const holder = globalThis as { WebSocket?: unknown };
  const was = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  delete holder.WebSocket;
  try {
    assert.throws(() => new RobustSocket("ws://test/ws"), /pass \{ WebSocket \}/);
  } finally {
    if (was) Object.defineProperty(globalThis, "WebSocket", was);
  }
});

test("subprotocols are offered, and the chosen one is told", async () => {
  const socket = open({ protocols: ["one", "two"] });
  await peer.next();
  const { protocol } = await once(socket, "open");
  assert.deepEqual([protocol, socket.protocol], ["one", "one"]);
});
