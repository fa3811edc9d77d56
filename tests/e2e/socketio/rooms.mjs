// Rooms: who is in them, who hears what is sent to them, and who is asked.

import { numbers, same } from "../scenes.mjs";
import { acked, also, ask, carriedBy, connected, disconnected, fence, hear, scenario } from "./scene.mjs";

const bytes = (...values) => new Uint8Array(values).buffer;
const sorted = (list) => [...list].sort();

scenario("join and leave change the rooms of a socket, which are listed in order", async (t) => {
  const socket = await t.open();
  const [a, b, c] = [t.name("a"), t.name("b"), t.name("c")];
  same(await ask(socket, "rooms"), []);
  for (const room of [c, a, b, a]) same(await ask(socket, "join", room), "ok");
  same(await ask(socket, "rooms"), [a, b, c]);
  same(await ask(socket, "leave", b), "ok");
  same(await ask(socket, "leave", b), "ok");
  same(await ask(socket, "rooms"), [a, c]);
});

scenario("count-room counts the sockets of a room in one namespace", async (t) => {
  const room = t.name("ünï");
  const [one, two, three] = await t.together(3, room);
  const chat = await also(one, "/chat");
  await ask(chat, "join", room);
  same([await ask(one, "count-room", room), await ask(chat, "count-room", room)], [3, 1]);
  await ask(two, "leave", room);
  same(await ask(three, "count-room", room), 2);
  same(await ask(three, "count-room", t.name("empty")), 0);
  same(await ask(three, "count-room", three.id), 1, "the number of sockets in the room of one socket");
});

scenario("to-room reaches all in the room, the sender too, and nobody else", async (t) => {
  const room = t.name();
  const members = await t.together(3, room);
  const outside = await t.open();
  const chat = await also(outside, "/chat");
  await ask(chat, "join", room);
  const event = t.name("event");
  const heard = members.map((socket) => hear(socket, event));
  const nothing = [hear(outside, event), hear(chat, event)];
  members[0].emit("to-room", room, event, "ü", { n: [1] }, null);
  outside.emit("to-room", room, event);
  await Promise.all(heard.map((one) => one.until(2)));
  for (const one of heard) same(sorted(one.all.map((args) => args.length)), [0, 3]);
  for (const one of heard) same(one.all.find((args) => args.length), ["ü", { n: [1] }, null]);
  await Promise.all([ask(outside, "echo"), ask(chat, "echo")]);
  same(nothing.map(({ all }) => all), [[], []], "heard outside");
});

scenario("the id of a socket is a room of its own", async (t) => {
  const [one, two] = await t.together(2, t.name());
  const said = hear(two, "said");
  one.emit("to-room", two.id, "said", "to you");
  same(await said.until(), [["to you"]]);
});

scenario("to-room-except-me leaves the sender out", async (t) => {
  const room = t.name();
  const [me, ...others] = await t.together(3, room);
  const [mine, ...theirs] = [me, ...others].map((socket) => hear(socket, "said"));
  me.emit("to-room-except-me", room, "said", 1, "two");
  await fence(me, room, me, ...others);
  same(mine.all, []);
  for (const one of theirs) same(one.all, [[1, "two"]]);
});

scenario("to-room-except-room leaves out who is in the other room", async (t) => {
  const [room, except] = [t.name(), t.name("except")];
  const members = await t.together(4, room);
  await Promise.all([ask(members[1], "join", except), ask(members[3], "join", except)]);
  const heard = members.map((socket) => hear(socket, "said"));
  members[0].emit("to-room-except-room", room, except, "said", 1);
  members[1].emit("to-room-except-room", room, except, "said", 2);
  members[1].emit("to-room-except-room", room, t.name("empty"), "said", 3);
  await Promise.all([fence(members[0], room, ...members), fence(members[1], room, ...members)]);
  same(heard.map(({ all }) => sorted(all.map(([number]) => number))), [[1, 2, 3], [3], [1, 2, 3], [3]]);
});

scenario("broadcast reaches all in the namespace but the sender", async (t) => {
  const [me, one, two] = await Promise.all([t.open(), t.open(), t.open()]);
  const chat = await also(one, "/chat");
  const event = t.name("event");
  const [mine, hers, his, elsewhere] = [me, one, two, chat].map((socket) => hear(socket, event));
  me.emit("broadcast", event, "all", bytes(1));
  same(await hers.until(), [["all", bytes(1)]]);
  same(await his.until(), [["all", bytes(1)]]);
  await Promise.all([ask(me, "echo"), ask(chat, "echo")]);
  same([mine.all, elsewhere.all], [[], []], "heard by the sender, and in another namespace");
});

scenario("binary reaches all in a room", async (t) => {
  const room = t.name();
  const members = await t.together(3, room);
  const heard = members.map((socket) => hear(socket, "said"));
  members[0].emit("to-room", room, "said", bytes(1, 2), { nested: [bytes(), "ü", bytes(3)] });
  members[0].emit("to-room", room, "said", "text");
  for (const one of heard) {
    same(await one.until(2), [[bytes(1, 2), { nested: [bytes(), "ü", bytes(3)] }], ["text"]]);
  }
});

scenario("all in a room hear what several say at once complete, and in one order", async (t) => {
  const room = t.name();
  const members = await t.together(3, room);
  const heard = members.map((socket) => hear(socket, "said"));
  for (const number of numbers(50)) {
    for (const [author, socket] of members.entries()) socket.emit("to-room", room, "said", author, number);
  }
  const [first, ...others] = await Promise.all(heard.map((one) => one.until(150)));
  for (const author of members.keys()) {
    same(first.filter(([by]) => by === author).map(([, number]) => number), numbers(50), `what ${author} said`);
  }
  for (const other of others) same(other, first, "the order");
});

scenario("ask-room gathers the answers of all in the room", async (t) => {
  const room = t.name();
  const members = await t.together(3, room);
  for (const [place, socket] of members.entries()) {
    socket.on("question", (value, answer) => answer(`${value} ${place}`));
  }
  const [error, answers] = await acked(members[0], "ask-room", room, "to");
  same([error, sorted(answers)], [null, ["to 0", "to 1", "to 2"]]);
});

scenario("ask-room of an empty room is answered with nothing", async (t) => {
  const socket = await t.open();
  same(await acked(socket, "ask-room", t.name("empty"), 1), [null, []]);
});

scenario("ask-room takes binary both ways", async (t) => {
  const room = t.name();
  const members = await t.together(2, room);
  for (const socket of members) socket.on("question", (value, answer) => answer([value, bytes(9)]));
  const answer = [bytes(1), bytes(9)];
  same(await acked(members[0], "ask-room", room, bytes(1)), [null, [answer, answer]]);
});

scenario("ask-room gives up on who does not answer, and hands over what the others said", async (t) => {
  const room = t.name();
  const [one, silent, two] = await t.together(3, room);
  one.on("question", (value, answer) => answer(`one ${value}`));
  two.on("question", (value, answer) => answer(`two ${value}`));
  const asked = hear(silent, "question", { isBare: true });
  const [error, answers] = await acked(one, "ask-room", room, "?");
  same([error, sorted(answers)], ["timeout", ["one ?", "two ?"]]);
  same((await asked.until())[0][0], "?");
});

scenario("join-room-to takes all of one room into another", async (t) => {
  const [from, to] = [t.name("from"), t.name("to")];
  const members = await t.together(3, from);
  const outside = await t.open();
  const chat = await also(outside, "/chat");
  await ask(chat, "join", from);
  same(await ask(outside, "join-room-to", from, to), "ok");
  for (const socket of members) same(await ask(socket, "rooms"), sorted([from, to]));
  same([await ask(outside, "rooms"), await ask(chat, "rooms")], [[], [from]]);
  same(await ask(outside, "count-room", to), 3);
});

scenario("kick-room ends the namespace for all in the room, and nothing else", async (t) => {
  const room = t.name();
  const [one, two] = await t.together(2, room);
  const outside = await t.open();
  const chat = await also(one, "/chat");
  await carriedBy(one, t.carrier);
  const { engine } = one.io;
  const reasons = [disconnected(one), disconnected(two)];
  outside.emit("kick-room", room);
  same(await Promise.all(reasons), ["io server disconnect", "io server disconnect"]);
  same([one.active, two.active], [false, false], "active");
  same([chat.connected, outside.connected], [true, true], "the others are connected");
  same(await ask(chat, "echo", "goes on"), "goes on");
  same(await ask(outside, "count-room", room), 0);
  one.connect();
  await connected(one);
  same([one.recovered, await ask(one, "rooms"), one.io.engine === engine], [false, [], true]);
});
