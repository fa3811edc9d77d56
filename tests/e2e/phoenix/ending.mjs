// How channels and sockets end, and how the client comes back.

import { Heard, same, within } from "../scenes.mjs";
import { answered, ask, closed, hear, join, scenario, watch } from "./scene.mjs";

/** Waits until a channel has joined so often again. */
async function again(channel, heard, count = 1) {
  const isBack = () => heard.all.length >= count && channel.state === "joined";
  await heard.when(isBack, () => `${heard.all.length} joins of ${channel.topic}, ${channel.state}`);
}

scenario("a channel that crashes says so, and the client joins it again", async (t) => {
  const channel = await t.joined(t.name(), { a: 1 });
  const before = channel.joinRef();
  const heard = watch(channel.socket, ({ topic }) => topic === channel.topic);
  const errors = new Heard("errors");
  channel.onError((reason) => errors.take(reason));
  const welcomes = hear(channel, "welcome");
  const push = channel.push("crash", {}, 600);
  await again(channel, welcomes);
  same(errors.all, [{ reason: "channel_crash" }]);
  same(heard.all[0], [before, before, channel.topic, "phx_error", { reason: "channel_crash" }]);
  same(heard.all[1][4].response, { topic: channel.topic, params: { a: 1 } });
  same(await ask(channel, "echo", { b: 2 }), ["ok", { b: 2 }]);
  same((await answered(push))[0], "timeout");
});

scenario("a channel that stops answers first, and is not joined again", async (t) => {
  const channel = await t.joined();
  const heard = watch(channel.socket);
  const closes = new Heard("closes");
  channel.onClose((payload) => closes.take(payload));
  const push = channel.push("stop", {});
  same(await answered(push), ["ok", { stopped: true }]);
  await closes.until(1);
  same([closes.all, channel.state], [[{}], "closed"]);
  same(heard.all[1], [channel.joinRef(), channel.joinRef(), channel.topic, "phx_close", {}]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await heard.until(2);
  same((await answered(channel.socket.channel(channel.topic).join()))[0], "ok");
});

scenario("disconnect_me closes each socket of the user, and they come back", async (t) => {
  const user = t.name("user");
  const [one, two] = [await t.joined(t.name(), {}, { params: { user } }), await t.joined(t.name(), {}, { params: { user } })];
  const other = await t.joined();
  const ends = [closed(one.socket), closed(two.socket)];
  const back = [hear(one, "welcome"), hear(two, "welcome")];
  one.push("disconnect_me", {});
  const codes = (await Promise.all(ends)).map(([code]) => code);
  same(codes, t.isPolling ? [3410, 3410] : [4403, 4403]);
  await Promise.all([again(one, back[0]), again(two, back[1])]);
  same(await ask(two, "echo", { a: 1 }), ["ok", { a: 1 }]);
  same(await ask(other, "echo", { b: 1 }), ["ok", { b: 1 }]);
});

scenario("a client that is cut comes back, and joins again what it had", async (t) => {
  const [socket, line] = await t.openLine();
  const channels = [socket.channel(t.name(), { a: 1 }), socket.channel(t.name(), { b: 2 })];
  const welcomes = channels.map((channel) => hear(channel, "welcome"));
  await Promise.all(channels.map((channel) => join(channel)));
  await Promise.all(welcomes.map((heard) => heard.until(1)));
  const refs = channels.map((channel) => channel.joinRef());
  const end = closed(socket);
  await line.tell("cut");
  await end;
  await line.tell("mend");
  for (const [place, channel] of channels.entries()) {
    await again(channel, welcomes[place], 2);
    same(channel.joinRef() === refs[place], false, "the same join");
    same(await ask(channel, "echo", { a: place }), ["ok", { a: place }]);
  }
});

scenario("what is pushed while a client is cut is said when it is back", async (t) => {
  const [socket, line] = await t.openLine();
  const channel = socket.channel(t.name());
  await join(channel);
  const end = closed(socket);
  await line.tell("cut");
  await end;
  const answer = ask(channel, "echo", { kept: true });
  await line.tell("mend");
  same(await answer, ["ok", { kept: true }]);
});

scenario("who disconnects is gone", async (t) => {
  const channel = await t.joined();
  await within(new Promise((resolve) => channel.socket.disconnect(resolve)), "disconnect");
  same(channel.socket.isConnected(), false);
  const other = await t.joined(channel.topic);
  same(await ask(other, "echo", { a: 1 }), ["ok", { a: 1 }]);
});

scenario("who disconnects can connect again", async (t) => {
  const channel = await t.joined();
  const welcomes = hear(channel, "welcome");
  await within(new Promise((resolve) => channel.socket.disconnect(resolve)), "disconnect");
  channel.socket.connect();
  await again(channel, welcomes);
  same(await ask(channel, "echo", { a: 1 }), ["ok", { a: 1 }]);
});
