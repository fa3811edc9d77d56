import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { type Client, type ClientEvents, type ClientOptions, type ClientState, connect } from "../src/client.js";
import { AnywireError } from "../src/error.js";
import { TestClock } from "./clock.js";
import { type Connection, Peer } from "./peer.js";
import { TestWebSocket } from "./wire.js";

let peer: Peer;
let clock: TestClock;
let clients: Client[] = [];

beforeEach(async () => {
  peer = await Peer.listen();
  clock = new TestClock();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await peer.stop();
});

function start(options: ClientOptions = {}): Client {
  const client = connect(peer.url, { WebSocket, clock, random: () => 0, ...options });
  clients.push(client);
  client.on("error", () => {});
  return client;
}

function next<K extends keyof ClientEvents>(client: Client, event: K): Promise<ClientEvents[K]> {
  return new Promise((resolve) => client.once(event, (...args) => resolve(args)));
}

function until(client: Client, state: ClientState): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (client.state !== state) return;
      off();
      resolve();
    };
    const off = client.on("state", check);
    check();
  });
}

/** Cuts, waits for the back-off and returns the next connection. */
async function again(client: Client, connection: Connection): Promise<Connection> {
  const waiting = until(client, "waiting");
  connection.cut();
  await waiting;
  clock.advance(0);
  return peer.next();
}

test("a client opens, joins, and its states are told", async () => {
  const client = start();
  const states: ClientState[] = [client.state];
  client.on("state", (state) => states.push(state));
  const room = client.channel("chat:lobby", { params: { name: "ana" } });
  const joined = room.join();
  let connection = await peer.next();
  assert.equal(connection.ws.protocol, "anywire.json.1");
  assert.equal([...connection.query].length, 0);
  connection.welcome();
  const join = await connection.admit({ data: { welcome: "lobby" } });
  assert.deepEqual(join, { type: "join", ref: 1, address: "chat:lobby", params: { name: "ana" } });
  assert.deepEqual(await joined, { welcome: "lobby" });
  assert.deepEqual(await room.join(), { welcome: "lobby" });
  assert.deepEqual([room.state, client.session, client.limits.message], ["joined", "s1", 65536]);
  connection = await again(client, connection);
  connection.welcome({ resumed: true, received: 1, token: "t2" });
  await until(client, "open");
  client.close();
  assert.deepEqual(states, ["connecting", "open", "waiting", "resuming", "open", "closed"]);
});

test("a cut session goes on where it was: each side sends what the other does not have", async () => {
  const client = start();
  const room = client.channel("chat:lobby");
  void room.join();
  let connection = await peer.next();
  connection.welcome();
  await connection.admit();
  const answer = room.call("say", { text: "one" });
  const call = await connection.expect("call");
  room.send("typing");
  await connection.expect("event");
  connection = await again(client, connection);
  assert.deepEqual(Object.fromEntries(connection.query), { session: "s1", resume: "t1", received: "1" });
  room.send("offline", { n: 1 });
  // The server has the join and the call, not the event.
  connection.welcome({ resumed: true, received: 2, token: "t2" });
  assert.equal((await connection.expect("event")).event, "typing");
  assert.equal((await connection.expect("event")).event, "offline");
  connection.send({ type: "reply", ref: call.ref, data: 14 });
  assert.equal(await answer, 14);
  connection = await again(client, connection);
  assert.deepEqual(Object.fromEntries(connection.query), { session: "s1", resume: "t2", received: "2" });
});

test("where the session is gone the client joins again with its positions, and calls under way are lost", async () => {
  const client = start();
  const room = client.channel("chat:lobby", { recover: true });
  const heard: unknown[] = [];
  const told: unknown[] = [];
  room.on("said", (data, { offset }) => heard.push([data, offset]));
  room.membership.on("joined", ({ outcome }) => told.push(outcome));
  room.membership.on("recovered", () => told.push("!"));
  void room.join();
  let connection = await peer.next();
  connection.welcome();
  const position = { "chat:lobby": { offset: 12, epoch: "k3" } };
  assert.equal((await connection.admit({ positions: position })).since, undefined);
  const said = { type: "event", address: "chat:lobby", event: "said", epoch: "k3" };
  const event = (offset: number) => ({ ...said, data: offset, offset });
  connection.send(event(13));
  const lost = room.call("say", { text: "one" });
  await connection.expect("call");
  connection = await again(client, connection);
  const kept = room.call("say", { text: "two" });
  connection.welcome({ session: "s2" });
  await assert.rejects(lost, { code: "lost" });
  const join = await connection.expect("join");
  assert.deepEqual(join.since, { positions: { "chat:lobby": { offset: 13, epoch: "k3" } } });
  connection.send(
    { type: "joined", ref: join.ref, address: "chat:lobby", outcome: "recovered", positions: join.since.positions },
    event(13),
    event(14),
    event(14),
    event(15),
  );
  const call = await connection.expect("call");
  assert.deepEqual(call.data, { text: "two" });
  connection.send({ type: "reply", ref: call.ref });
  assert.equal(await kept, undefined);
  assert.deepEqual(heard, [[13, 13], [14, 14], [15, 15]]);
  assert.deepEqual(told, ["fresh", "recovered", "!"]);
});

test("what cannot be recovered is told as lost, and events of the new epoch are heard", async () => {
  const client = start();
  const room = client.channel("a", { recover: true });
  const told: unknown[] = [];
  room.membership.on("lost", (reason) => told.push(reason));
  room.on("n", (data) => told.push(data));
  void room.join();
  let connection = await peer.next();
  connection.welcome();
  await connection.admit({ positions: { a: { offset: 9, epoch: "x" } } });
  connection = await again(client, connection);
  connection.welcome({ session: "s2" });
  await connection.admit({ outcome: "lost", reason: "epoch", positions: { a: { offset: 0, epoch: "y" } } });
  connection.send({ type: "event", address: "a", event: "n", data: 1, offset: 1, epoch: "y" });
  connection.send({ type: "gap", address: "a", lost: 3 });
  const [lost] = await new Promise<[number]>((resolve) => room.membership.on("gap", (...args) => resolve(args)));
  assert.deepEqual([told, lost], [["epoch", 1], 3]);
});

test("a killed and restarted server is found again, and what was typed meanwhile arrives", async () => {
  const client = start();
  const room = client.channel("chat:lobby");
  void room.join();
  const first = await peer.next();
  first.welcome();
  await first.admit();
  await until(client, "open");
  const waiting = until(client, "waiting");
  await peer.stop();
  await waiting;
  room.send("say", { n: 1 });
  const answer = room.call("say", { n: 2 }, { timeout: 0 });
  await peer.start();
  clock.advance(0);
  const second = await peer.next();
  second.welcome({ session: "s2" });
  await second.admit();
  assert.equal((await second.expect("event")).data.n, 1);
  const call = await second.expect("call");
  second.send({ type: "reply", ref: call.ref, data: "heard" });
  assert.equal(await answer, "heard");
});

test("a server that does not have what was dropped here gets a new session", async () => {
  const client = start({ maxKept: 2 });
  const room = client.channel("a");
  void room.join();
  let connection = await peer.next();
  connection.welcome();
  await connection.admit();
  for (let n = 0; n < 5; n++) room.send("n", n);
  connection = await again(client, connection);
  const back = until(client, "waiting");
  connection.welcome({ resumed: true, received: 1 });
  await back;
  clock.advance(0);
  connection = await peer.next();
  assert.equal(connection.query.get("session"), null);
});

for (const code of [1009, 4400]) {
  test(`after close code ${code} the client begins a new session`, async () => {
    const client = start();
    const connection = await peer.next();
    connection.welcome();
    await until(client, "open");
    connection.ws.close(code);
    await until(client, "waiting");
    clock.advance(0);
    assert.equal((await peer.next()).query.get("session"), null);
  });
}

test("a client whose session goes on elsewhere stays away", async () => {
  const client = start();
  const connection = await peer.next();
  connection.welcome();
  await until(client, "open");
  connection.ws.close(4409, "replaced");
  await until(client, "closed");
  assert.deepEqual([client.closed?.code, client.closed?.text, client.closed?.data], ["closed", "replaced", { code: 4409 }]);
  assert.equal(clock.waiting, 0);
});

test("a client that replaced a connection of its own stays open", () => {
  const { WebSocket, made } = TestWebSocket.fresh();
  const client = start({ WebSocket });
  const welcome = { type: "welcome", session: "s1", token: "t1", beat: 25, received: 0, limits: {} };
  const accept = (resumed: boolean) => {
    made.at(-1)?.accept("anywire.json.1");
    made.at(-1)?.receive(JSON.stringify({ ...welcome, resumed }));
  };
  accept(false);
  for (const ms of [25_000, 5000, 0]) clock.advance(ms); // silence, a ping, the end, the next attempt
  assert.equal(made.length, 2);
  assert.match(made[1]?.url ?? "", /session=s1/);
  accept(true);
  made[0]?.lose(4409, "replaced");
  assert.equal(client.state, "open");
});

test("the client acknowledges after 64 counted messages and with its heartbeat", async () => {
  const client = start();
  const room = client.channel("a");
  void room.join();
  const connection = await peer.next();
  connection.welcome();
  await connection.admit();
  for (let n = 0; n < 64; n++) connection.send({ type: "event", address: "a", event: "n", data: n });
  assert.equal((await connection.expect("ack")).received, 64);
  connection.send({ type: "ping", echo: "e" });
  assert.equal((await connection.expect("pong")).echo, "e");
  // The server's beat is shorter than the client's own interval.
  clock.advance(25_000);
  assert.equal((await connection.expect("ack")).received, 65);
  await connection.expect("ping");
  connection.send({ type: "beat" });
  await connection.expect("beat");
});

test("a bye with a time to come back is obeyed", async () => {
  const client = start();
  const connection = await peer.next();
  connection.welcome();
  await until(client, "open");
  connection.send({ type: "bye", code: 1001, text: "restarting", retry: 7 });
  await until(client, "waiting");
  clock.advance(6999);
  assert.equal(client.state, "waiting");
  clock.advance(1);
  await peer.next();
});

test("a bye without one is final: every call, join and reader ends", async () => {
  const client = start();
  const room = client.channel("a");
  const other = client.channel("b");
  void room.join();
  const connection = await peer.next();
  connection.welcome();
  await connection.admit();
  const call = room.call("x");
  const joining = other.join();
  const reading = room[Symbol.asyncIterator]().next();
  connection.send({ type: "bye", code: 4403, text: "banned" });
  const closed = { code: "refused", text: "banned", data: { code: 4403 } };
  await assert.rejects(call, closed);
  await assert.rejects(joining, { code: "refused" });
  assert.equal((await reading).done, true);
  assert.equal(client.state, "closed");
  assert.equal(client.closed?.code, "refused");
  await assert.rejects(room.join(), closed);
  await assert.rejects(room.call("x"), closed);
  assert.throws(() => room.send("x"), closed);
  await assert.rejects(room.history(), closed);
  assert.equal((await room[Symbol.asyncIterator]().next()).done, true);
  assert.equal(clock.waiting, 0);
});

test("a client that is closed while it connects tells of no failure", () => {
  const { WebSocket, last } = TestWebSocket.fresh();
  const client = start({ WebSocket });
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  client.close();
  last().onerror?.({});
  last().lose();
  assert.deepEqual([client.state, client.closed?.code, errors], ["closed", "closed", []]);
});

test("close says bye, so that the server keeps nothing", async () => {
  const client = start();
  const connection = await peer.next();
  connection.welcome();
  await until(client, "open");
  client.close();
  assert.equal((await connection.expect("bye")).code, 1000);
  assert.equal((await connection.closed).code, 1000);
  assert.equal(client.closed?.code, "closed");
});

test("a server that never says welcome is left", async () => {
  const client = start();
  const connection = await peer.next();
  // The client answers a ping: it is open.
  connection.send({ type: "ping" });
  await connection.expect("pong");
  const waiting = until(client, "waiting");
  clock.advance(10_000);
  await waiting;
  assert.equal((await connection.closed).code, 4400);
});

test("text that is no message is a protocol error", async () => {
  const client = start();
  const connection = await peer.next();
  connection.ws.send("nonsense");
  assert.equal((await next(client, "error"))[0] instanceof AnywireError, true);
  assert.equal((await connection.closed).code, 4400);
});

test("unknown types, addresses and refs are passed over", async () => {
  const client = start();
  const room = client.channel("a");
  void room.join();
  const connection = await peer.next();
  connection.welcome({ future: 1 });
  await connection.admit();
  connection.send(
    { type: "novelty" },
    { type: "event", address: "nowhere", event: "x" },
    { type: "reply", ref: 99 },
    { type: "item", ref: 99, data: 1 },
    { type: "cancel", ref: "u99.0" },
    { type: "event", address: "__proto__", event: "x" },
    { type: "joined", ref: 99, address: "a" },
    { type: "event", address: "a", event: "x", data: 1 },
  );
  const data = await new Promise((resolve) => room.on("x", resolve));
  assert.equal(data, 1);
});

test("a refusal at the opening is why the client is closed", async () => {
  const client = start();
  const room = client.channel("a").join();
  const connection = await peer.next();
  connection.send(
    { type: "refused", code: "name_missing", text: "connect with ?name=", data: 1 },
    { type: "bye", code: 4401, text: "connect with ?name=" },
  );
  connection.ws.close(4401);
  await assert.rejects(room, { code: "name_missing", text: "connect with ?name=", data: 1 });
  assert.equal(client.closed?.code, "name_missing");
  assert.equal(clock.waiting, 0);
});

test("a ticket is fetched anew for each attempt", async () => {
  const asked: string[] = [];
  const fetchTicket = async (url: unknown, init?: { method?: string }) => {
    asked.push(`${init?.method} ${new URL(String(url)).pathname}`);
    return new Response(JSON.stringify({ ticket: `k${asked.length}` }));
  };
  const client = start({ ticket: "/api/ws-ticket", token: () => "fixed", fetch: fetchTicket as typeof fetch });
  let connection = await peer.next();
  assert.deepEqual(Object.fromEntries(connection.query), { token: "fixed", ticket: "k1" });
  connection.welcome();
  await until(client, "open");
  connection = await again(client, connection);
  assert.equal(connection.query.get("ticket"), "k2");
  assert.deepEqual(asked, ["POST /api/ws-ticket", "POST /api/ws-ticket"]);
});

test("a ticket that is refused ends the attempts, one that could not be had does not", async () => {
  let status = 503;
  const client = start({ ticket: "/t", fetch: (async () => new Response("{}", { status })) as typeof fetch });
  await until(client, "waiting");
  status = 401;
  clock.advance(0);
  await until(client, "closed");
  assert.equal(client.closed?.code, "refused");
});

test("ticket and token may be functions", async () => {
  start({ ticket: async () => "k", token: "t" });
  assert.deepEqual(Object.fromEntries((await peer.next()).query), { token: "t", ticket: "k" });
});

test("what waits is bounded, and what is refused is told", async () => {
  const client = start({ maxQueue: 2 });
  const room = client.channel("a");
  const told: unknown[] = [];
  client.on("overflow", (refused) => told.push(refused));
  assert.deepEqual([room.send("x", 1), room.send("x", 2), room.send("x", 3)], [true, true, false]);
  await assert.rejects(room.call("y", 4), { code: "busy" });
  assert.equal(room.send("z", 5, { volatile: true }), false);
  assert.deepEqual(told, [
    { address: "a", event: "x", data: 3 },
    { address: "a", event: "y", data: 4 },
  ]);
});

test("a message over the server's limit is refused here and does not cost the connection", async () => {
  const client = start();
  const room = client.channel("a");
  void room.join();
  const early = room.call("x", "y".repeat(200));
  const connection = await peer.next();
  connection.welcome({ limits: { message: 100 } });
  await connection.admit();
  await assert.rejects(early, { code: "too_large" });
  await assert.rejects(room.call("x", "y".repeat(200)), { code: "too_large" });
  const told = next(client, "error");
  room.send("x", "y".repeat(200));
  assert.equal(((await told)[0] as AnywireError).code, "too_large");
  room.send("small");
  assert.equal((await connection.expect("event")).event, "small");
});

test("a listener that throws is an error of the client, and the others are called", async () => {
  const client = start();
  const room = client.channel("a");
  void room.join();
  const connection = await peer.next();
  connection.welcome();
  await connection.admit();
  room.on("x", () => {
    throw new Error("mine");
  });
  const second = new Promise((resolve) => room.on("x", resolve));
  const told = next(client, "error");
  connection.send({ type: "event", address: "a", event: "x", data: 1 });
  assert.equal(((await told)[0] as Error).message, "mine");
  assert.equal(await second, 1);
});
