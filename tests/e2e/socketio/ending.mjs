// Ends: by either side, of a namespace or of all, what the client makes of them, and what others are told.

import { holds, same } from "../scenes.mjs";
import { also, ask, carriedBy, connected, disconnected, hear, scenario } from "./scene.mjs";

scenario("the client leaves and comes back on the same manager, as somebody new", async (t) => {
  const socket = await t.open();
  const before = socket.id;
  await ask(socket, "join", t.name());
  const reason = disconnected(socket);
  socket.disconnect();
  same(await reason, "io client disconnect");
  same([socket.connected, socket.active, socket.id], [false, false, undefined]);
  const answer = ask(socket, "echo", "kept for later");
  socket.connect();
  await connected(socket);
  same(await answer, "kept for later");
  holds(socket.id !== before, "the id is the old one");
  same([socket.recovered, await ask(socket, "recovered"), await ask(socket, "rooms")], [false, false, []]);
});

scenario("a client leaves while its connection is being made", async (t) => {
  const socket = t.make();
  socket.disconnect();
  same(socket.active, false, "active");
  socket.connect();
  await connected(socket);
  same(await ask(socket, "echo", "in"), "in");
});

scenario("disconnect-me ends the namespace; the client stays away until it is told to come back", async (t) => {
  const socket = await t.open();
  const chat = await also(socket, "/chat");
  const before = socket.id;
  const reason = disconnected(socket);
  socket.emit("disconnect-me");
  same(await reason, "io server disconnect");
  same([socket.active, chat.connected], [false, true]);
  same(await ask(chat, "echo", "goes on"), "goes on");
  socket.connect();
  await connected(socket);
  holds(socket.id !== before, "the id is the old one");
  same([socket.recovered, await ask(socket, "recovered")], [false, false]);
});

scenario("disconnect-me of the only namespace leaves the client without a connection", async (t) => {
  const socket = await t.open("/chat");
  const reason = disconnected(socket);
  socket.emit("disconnect-me");
  same(await reason, "io server disconnect");
  same([socket.active, socket.io.engine.readyState !== "open"], [false, true]);
  socket.connect();
  await connected(socket);
  same(await ask(socket, "echo", "back"), "back");
});

scenario("close-me ends every namespace of the connection, and the client stays away", async (t) => {
  const socket = await t.open();
  const chat = await also(socket, "/chat");
  await carriedBy(socket, t.carrier);
  await ask(socket, "echo");
  const { engine } = socket.io;
  const reasons = [disconnected(socket), disconnected(chat)];
  const closes = new Promise((resolve) => engine.once("close", resolve));
  socket.emit("close-me");
  same(await Promise.all(reasons), ["io server disconnect", "io server disconnect"]);
  await closes;
  same([socket.active, chat.active], [false, false], "active");
  socket.connect();
  chat.connect();
  await Promise.all([connected(socket), connected(chat)]);
  same([socket.recovered, chat.recovered, socket.io.engine === engine], [false, false, false]);
});

/** Somebody in a room that is told who leaves it. */
async function watcher(t, room, namespace) {
  const socket = await t.open(namespace);
  await ask(socket, "join", room);
  return [socket, hear(socket, "left")];
}

const WAYS = {
  "by its own wish": (socket) => socket.disconnect(),
  "because the server ends its namespace": (socket) => socket.emit("disconnect-me"),
  "because the server ends its connection": (socket) => socket.emit("close-me"),
  "with its connection": (socket) => socket.io.engine.close(),
};

for (const [way, leave] of Object.entries(WAYS)) {
  scenario(`others in watched rooms are told the name of who leaves ${way}`, async (t) => {
    const [watched, second, plain] = [t.name("watch"), t.name("watch"), t.name("room")];
    const socket = await t.open("/", { reconnection: false });
    const [[one, left], [, again], [other, nothing], [, elsewhere]] = await Promise.all([
      watcher(t, watched),
      watcher(t, second),
      watcher(t, plain),
      watcher(t, watched, "/chat"),
    ]);
    same(await ask(socket, "name", "Ænne"), "ok");
    const own = hear(socket, "left");
    for (const room of [watched, second, plain]) await ask(socket, "join", room);
    leave(socket);
    same(await left.until(), [["Ænne"]]);
    same(await again.until(), [["Ænne"]]);
    same(await ask(one, "count-room", watched), 1);
    same(await ask(other, "count-room", plain), 1);
    same([nothing.all, own.all, elsewhere.all], [[], [], []], "heard where nothing is to be heard");
  });
}

scenario("who leaves without a name is told as null, and a room that was left is not told", async (t) => {
  const [stayed, left] = [t.name("watch"), t.name("watch")];
  const socket = await t.open();
  const [[, told], [other, nothing]] = await Promise.all([watcher(t, stayed), watcher(t, left)]);
  for (const room of [stayed, left]) await ask(socket, "join", room);
  await ask(socket, "leave", left);
  socket.disconnect();
  same(await told.until(), [[null]]);
  await ask(other, "echo");
  same(nothing.all, []);
});

scenario("the one name of a socket is the last it gave, and each namespace has its own", async (t) => {
  const room = t.name("watch");
  const [, left] = await watcher(t, room, "/chat");
  const main = await t.open();
  const chat = await also(main, "/chat");
  await ask(main, "name", "main");
  await ask(chat, "name", "first");
  await ask(chat, "name", ["second"]);
  await ask(chat, "join", room);
  main.io.disconnect();
  same(await left.until(), [[["second"]]]);
});
