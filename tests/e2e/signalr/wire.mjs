// The hub protocol on a WebSocket without the client: frames, the handshake, what is completed and what is not.

import { holds, same, within } from "../scenes.mjs";
import { HAND, PING, RECORD, once, records, scenario as played, shaken, token } from "./scene.mjs";

const call = (id, target, ...args) => ({ type: 1, invocationId: id, target, arguments: args });
const ask = (id, target, ...args) => ({ type: 4, invocationId: id, target, arguments: args });
const end = (id, result) => ({ type: 3, invocationId: id, ...(result === undefined ? {} : { result }) });

/** Waits until the socket has heard so many messages more; pings are none. */
async function next(socket, count = 1) {
  socket.read ??= 1;
  const all = await socket.records.until((socket.read += count), false);
  return all.slice(-count);
}

/** No client and no other carrier has anything to do with these. */
const scenario = (name, run) => played(name, run, once);

scenario("the handshake is answered in text for JSON, messages may be in the same frame, or split", async (t) => {
  const socket = await t.socket();
  const text = records(HAND, call("1", "Echo", 1), call("2", "Echo", 2));
  socket.send(text);
  same(await socket.records.until(3), [{}, end("1", 1), end("2", 2)]);
  holds(typeof socket.heard.all[0] === "string", "it is not text");
  const split = await t.socket();
  for (const character of text) split.send(character);
  same(await split.records.until(3), [{}, end("1", 1), end("2", 2)]);
});

scenario("the handshake is JSON for MessagePack too, in a binary frame or not; then all is binary", async (t) => {
  const socket = await t.socket();
  const hand = new TextEncoder().encode(records({ protocol: "messagepack", version: 1 }));
  socket.send(hand);
  const [answer, ping] = await socket.heard.until(2, false);
  const text = typeof answer === "string" ? answer : new TextDecoder().decode(answer);
  same(text, `{}${RECORD}`);
  same(ping, new Uint8Array([2, 0x91, PING]));
});

scenario("a handshake of another protocol or version, or none, is answered with an error and a close", async (t) => {
  for (const hand of [{ protocol: "xml", version: 1 }, { protocol: "json", version: 9 }, { hello: 1 }, call("1", "Void")]) {
    const socket = await t.socket();
    socket.send(records(hand));
    const [{ error }] = await socket.records.until(1);
    holds(error.length > 0, "it does not say why");
    await within(socket.ended, "close");
  }
});

scenario("a call with an id is completed once, one without an id never", async (t) => {
  const socket = await shaken(t);
  socket.send(records({ type: 1, target: "Echo", arguments: [1] }, { type: 1, target: "Fail", arguments: ["x"] }));
  socket.send(records({ ...call("1", "Add", 1, 2), headers: { any: "thing" }, more: 1 }, call("2", "Void")));
  const [sum, nothing] = (await next(socket, 2)).toSorted((a, b) => a.invocationId - b.invocationId);
  same([sum, nothing], [end("1", 3), end("2")]);
  socket.send(records(call("3", "Fail", "why")));
  const [failed] = await next(socket);
  same([failed.type, failed.invocationId, "result" in failed], [3, "3", false]);
  holds(failed.error.includes("why"), failed.error);
});

scenario("a stream that is cancelled is completed, and nothing follows; who cancels nothing is ignored", async (t) => {
  const socket = await shaken(t);
  socket.send(records({ type: 5, invocationId: "nobody's" }, ask("1", "Endless", t.name())));
  const [first] = await next(socket);
  same(first, { type: 2, invocationId: "1", item: 0 });
  socket.send(records({ type: 5, invocationId: "1" }));
  const isEnd = ({ type }) => type === 3;
  await socket.records.when(() => socket.records.all.some(isEnd));
  socket.send(records({ type: 5, invocationId: "1" }, call("2", "Slow", 200, 2)));
  await socket.records.when(() => socket.records.all.some(({ invocationId }) => invocationId === "2"));
  same(socket.records.all.filter(isEnd), [end("1"), end("2", 2)]);
  same(socket.records.all.slice(-2), [end("1"), end("2", 2)]);
});

scenario("a stream that is called, and a call that is streamed, are completed with an error", async (t) => {
  const socket = await shaken(t);
  socket.send(records(call("1", "Counter", 2, 0)));
  const [called] = await next(socket);
  same([called.type, called.invocationId, typeof called.error], [3, "1", "string"]);
  socket.send(records(ask("2", "Add", 1, 2)));
  const [streamed] = await next(socket);
  same([streamed.type, streamed.invocationId, typeof streamed.error], [3, "2", "string"]);
});

scenario("an upload is heard by the id of its stream, and ends with a completion", async (t) => {
  const socket = await shaken(t);
  const item = (id, item) => ({ type: 2, invocationId: id, item });
  socket.send(records({ ...call("1", "Sum"), streamIds: ["s"] }, item("s", 1), item("s", 2), end("s")));
  same(await next(socket), [end("1", 3)]);
  socket.send(records({ ...call("2", "Sum"), streamIds: ["u"] }, { ...end("u"), error: "broken" }));
  const [failed] = await next(socket);
  same([failed.type, failed.invocationId, typeof failed.error], [3, "2", "string"]);
  socket.send(records(item("nobody's", 1), end("nobody's"), call("3", "Echo", 3)));
  same(await next(socket), [end("3", 3)]);
});

scenario("a question of the server's is an invocation with an id", async (t) => {
  const socket = await shaken(t);
  socket.send(records(call("1", "AskMe", 21)));
  const [{ invocationId, ...question }] = await next(socket);
  same(question, { type: 1, target: "Question", arguments: [21] });
  socket.send(records(end(invocationId, 42)));
  same(await next(socket), [end("1", 42)]);
  socket.send(records(call("2", "AskMeBad")));
  const [bad] = await next(socket);
  socket.send(records({ ...end(bad.invocationId), error: "I will not" }));
  const [failed] = await next(socket);
  holds(failed.error.includes("I will not"), failed.error);
});

scenario("messages of a type that nobody knows are ignored, what is no message ends the connection", async (t) => {
  const socket = await shaken(t);
  socket.send(records({ type: 99, any: "thing" }, { type: PING }, call("1", "Echo", 1)));
  same(await next(socket), [end("1", 1)]);
  socket.send("no JSON" + RECORD);
  const [{ type }] = await next(socket);
  same(type, 7);
  await within(socket.ended, "close");
});

scenario("the server says a sign of life each second, and gives a silent client five", async (t) => {
  const socket = await shaken(t);
  const begun = Date.now();
  await within(socket.ended, "close", 8000);
  const took = Date.now() - begun;
  holds(took > 4500 && took < 7000, `it took ${took} ms`);
  const pings = socket.heard.all.filter((text) => text === `{"type":6}${RECORD}`);
  holds(pings.length >= 3 && pings.length <= 5, `there were ${pings.length} pings`);
});

scenario("a client that closes is gone", async (t) => {
  const socket = await shaken(t);
  socket.send(records({ type: 7 }));
  await within(socket.ended, "close");
});

scenario("what came in two connections at once is counted, told and repeated as the protocol says", async (t) => {
  const query = `?id=${encodeURIComponent(await token(t, "?negotiateVersion=1&useStatefulReconnect=true"))}`;
  const first = await shaken(t, query, { protocol: "json", version: 2 });
  first.send(records(call("1", "Echo", 1), call("2", "Echo", 2)));
  same(await next(first, 2), [end("1", 1), end("2", 2)]);
  const [ack] = await next(first);
  first.send(records({ type: 8, sequenceId: 1 }, call("3", "Void")));
  same(await next(first), [end("3")]);
  same(ack, { type: 8, sequenceId: 2 });
  // The second one takes over; it has been told of one completion, and repeats its last two calls.
  const second = await t.socket(query);
  await within(first.ended, "close of the first");
  second.send(records(call("9", "Echo", "too early")));
  second.send(records({ type: 9, sequenceId: 2 }, call("2", "Echo", 2), call("3", "Void"), call("4", "Echo", 4)));
  await second.records.when(() => second.records.all.some(({ invocationId }) => invocationId === "4"));
  const heard = second.records.all.filter(({ type }) => type !== 8);
  same(heard, [{ type: 9, sequenceId: 2 }, end("2", 2), end("3"), end("4", 4)]);
});
