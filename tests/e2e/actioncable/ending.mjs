// How subscriptions and connections end, and how clients come back.

import { holds, same } from "../scenes.mjs";
import { RAILS, over, scenario, silence, until } from "./scene.mjs";

/** Waits until a subscription is confirmed again, and has heard its hello again. */
async function again(room, times = 2) {
  await until(() => room.connects.all.length >= times, `${times} confirmations`);
  await until(() => room.messages.all.filter((one) => one?.hello).length >= times, `${times} hellos`);
  room.read = room.messages.all.length;
}

scenario("who unsubscribes is said to have left, and hears no more", async (t) => {
  const name = t.name();
  const [ana, bo] = [await t.room(name, { user: "ana" }), await t.room(name)];
  ana.unsubscribe();
  same(await bo.next(), [{ left: "ana" }]);
  same(await bo.ask("speak", { text: "hi" }), { from: "anonymous", text: "hi" });
  same(ana.messages.all.length, 1);
});

scenario("who unsubscribes may subscribe again", async (t) => {
  const name = t.name();
  const cable = t.cable();
  for (const _ of [1, 2, 3]) {
    const room = await cable.subscribed("RoomChannel", { room: name });
    same(await room.messages.until(1), [{ hello: "anonymous" }]);
    room.unsubscribe();
    await silence(100); // AnyCable's client takes two that follow at once for none
  }
});

scenario("who is cut off is said to have left, and the client comes back by itself", async (t) => {
  const name = t.name();
  const bo = await t.room(name);
  const [cable, line] = await t.onLine({ user: "ana" });
  const ana = await cable.subscribed("RoomChannel", { room: name });
  await ana.messages.until(1);
  await line.tell("cut");
  same(await bo.next(), [{ left: "ana" }]);
  if (t.client === "rails") await ana.disconnects.until(1);
  cable.hurry();
  await line.tell("mend");
  await again(ana);
  same(await bo.ask("speak", { text: "hi" }), { from: "anonymous", text: "hi" });
  same(await ana.next(), [{ from: "anonymous", text: "hi" }]);
  same(ana.connects.all.at(-1), { reconnected: true });
});

scenario("a remote disconnect ends every connection of a user, and they come back", async (t) => {
  const user = t.name("ana");
  const [ana, too, bo] = [await t.room(t.name(), { user }), await t.room(t.name(), { user }), await t.room()];
  ana.perform("kick_me");
  if (t.client === "rails") for (const one of [ana, too]) same(await one.disconnects.until(1), [{ willAttemptReconnect: true }]);
  for (const one of [ana, too]) one.cable.hurry();
  for (const one of [ana, too]) await again(one);
  same(await bo.ask("echo", { n: 1 }), { echo: { n: 1 } });
  same(bo.disconnects.all, []);
});

scenario("the words of a remote disconnect, a restart and an end are those of Rails", async (t) => {
  const identifier = '{"channel":"RoomChannel","room":"words"}';
  for (const [action, reason, reconnect] of [
    ["kick_me", "remote", true],
    ["restart_me", "server_restart", true],
    ["go_away", "remote", false],
  ]) {
    const { heard, say, closed } = t.socket(undefined, { user: t.name("ana") });
    await heard.until(1);
    say({ command: "subscribe", identifier });
    await heard.until(3, false);
    say({ command: "message", identifier, data: JSON.stringify({ action }) });
    same(await closed(), 4403);
    same(heard.all.at(-1), { type: "disconnect", reason, reconnect });
  }
}, RAILS);

scenario("a connection that is restarted comes back with its subscriptions", async (t) => {
  const name = t.name();
  const room = await t.room(name);
  room.perform("restart_me");
  await until(() => room.disconnects.all.length === 1, "disconnect");
  room.cable.hurry();
  await again(room);
  same(await room.ask("speak", { text: "hi" }), { from: "anonymous", text: "hi" });
});

scenario("a connection that is sent away stays away", async (t) => {
  const room = await t.room();
  room.perform("go_away");
  await over(room.cable);
  same(room.disconnects.all.length, 1);
  if (t.client === "rails") same(room.disconnects.all, [{ willAttemptReconnect: false }]);
  else same(room.cable.closes.all, ["remote"]);
});

scenario("a subscription that its server ends is rejected", async (t) => {
  const cable = t.cable();
  const log = await cable.subscribed("LogChannel", { name: t.name() });
  log.perform("leave_me");
  await log.rejections.until(1);
  same(log.messages.all.filter((one) => one.event !== "presence"), []);
  const room = await cable.subscribed("RoomChannel", { room: t.name() });
  same(await room.messages.until(1), [{ hello: "anonymous" }]);
  holds(!cable.isOver, "the connection stays");
}, RAILS);

scenario("a client that is closed says goodbye", async (t) => {
  const name = t.name();
  const [ana, bo] = [await t.room(name, { user: "ana" }), await t.room(name)];
  ana.cable.close();
  same(await bo.next(), [{ left: "ana" }]);
  await silence(100);
  holds(ana.cable.isOver, "it is closed");
});
