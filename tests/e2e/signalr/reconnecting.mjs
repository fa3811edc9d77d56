// Stateful reconnect: a WebSocket is cut, the client opens another one at once, and the connection is who it was.
//
// The client tries once. `snap` cuts what stands and takes what comes; `hold` before it lets that wait.

import { Heard, holds, numbers, same, within } from "../scenes.mjs";
import { closed, failure, hear, onWebSockets, scenario as played, stream, watch } from "./scene.mjs";

const SOON = [0, 50, 100, 200, 400, 800];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const scenario = (name, run) => played(name, run, onWebSockets);
const openLine = (t, options) => t.openLine({ isStateful: true, ...options });

/** The client does not say that it is cut: its buffer knows. */
async function snap(connection, line) {
  const { features } = connection.connection;
  const knows = new Promise((resolve) => {
    const told = features.disconnected;
    features.disconnected = (...args) => {
      features.disconnected = told;
      resolve();
      return told(...args);
    };
  });
  await line.tell("hold");
  await line.tell("snap");
  await within(knows, "the client's knowledge of the cut");
}

scenario("after a cut the connection is who it was, and is sent what it missed, once and in order", async (t) => {
  const [connection, line] = await openLine(t);
  const other = await t.open();
  const [group, method] = [t.name("group"), t.name("said")];
  const said = hear(connection, method);
  const end = new Heard("ends");
  connection.onclose((error) => end.take(error));
  await connection.invoke("JoinGroup", group);
  const { connectionId } = connection;
  await other.invoke("SendToGroup", group, method, "before");
  await said.until(1);
  await snap(connection, line);
  for (const number of numbers(30)) await other.invoke("SendToGroup", group, method, number);
  await other.invoke("SendToConnection", connectionId, method, "to it alone");
  await line.tell("mend");
  same(await within(connection.invoke("ConnectionId"), "id"), connectionId);
  same(connection.connectionId, connectionId);
  await other.invoke("SendToGroup", group, method, "after");
  const missed = numbers(30).map((number) => [number]);
  same(await said.until(33), [["before"], ...missed, ["to it alone"], ["after"]]);
  same(end.all, []);
});

scenario("nobody is told of a cut that heals", async (t) => {
  const watcher = await watch(t);
  const left = hear(watcher, "Left");
  const [connection, line] = await openLine(t);
  const { connectionId } = connection;
  await snap(connection, line);
  await line.tell("mend");
  await within(connection.invoke("Void"), "answer");
  holds(!left.all.some(([id]) => id === connectionId), "it has left");
  await connection.stop();
  await watcher.left(connectionId);
});

scenario("calls that were made before the cut and during it are done once each", async (t) => {
  const [connection, line] = await openLine(t);
  const [method, other] = [t.name("said"), await t.open()];
  const said = hear(other, method);
  const say = (number) => connection.invoke("SendToConnection", other.connectionId, method, number);
  const before = [connection.invoke("Slow", 300, "during"), connection.invoke("Slow", 1000, "after"), say(1)];
  await said.until(1);
  await snap(connection, line);
  const during = numbers(10).map((number) => say(number + 2));
  await sleep(500);
  await line.tell("mend");
  same((await within(Promise.all(before), "answers")).slice(0, 2), ["during", "after"]);
  await within(Promise.all(during), "answers to what was said during the cut");
  await other.invoke("Slow", 50, 0);
  same(said.all.map(([number]) => number).toSorted((a, b) => a - b), numbers(11).map((number) => number + 1));
});

scenario("a running stream goes on without a gap, in both directions", async (t) => {
  const [connection, line] = await openLine(t);
  const counter = stream(connection, "Counter", 100, 10);
  const upload = new t.signalR.Subject();
  const sum = connection.invoke("Sum", upload);
  const echoed = new t.signalR.Subject();
  const back = stream(connection, "EchoStream", echoed);
  for (const number of numbers(5)) for (const one of [upload, echoed]) one.next(number);
  await counter.items.until(10, false);
  await snap(connection, line);
  for (const number of [5, 6, 7]) for (const one of [upload, echoed]) one.next(number);
  await sleep(200);
  await line.tell("mend");
  for (const number of [8, 9]) for (const one of [upload, echoed]) one.next(number);
  for (const one of [upload, echoed]) one.complete();
  same(await counter.all(), numbers(100));
  same(await within(sum, "sum"), 45);
  same(await back.all(), numbers(10));
});

scenario("a question that was asked before the cut is answered behind it", async (t) => {
  const [connection, line] = await openLine(t);
  let answer;
  const asked = new Promise((resolve) => {
    connection.on("Question", (value) => {
      resolve();
      return new Promise((done) => (answer = () => done(value * 2)));
    });
  });
  const call = connection.invoke("AskMe", 21);
  await within(asked, "question");
  await snap(connection, line);
  answer();
  await line.tell("mend");
  same(await within(call, "answer"), 42);
});

scenario("nothing is lost or doubled through ten cuts while both sides go on speaking", async (t) => {
  const [connection, line] = await openLine(t);
  const [group, method, speaker] = [t.name("group"), t.name("said"), await t.open()];
  const said = hear(connection, method);
  await connection.invoke("JoinGroup", group);
  const { connectionId } = connection;
  let [spoken, asked, isOver] = [0, 0, false];
  const answers = [];
  const speaking = (async () => {
    for (; !isOver; await sleep(5)) await speaker.invoke("SendToGroup", group, method, spoken++); // a thousand are kept
  })();
  const asking = (async () => {
    for (; !isOver; await sleep(5)) answers.push(await connection.invoke("Echo", asked++));
  })();
  for (const _ of numbers(10)) {
    const count = said.all.length;
    await said.when(() => said.all.length > count + 10, "more");
    await line.tell("snap");
    // What was on its way can still be heard, and a client that is cut while it comes back gives up.
    same(await within(connection.invoke("Add", 1, 2), "an answer behind the cut"), 3);
  }
  isOver = true;
  await within(Promise.all([speaking, asking]), "the last answers");
  same(await said.until(spoken), numbers(spoken).map((number) => [number]));
  same(answers, numbers(asked));
  same(await connection.invoke("ConnectionId"), connectionId);
});

scenario("what waits for word that it came is let go when that comes", async (t) => {
  const [connection, line] = await openLine(t);
  const text = "x".repeat(20_000);
  // The client holds what it says back while more than 100,000 bytes have not been told to have come.
  for (const _ of numbers(20)) same((await within(connection.invoke("Echo", text), "answer")).length, text.length);
  await within(connection.send("Void"), "send");
  await line.tell("snap");
  for (const _ of numbers(20)) await within(connection.send("Echo", text), "send");
  same(await within(connection.invoke("Add", 1, 2), "answer"), 3);
});

scenario("without stateful reconnect a cut is an end", async (t) => {
  const [connection, line] = await t.openLine();
  const end = closed(connection);
  const call = failure(connection.invoke("Slow", 1000, 1));
  await line.tell("snap");
  await end;
  await call;
});

scenario("a close of the server's is one for who asked for stateful reconnect too", async (t) => {
  const connection = await t.open({ isStateful: true });
  const end = closed(connection);
  connection.send("CloseMe", "out of tea", false).catch(() => {});
  await end;
  same(connection.state, "Disconnected");
});

scenario("who may come back after a close is somebody else then", async (t) => {
  const connection = await t.open({ isStateful: true, reconnects: SOON });
  const [{ connectionId }, back] = [connection, new Heard("comings back")];
  connection.onreconnected((id) => back.take(id));
  connection.send("CloseMe", "tea break", true).catch(() => {});
  const [id] = await back.until();
  holds(id !== connectionId, "it has the same id");
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("who cannot come back where it was comes back as somebody else, if it may", async (t) => {
  const [connection, line] = await openLine(t, { reconnects: SOON });
  const [{ connectionId }, back, away] = [connection, new Heard("comings back"), new Heard("losses")];
  connection.onreconnected((id) => back.take(id));
  connection.onreconnecting((error) => away.take(error));
  await line.tell("cut");
  await away.until(1);
  await line.tell("mend");
  const [id] = await back.until();
  holds(id !== connectionId, "it has the same id");
  same(await connection.invoke("ConnectionId"), id);
});
