// Who is let in, which protocol is spoken, and what a client hears of the time.

import { holds, same } from "../scenes.mjs";
import { EXTENDED, RAILS, over, scenario, silence } from "./scene.mjs";

scenario("the user is a parameter, or nobody in particular", async (t) => {
  for (const [query, user] of [[{ user: "ana ü&=%" }, "ana ü&=%"], [{}, "anonymous"]]) {
    const room = await t.room(t.name(), query);
    same(room.messages.all, [{ hello: user }]);
      same((await room.ask("whoami")).user, user);
  }
});

scenario("who is refused is told so and stays away", async (t) => {
  const cable = t.cable({ user: "refused" });
  const room = cable.subscribe("RoomChannel", { room: t.name() });
  await over(cable);
  same([room.connects.all.length, room.messages.all.length], [0, 0]);
  if (t.client !== "rails") same(cable.closes.all, ["unauthorized"]);
  const { heard, socket, closed } = t.socket(undefined, { user: "refused" });
  same(await closed(), 4401);
  same(heard.all, [{ type: "disconnect", reason: "unauthorized", reconnect: false }]);
  same(socket.protocol, "actioncable-v1-json");
});

scenario("the first protocol that is known is spoken", async (t) => {
  const [base, extended, none] = ["actioncable-v1-json", "actioncable-v1-ext-json", "actioncable-unsupported"];
  for (const [offers, chosen] of [[[base, none], base], [[extended, base], extended], [["other", none], none]]) {
    const { socket, heard, opened } = t.socket(offers);
    await opened();
    same(socket.protocol, chosen);
    const [welcome] = await heard.until(1);
    same(welcome.type, "welcome");
    same(typeof welcome.sid, chosen === extended ? "string" : "undefined");
  }
}, RAILS);

scenario("a client of Rails that is answered with no protocol gives up", async (t) => {
  const cable = t.cable();
  cable.consumer.connection.getProtocol = () => "actioncable-unsupported";
  cable.subscribe("RoomChannel", { room: t.name() });
  await over(cable);
}, RAILS);

scenario("pings come every three seconds with the time", async (t) => {
  const { heard } = t.socket();
  await heard.until(1);
  const begun = Date.now();
  await heard.when(() => heard.all.filter(({ type }) => type === "ping").length >= 1);
  const took = Date.now() - begun;
  holds(took > 2000 && took < 4500, `it took ${took} ms`);
  const { message } = heard.all.at(-1);
  holds(Number.isInteger(message) && Math.abs(message - Date.now() / 1000) < 3, `${message} is not the time`);
}, RAILS);

scenario("a client that says pong is not taken for one that breaks the rules", async (t) => {
  const cable = t.cable({}, { protocolOptions: { pongs: true } });
  const room = await cable.subscribed("RoomChannel", { room: t.name() });
  await cable.keeps.when(() => cable.keeps.all.some((time) => time !== undefined));
  await silence(50);
  same(await room.ask("echo", { a: 1 }), { echo: { a: 1 } });
}, EXTENDED);

scenario("junk ends the connection, and the client may come back", async (t) => {
  for (const junk of ["hello", "[]", '{"command":5}']) {
    const { heard, say, closed } = t.socket();
    await heard.until(1);
    say(junk);
    same(await closed(), 4400);
    same(heard.all.at(-1), { type: "disconnect", reason: "invalid_request", reconnect: true });
  }
}, RAILS);

scenario("what a server of Rails only logs is ignored", async (t) => {
  const { heard, say } = t.socket();
  const identifier = '{"channel":"RoomChannel", "room":"logs"}';
  await heard.until(1);
  say({ command: "dance" });
  say({});
  say({ command: "message", identifier, data: '{"action":"echo"}' });
  say({ command: "unsubscribe", identifier });
  say({ command: "subscribe", identifier });
  say({ command: "subscribe", identifier });
  say({ command: "message", identifier, data: '{"action":"echo","n":1}' });
  await heard.until(4, false);
  await silence();
  same(heard.all.filter(({ type }) => type !== "ping"), [
    { type: "welcome" },
    { identifier, type: "confirm_subscription" },
    { identifier, message: { hello: "anonymous" } },
    { identifier, message: { echo: { n: 1 } } },
  ]);
}, RAILS);
