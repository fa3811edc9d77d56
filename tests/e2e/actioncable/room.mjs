// Subscriptions and the actions of RoomChannel.

import { numbers, same } from "../scenes.mjs";
import { EXTENDED, RAILS, scenario, silence } from "./scene.mjs";

scenario("a subscription is confirmed and hears what its server says then", async (t) => {
  const room = await t.room(t.name(), { user: "ana" });
  same(room.messages.all, [{ hello: "ana" }]);
  same(room.connects.all, [{ reconnected: false }]);
});

scenario("a subscription to what is forbidden, or is not there, is rejected", async (t) => {
  const cable = t.cable();
  for (const [channel, params] of [["RoomChannel", { room: "forbidden" }], ["NowhereChannel", {}]]) {
    const room = cable.subscribe(channel, params);
    await room.rejections.until(1);
    same([room.connects.all.length, room.messages.all.length], [0, 0]);
  }
  same(await (await cable.subscribed("RoomChannel", { room: t.name() })).next(0), []);
});

scenario("an action gets what stands beside it", async (t) => {
  const room = await t.room();
  for (const data of [{}, { a: 1 }, { text: "ü\u2028😀", list: [1, [2, { b: null }]], deep: { c: {} } }]) {
    same(await room.ask("echo", { ...data }), { echo: data });
  }
});

scenario("what is said is heard by everyone in the room and nobody else", async (t) => {
  const name = t.name();
  const [ana, bo, cy] = [await t.room(name, { user: "ana" }), await t.room(name), await t.room()];
  same(await ana.ask("speak", { text: "hi" }), { from: "ana", text: "hi" });
  same(await bo.next(), [{ from: "ana", text: "hi" }]);
  same(await cy.ask("echo", { n: 1 }), { echo: { n: 1 } });
});

scenario("many messages keep their order", async (t) => {
  const room = await t.room();
  for (const n of numbers(200)) room.perform("speak", { text: n });
  same((await room.next(200)).map(({ text }) => text), numbers(200));
});

scenario("data without an action is received", async (t) => {
  const room = await t.room();
  for (const data of [{ text: "hi" }, {}, { action: "" }]) {
    room.send({ ...data });
    const { action, ...rest } = data;
    same(await room.next(), [{ received: rest }]);
  }
});

scenario("the parameters of a subscription are all but its channel", async (t) => {
  const cable = t.cable({ user: "ana" });
  const room = t.name();
  const about = await cable.subscribed("RoomChannel", { room, n: 5, deep: { a: [1] } });
  await about.messages.until(1);
  const { user, params } = await about.ask("whoami");
  same([user, params.room, params.n, params.deep, params.channel], ["ana", room, 5, { a: [1] }, undefined]);
});

scenario("two subscriptions with other parameters hear one room, each by its own identifier", async (t) => {
  const cable = t.cable();
  const name = t.name();
  const both = [];
  for (const tag of [1, "zwei ü"]) both.push(await cable.subscribed("RoomChannel", { room: name, tag }));
  for (const one of both) await one.messages.until(1);
  same(await both[0].ask("speak", { text: "hi" }), { from: "anonymous", text: "hi" });
  same(await both[1].next(), [{ from: "anonymous", text: "hi" }]);
  both[0].unsubscribe();
  same(await both[1].next(), [{ left: "anonymous" }]);
  same(await both[1].ask("speak", { text: "again" }), { from: "anonymous", text: "again" });
  same(both[0].messages.all.length, 2);
});

scenario("an identifier comes back byte for byte", async (t) => {
  const { heard, say } = t.socket();
  const name = t.name();
  const spelt = [`{ "room":"${name}","channel" :"RoomChannel"}`, `{"channel":"RoomChannel","room":"${name}","x":"\\u00fc"}`];
  await heard.until(1);
  for (const identifier of spelt) say({ command: "subscribe", identifier });
  await heard.until(5, false);
  say({ command: "message", identifier: spelt[0], data: '{"action":"speak","text":"hi"}' });
  const found = await heard.until(7, false);
  same(found.slice(1).map(({ identifier }) => identifier).sort(), [...spelt, ...spelt, ...spelt].sort());
}, RAILS);

scenario("a subscription may stream from another room instead", async (t) => {
  const [from, to] = [t.name(), t.name()];
  const [switcher, left, right] = [await t.room(from), await t.room(from), await t.room(to)];
  same(await switcher.ask("switch", { room: to }), { switched: to });
  same(await left.ask("speak", { text: "old" }), { from: "anonymous", text: "old" });
  same(await right.ask("speak", { text: "new" }), { from: "anonymous", text: "new" });
  same(await switcher.next(), [{ from: "anonymous", text: "new" }]);
  same(await switcher.ask("switch", { room: from }), { switched: from });
  same(await left.ask("speak", { text: "back" }), { from: "anonymous", text: "back" });
  same(await switcher.next(), [{ from: "anonymous", text: "back" }]);
});

scenario("a subscription streams from two rooms at once, and stops one and keeps the other", async (t) => {
  const [first, second] = [t.name(), t.name()];
  const [both, left, right] = [await t.room(first), await t.room(first), await t.room(second)];
  same(await both.ask("stream", { room: second }), { streaming: second });
  for (const [one, text] of [[left, "left"], [right, "right"], [left, "left again"]]) {
    same(await one.ask("speak", { text }), { from: "anonymous", text });
    same(await both.next(), [{ from: "anonymous", text }]);
  }
  same(await both.ask("stop_stream", { room: first }), { stopped: first });
  same(await left.ask("speak", { text: "unheard" }), { from: "anonymous", text: "unheard" });
  same(await right.ask("speak", { text: "heard" }), { from: "anonymous", text: "heard" });
  same(await both.next(), [{ from: "anonymous", text: "heard" }]);
  same(await both.ask("stop_stream", { room: first }), { stopped: first });
  same(both.rejections.all, []);
});

scenario("a channel in a module is one, by the name that Rails gives it", async (t) => {
  const room = t.name();
  const [ana, bo, cy] = [t.cable(), t.cable(), t.cable()];
  const heard = [];
  for (const cable of [ana, bo]) heard.push(await cable.subscribed("Chats::WebRoomChannel", { room }));
  heard.push(await cy.subscribed("chats:web_room", { room }));
  heard[0].send({ text: "hi" });
  for (const one of heard) same(await one.messages.until(1), [{ room, said: { text: "hi" } }]);
  for (const channel of ["WebRoomChannel", "Chats::RoomChannel", "Chats::Web::RoomChannel"]) {
    await cy.subscribe(channel, { room }).rejections.until(1);
  }
});

scenario("an action that raises leaves the subscription alive and is told nobody", async (t) => {
  const room = await t.room();
  room.perform("boom");
  same(await room.ask("echo", { n: 1 }), { echo: { n: 1 } });
  same(room.disconnects.all, []);
});

scenario("actions that are not there, and callbacks as actions, are ignored", async (t) => {
  const room = await t.room();
  for (const action of ["nowhere", "subscribed", "unsubscribed", "stream_from"]) room.perform(action, { a: 1 });
  same(await room.ask("echo", { n: 1 }), { echo: { n: 1 } });
  same(room.disconnects.all, []);
});

scenario("a refusal of the application is told as an error", async (t) => {
  const log = await t.cable().subscribed("LogChannel", { name: t.name() });
  log.read = 0;
  const data = { event: "refuse", code: "no_thanks", text: "not today", data: { n: 1 } };
  const heard = new Promise((resolve) => log.messages.when(() => log.messages.all.some((one) => one?.event === "error")).then(resolve));
  log.perform("refuse", { n: 1 });
  await heard;
  same(log.messages.all.find(({ event }) => event === "error"), { event: "error", data });
});

scenario("a room of one user's own is heard by each of their clients under its identifier", async (t) => {
  const user = t.name("ana");
  const [ana, again, bo] = [t.cable({ user }), t.cable({ user }), t.cable({ user: t.name("bo") })];
  const heard = [await ana.subscribed("NotesChannel", { tab: 1 }), await again.subscribed("NotesChannel", { tab: 2 })];
  const other = await bo.subscribed("NotesChannel");
  heard[0].send({ note: 1 });
  for (const one of heard) same(await one.messages.until(1), [{ note: 1 }]);
  await silence(100);
  same(other.messages.all, []);
});

scenario("as many subscriptions as a client likes go over one connection", async (t) => {
  const cable = t.cable();
  const rooms = await Promise.all(numbers(50).map((n) => cable.subscribed("RoomChannel", { room: t.name(), n })));
  for (const room of rooms) await room.messages.until(1);
  const asked = rooms.map((room, n) => room.ask("echo", { n }));
  same(await Promise.all(asked), numbers(50).map((n) => ({ echo: { n } })));
});

scenario("more subscriptions at once than a server takes are confirmed in the end", async (t) => {
  const cable = t.cable();
  const rooms = numbers(120).map((n) => cable.subscribe("RoomChannel", { room: t.name(), n }));
  for (const room of rooms) await room.connects.until(1);
  same(rooms.filter(({ rejections }) => rejections.all.length), []);
}, RAILS);

scenario("a message of a publication says where it stands, one for this client alone does not", async (t) => {
  const log = await t.cable().subscribed("LogChannel", { name: t.name() });
  for (const n of [1, 2]) log.send({ n });
  await log.messages.until(2);
  const [first, second] = log.metas.all;
  same([second.offset - first.offset, second.epoch, second.stream], [1, first.epoch, first.stream]);
  const room = await t.room();
  same(room.metas.all, [undefined]);
}, EXTENDED);
