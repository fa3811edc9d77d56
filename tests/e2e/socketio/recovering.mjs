// Connection state recovery: a connection is lost, others go on, and the socket comes back as who it was.
//
// A line is cut so that nothing goes either way; who comes back waits until it is mended.

import { Heard, holds, numbers, plain, same } from "../scenes.mjs";
import { acked, also, ask, carriedBy, connected, disconnected, hear, scenario } from "./scene.mjs";

const bytes = (...values) => new Uint8Array(values).buffer;

/** What the client says of a connection that broke under it. */
const broken = (t) => (t.carrier === "polling" ? "transport error" : "transport close");

/** Cut the line of a socket; returns when both sides know, with the client's reason. */
async function cut(t, socket, line, watcher) {
  const room = t.name("watch");
  await Promise.all([ask(socket, "join", room), ask(watcher, "join", room)]);
  const left = new Heard("left");
  watcher.on("left", () => left.take());
  const reason = disconnected(socket);
  if (t.carrier !== "polling") await line.tell("cut");
  else {
    // Only who waits for the answer to a poll notices at once, as does only a server that has a poll to answer.
    for (let isCut = false; !isCut; ) {
      const { asked } = await line.tell("asked");
      await ask(watcher, "echo");
      ({ isCut } = await line.tell(`cut?asked=${asked}`));
    }
  }
  const why = await reason;
  await line.tell("hold");
  await left.when(() => left.all.length > 0);
  watcher.off("left");
  return why;
}

async function mend(socket, line) {
  const connects = connected(socket);
  await line.tell("mend");
  await connects;
}

scenario("after a cut the socket is who it was, and is sent what it missed, once and in order", async (t) => {
  const [room, event] = [t.name(), t.name("said")];
  const [speaker] = await t.together(1, room);
  const [socket, line] = await t.openLine();
  await ask(socket, "join", room);
  await carriedBy(socket, t.carrier);
  const { id } = socket;
  const said = hear(socket, event);
  speaker.emit("to-room", room, event, "before");
  await said.until();
  same(await cut(t, socket, line, speaker), broken(t), "the reason");
  for (const number of numbers(30)) speaker.emit("to-room", room, event, number);
  speaker.emit("to-room", t.name("other"), event, "to nobody");
  speaker.emit("to-room-except-room", room, room, event, "to nobody");
  speaker.emit("broadcast", event, "to all");
  speaker.emit("to-room", id, event, "to it alone");
  speaker.emit("to-room", room, event, bytes(1, 2), { deep: [bytes(3), "ü"] });
  await ask(speaker, "echo");
  await mend(socket, line);
  same([socket.recovered, socket.id], [true, id], "recovered and id");
  speaker.emit("to-room", room, event, "after");
  const missed = numbers(30).map((number) => [number]);
  const rest = [["to all"], ["to it alone"], [bytes(1, 2), { deep: [bytes(3), "ü"] }], ["after"]];
  same(await said.until(35), [["before"], ...missed, ...rest]);
  same(await ask(socket, "recovered"), true, "recovered, as the server says");
  holds((await ask(socket, "rooms")).includes(room), "it is not in its room");
});

scenario("what was missed is heard before the answers to what the client kept meanwhile", async (t) => {
  const room = t.name();
  const [speaker] = await t.together(1, room);
  const [socket, line] = await t.openLine();
  await ask(socket, "join", room);
  await carriedBy(socket, t.carrier);
  await cut(t, socket, line, speaker);
  const order = new Heard("things");
  for (const event of ["said", "message-back"]) socket.on(event, (number) => order.take([event, number]));
  speaker.emit("to-room", room, "said", 1);
  speaker.emit("to-room", room, "said", 2);
  await ask(speaker, "echo");
  socket.emit("message", 3);
  socket.emit("message", 4);
  const answer = ask(socket, "echo", 5);
  await mend(socket, line);
  const expected = [["said", 1], ["said", 2], ["message-back", 3], ["message-back", 4]];
  same([await order.until(4), await answer, socket.recovered], [expected, 5, true]);
});

scenario("nothing is lost or doubled while somebody goes on speaking through three cuts", async (t) => {
  const room = t.name();
  const [speaker, watcher] = await t.together(2, room);
  const [socket, line] = await t.openLine();
  await ask(socket, "join", room);
  await carriedBy(socket, t.carrier);
  const { id } = socket;
  const [said, own] = [hear(socket, "said"), hear(speaker, "said")];
  let spoken = 0;
  let isSpeaking = false;
  const speak = () => speaker.emit("to-room", room, "said", spoken++);
  speaker.on("said", () => isSpeaking && speak());
  const begin = () => {
    if (isSpeaking) return;
    isSpeaking = true;
    for (const _ of numbers(3)) speak();
  };
  const pause = async () => {
    isSpeaking = false;
    await own.when(() => own.all.length === spoken);
  };
  for (const _ of numbers(3)) {
    begin();
    const count = said.all.length;
    await said.when(() => said.all.length > count + 10);
    // A poll is soon answered while somebody speaks: see `cut`.
    if (t.carrier === "polling") await pause();
    await cut(t, socket, line, watcher);
    begin();
    await own.when(() => own.all.length > said.all.length + 10);
    await mend(socket, line);
    same([socket.recovered, socket.id], [true, id], "recovered and id");
    await carriedBy(socket, t.carrier);
  }
  await pause();
  same(await said.until(spoken), numbers(spoken).map((number) => [number]));
});

scenario("a connection that the client itself lets go is recovered as well", async (t) => {
  const room = t.name("watch");
  const [speaker] = await t.together(1, room);
  const left = hear(speaker, "left");
  const socket = await t.open("/", { reconnection: false });
  await carriedBy(socket, t.carrier);
  await ask(socket, "join", room);
  const { id } = socket;
  const said = hear(socket, "said");
  const reason = disconnected(socket);
  socket.io.engine.close();
  same(await reason, "forced close");
  await left.until();
  for (const number of numbers(5)) speaker.emit("to-room", room, "said", number);
  await ask(speaker, "echo");
  socket.connect();
  await connected(socket);
  same([socket.recovered, socket.id, await ask(socket, "rooms")], [true, id, [room]]);
  same(await said.until(5), numbers(5).map((number) => [number]));
});

scenario("each namespace of a connection is recovered for itself", async (t) => {
  const room = t.name();
  const [speaker] = await t.together(1, room);
  const [main, line] = await t.openLine();
  const chat = await also(main, "/chat");
  const gone = await also(main, "/dyn-1");
  await Promise.all([ask(main, "join", room), ask(chat, "join", room)]);
  await carriedBy(main, t.carrier);
  const ids = [main.id, chat.id];
  const [here, there] = [hear(main, "said"), hear(chat, "said")];
  const other = await also(speaker, "/chat");
  const before = gone.id;
  gone.disconnect();
  await ask(main, "echo");
  await cut(t, main, line, speaker);
  speaker.emit("to-room", room, "said", "in main");
  other.emit("to-room", room, "said", "in chat");
  await Promise.all([ask(speaker, "echo"), ask(other, "echo")]);
  gone.connect();
  await Promise.all([mend(main, line), connected(chat), connected(gone)]);
  same([main.recovered, chat.recovered, gone.recovered], [true, true, false]);
  same([main.id, chat.id, gone.id === before], [...ids, false]);
  same([await here.until(), await there.until()], [[["in main"]], [["in chat"]]]);
});

scenario("who is recovered is not asked for its token again", async (t) => {
  const [socket, line] = await t.openLine("/secret", { auth: { token: "secret" } });
  const watcher = await t.open("/secret", { auth: { token: "secret" } });
  await carriedBy(socket, t.carrier);
  const { id } = socket;
  socket.auth = { token: "wrong by now" };
  await cut(t, socket, line, watcher);
  await mend(socket, line);
  same([socket.recovered, socket.id], [true, id]);
  same(await acked(socket, "message-with-ack", "in"), ["in"]);
});

scenario("a question under way at a cut fails, and is not answered afterwards", async (t) => {
  const [socket, line] = await t.openLine();
  const watcher = await t.open();
  await carriedBy(socket, t.carrier);
  const answers = new Heard("answers");
  socket.timeout(60_000).emit("no-ack", (error) => answers.take(error?.message));
  await cut(t, socket, line, watcher);
  same(await answers.until(), ["socket has been disconnected"]);
  await mend(socket, line);
  same(await ask(socket, "echo", 1), 1);
  same(answers.all.length, 1, "the number of answers");
});

scenario("who was not there is not recovered: an offer of nonsense makes somebody new", async (t) => {
  const papers = [["nobody", "nothing"], [1, 2], [null, null], [{}, []]];
  for (const auth of [...papers.map(([pid, offset]) => ({ pid, offset })), { pid: "nobody" }, { offset: "nothing" }]) {
    const socket = await t.open("/chat", { auth });
    same([socket.recovered, await ask(socket, "recovered"), await ask(socket, "rooms")], [false, false, []]);
    socket.disconnect();
  }
});

scenario("a session whose papers come on another connection while it has one is not on both", async (t) => {
  const socket = t.make("/", { reconnection: false });
  const papers = {};
  socket.io.engine.on("data", (text) => {
    if (String(text).startsWith("0{")) papers.pid = JSON.parse(text.slice(1)).pid;
  });
  socket.onAny((...args) => (papers.offset = args.at(-1)));
  await connected(socket);
  const { id } = socket;
  await ask(socket, "join", t.name());
  socket.emit("message", 1);
  await hear(socket, "message-back").until();
  holds(typeof papers.pid === "string" && typeof papers.offset === "string", `its papers are ${plain(papers)}`);
  const reason = disconnected(socket);
  const other = await t.open("/", { auth: papers, reconnection: false });
  const isSame = other.id === id;
  same([await ask(other, "recovered"), (await ask(other, "rooms")).length], [isSame, isSame ? 1 : 0]);
  // The official server makes somebody new: it keeps papers for who is gone only.
  if (isSame) await reason;
  else same(await ask(socket, "echo", "still here"), "still here");
});
