// Namespaces: who is let in where, with what, and several on one connection.

import { holds, numbers, same } from "../scenes.mjs";
import { acked, also, ask, carriedBy, connected, disconnected, hear, refused, scenario } from "./scene.mjs";

scenario("a socket of the main namespace has an id of its own, and is told its empty auth payload", async (t) => {
  const socket = t.make();
  const auth = hear(socket, "auth");
  await connected(socket);
  same(await auth.until(), [[{}]]);
  holds(typeof socket.id === "string" && socket.id.length > 0, `the id is ${socket.id}`);
  holds(socket.id !== socket.io.engine.id, "the id of the socket gives that of the session away");
  same(socket.recovered, false, "recovered");
  same(await ask(socket, "recovered"), false, "recovered, as the server says");
});

scenario("the auth payload comes back as it went", async (t) => {
  const nested = { list: [1, null, true, { deep: "ß" }], none: null };
  const auth = { token: "Grüße 👋🏽 \" \\ \0", nested, number: -1.5 };
  const socket = t.make("/", { auth });
  same(await hear(socket, "auth").until(), [[auth]]);
});

scenario("the auth payload may be made for each connect, and is told before anything else", async (t) => {
  let count = 0;
  const socket = t.make("/chat", { auth: (give) => give({ count: ++count }) });
  const events = [];
  socket.onAny((event, first) => events.push([event, first]));
  socket.emit("message", "first");
  await hear(socket, "message-back").until();
  same(events.slice(0, 2), [["auth", { count: 1 }], ["message-back", "first"]]);
});

scenario("/chat has all handlers, for itself", async (t) => {
  const socket = await t.open("/chat");
  const main = await also(socket, "/");
  const [here, there] = [t.name(), t.name()];
  same(await ask(socket, "join", here), "ok");
  same(await ask(main, "join", there), "ok");
  same([await ask(socket, "rooms"), await ask(main, "rooms")], [[here], [there]]);
  same([await ask(socket, "count-room", there), await ask(main, "count-room", here)], [0, 0]);
  same(await acked(socket, "message-with-ack", 1, "two"), [1, "two"]);
});

scenario("/custom tells the auth payload and has no handlers", async (t) => {
  const socket = t.make("/custom", { auth: { only: "this" } });
  same(await hear(socket, "auth").until(), [[{ only: "this" }]]);
  const answer = await new Promise((resolve) => {
    socket.timeout(300).emit("message-with-ack", 1, (error) => resolve(error?.message));
  });
  same(answer, "operation has timed out");
  same(socket.connected, true, "connected");
});

scenario("/secret refuses who has no token or another one, says why, and is not asked again", async (t) => {
  for (const auth of [undefined, {}, { token: "wrong" }, { token: null }, { token: ["secret"] }]) {
    const socket = t.make("/secret", { auth });
    const error = await refused(socket);
    same([error.message, error.data], ["not authorized", { code: 401 }]);
    same([socket.connected, socket.active], [false, false], "connected and active");
  }
});

scenario("/secret lets in who has the token, to all handlers", async (t) => {
  const socket = t.make("/secret", { auth: { token: "secret" } });
  same(await hear(socket, "auth").until(), [[{ token: "secret" }]]);
  same(await acked(socket, "message-with-ack", "in"), ["in"]);
});

scenario("who was refused gets in with the token, on the connection it has", async (t) => {
  const main = await t.open();
  const socket = main.io.socket("/secret", { auth: { token: "wrong" } });
  await refused(socket);
  const { engine } = main.io;
  socket.auth = { token: "secret" };
  socket.connect();
  await connected(socket);
  same(await ask(socket, "echo", "in"), "in");
  holds(main.io.engine === engine && main.connected, "the connection was another one");
});

scenario("/dyn-<digits> says hello with its own name", async (t) => {
  const socket = t.make("/dyn-101");
  same(await hear(socket, "hello-from").until(), [["/dyn-101"]]);
  const other = socket.io.socket("/dyn-007");
  same(await hear(other, "hello-from").until(), [["/dyn-007"]]);
  holds(socket.id !== other.id, "both have one id");
});

scenario("an unknown namespace is refused, and the connection goes on", async (t) => {
  const main = await t.open();
  for (const namespace of ["/nowhere", "/dyn-", "/dyn-1a", "/x/dyn-1", "/Chat", "/chat/", "/ünbekannt"]) {
    const error = await refused(main.io.socket(namespace, { auth: { token: "secret" } }));
    same([error.message, error.data], ["Invalid namespace", undefined], namespace);
  }
  same(await ask(main, "echo", "still here"), "still here");
});

scenario("a connection may begin with a namespace that is unknown", async (t) => {
  const socket = t.make("/nowhere");
  same((await refused(socket)).message, "Invalid namespace");
  same(socket.active, false, "active");
});

scenario("several namespaces share a connection, and hear nothing of each other", async (t) => {
  const main = await t.open();
  const token = { auth: { token: "secret" } };
  const [chat, secret] = await Promise.all([also(main, "/chat"), also(main, "/secret", token)]);
  const custom = main.io.socket("/custom");
  await connected(custom);
  const all = [main, chat, secret];
  holds(all.every(({ io }) => io === main.io), "the connections are not one");
  same(new Set([...all, custom].map(({ id }) => id)).size, 4, "the number of ids");
  const heard = all.map((socket) => hear(socket, "message-back"));
  for (const number of numbers(20)) for (const socket of all) socket.emit("message", socket.nsp, number);
  for (const [place, socket] of all.entries()) {
    same(await heard[place].until(20), numbers(20).map((number) => [socket.nsp, number]));
  }
});

scenario("a namespace is left and entered again while another one on the connection stays", async (t) => {
  const main = await t.open();
  const chat = await also(main, "/chat");
  const { engine } = main.io;
  const before = chat.id;
  await ask(chat, "join", t.name());
  const reason = disconnected(chat);
  chat.disconnect();
  same(await reason, "io client disconnect");
  same([chat.id, chat.active, main.connected], [undefined, false, true]);
  // The official server ends a connection whose CONNECT comes before it is done with the DISCONNECT.
  await ask(main, "echo");
  chat.connect();
  await connected(chat);
  holds(main.io.engine === engine, "the connection was another one");
  holds(chat.id !== before, "the id is the old one");
  same([chat.recovered, await ask(chat, "rooms")], [false, []]);
});

scenario("the server knows what carries the connection", async (t) => {
  const socket = await t.open();
  await carriedBy(socket, t.carrier);
  same(await ask(socket, "transport"), t.carrier);
  same(socket.io.engine.transport.name, t.carrier, "what the client says");
});

scenario("what goes both ways while the carrier changes comes complete and in order", async (t) => {
  const room = t.name();
  const [speaker] = await t.together(1, room);
  const socket = t.make();
  const first = socket.io.engine.transport.name;
  const [back, said] = [hear(socket, "message-back"), hear(socket, "said")];
  const own = hear(speaker, "said");
  const joins = ask(socket, "join", room);
  let count = 0;
  let spoken = 0;
  const send = () => socket.emit("message", count++, "ü");
  const speak = () => speaker.emit("to-room", room, "said", spoken++);
  const enough = t.transports ? 100 : 400;
  const isOver = () => socket.io.engine.transport.name === t.carrier && count > enough;
  // One more for each that comes: some are always on their way.
  socket.on("message-back", () => isOver() || send());
  speaker.on("said", () => isOver() || speak());
  for (const _ of numbers(8)) send();
  same(await joins, "ok");
  for (const _ of numbers(8)) speak();
  await back.when(() => isOver() && back.all.length === count, () => `${back.all.length} of ${count} back`);
  same(await back.until(count), numbers(count).map((number) => [number, "ü"]), "what came back");
  await own.until(spoken);
  same(await said.until(spoken), numbers(spoken).map((number) => [number]), "what another said");
  const carriers = [first, socket.io.engine.transport.name, await ask(socket, "transport")];
  same(carriers, [t.transports?.[0] ?? "polling", t.carrier, t.carrier], "what carried it");
});

scenario("what is sent at once, from the first moment on, comes back complete and in order", async (t) => {
  const socket = t.make();
  const back = hear(socket, "message-back");
  for (const number of numbers(50)) socket.emit("message", number);
  await connected(socket);
  for (const number of numbers(150)) socket.emit("message", 50 + number);
  const answers = numbers(200).map((number) => ask(socket, "echo", number));
  same(await back.until(200), numbers(200).map((number) => [number]));
  same(await Promise.all(answers), numbers(200), "the answers");
});
