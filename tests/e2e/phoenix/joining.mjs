// Channels: how they are joined, and what becomes of those that are not.

import { Heard, holds, same, within } from "../scenes.mjs";
import { answered, ask, hear, join, scenario, watch } from "./scene.mjs";

scenario("a join is answered, and what the channel says of it comes behind", async (t) => {
  const socket = await t.open({ params: { user: "ana" } });
  const heard = watch(socket);
  const channel = socket.channel(t.name(), { a: [1, null], "ü": "👋" });
  same(await join(channel), { topic: channel.topic, params: { a: [1, null], "ü": "👋" } });
  const [reply, welcome] = await heard.until(2);
  const ref = channel.joinRef();
  same(reply.slice(0, 4), [ref, ref, channel.topic, "phx_reply"]);
  same(welcome, [ref, null, channel.topic, "welcome", { user: "ana" }]);
  same(channel.state, "joined");
});

scenario("a join may have no parameters", async (t) => {
  const channel = (await t.open()).channel(t.name());
  same(await join(channel), { topic: channel.topic, params: {} });
});

scenario("a join may be refused", async (t) => {
  const socket = await t.open({ rejoinAfterMs: () => 60_000 });
  const channel = socket.channel("room:forbidden");
  same(await answered(channel.join()), ["error", { reason: "unauthorized" }]);
  same(channel.state, "errored");
});

scenario("a join that fails says so, and not why", async (t) => {
  const socket = await t.open({ rejoinAfterMs: () => 60_000 });
  const channel = socket.channel("room:crash_on_join");
  same(await answered(channel.join()), ["error", { reason: "join crashed" }]);
});

scenario("a refused join is tried again", async (t) => {
  const socket = await t.open();
  const tries = watch(socket, ({ topic }) => topic === "room:forbidden");
  socket.channel("room:forbidden").join();
  await tries.until(3, false);
  const refs = tries.all.map(([joinRef, ref]) => joinRef === ref && ref);
  same(new Set(refs).size, refs.length, "the number of joins");
});

scenario("a topic that nobody takes is unmatched", async (t) => {
  const socket = await t.open({ rejoinAfterMs: () => 60_000 });
  const heard = watch(socket);
  for (const topic of ["nowhere:1", "room", ""]) {
    const channel = socket.channel(topic);
    same(await answered(channel.join()), ["error", { reason: "unmatched topic" }]);
    same(heard.all.at(-1).slice(0, 4), [null, channel.joinRef(), topic, "phx_reply"]);
  }
});

scenario("a join that takes too long times out, and a patient one gets in", async (t) => {
  const socket = await t.open({ rejoinAfterMs: () => 60_000 });
  const hasty = socket.channel("room:slow_join");
  same((await answered(hasty.join(300)))[0], "timeout");
  same(hasty.state, "errored");
  hasty.leave();
  const patient = socket.channel("room:slow_join");
  same(await join(patient), { topic: "room:slow_join", params: {} });
  same(await ask(patient, "echo", { a: 1 }), ["ok", { a: 1 }]);
});

scenario("pushes before the answer to a join wait for it", async (t) => {
  const channel = (await t.open()).channel("room:slow_join");
  const joins = answered(channel.join());
  const pushes = [1, 2, 3].map((number) => ask(channel, "echo", { number }));
  same((await joins)[0], "ok");
  same(await Promise.all(pushes), [1, 2, 3].map((number) => ["ok", { number }]));
});

scenario("several topics on one socket are told apart", async (t) => {
  const socket = await t.open();
  const channels = await Promise.all(
    ["one", "two", "three"].map(async (name) => {
      const channel = socket.channel(t.name(`room:${name}`), { name });
      same((await join(channel)).params, { name });
      return channel;
    }),
  );
  const heard = channels.map((channel) => hear(channel, "shout"));
  await Promise.all(channels.map((channel, number) => ask(channel, "shout", { number })));
  for (const [number, one] of heard.entries()) same(await one.until(1), [{ number }]);
  await answered(channels[1].leave());
  same(await ask(channels[0], "echo", { still: "here" }), ["ok", { still: "here" }]);
});

scenario("a topic of 200 characters is one, with bytes too", async (t) => {
  const topic = t.name().padEnd(200, "ü");
  const channel = (await t.open()).channel(topic);
  const refused = await answered(channel.join());
  same([refused[0], refused[1].reason], ["error", "invalid"]); // 364 bytes
  const other = await t.joined(t.name().padEnd(200, "x"));
  same(await ask(other, "binary_bytes", Uint8Array.of(1, 2).buffer), ["ok", { bytes: [1, 2] }]);
});

scenario("a second join closes the first", async (t) => {
  const socket = await t.open();
  const topic = t.name();
  const heard = watch(socket);
  for (const ref of ["71", "72"]) {
    socket.push({ topic, event: "phx_join", payload: { ref }, ref, join_ref: ref });
    await heard.when(() => heard.all.some((one) => one[3] === "welcome" && one[0] === ref), `welcome of ${ref}`);
  }
  const told = heard.all.map(([joinRef, ref, , event]) => [joinRef, ref, event]);
  same(told, [
    ["71", "71", "phx_reply"],
    ["71", null, "welcome"],
    ["71", "71", "phx_close"],
    ["72", "72", "phx_reply"],
    ["72", null, "welcome"],
  ]);
  same(heard.all[2][4], {});
  // What was said under the first is not heard any more, the rest is.
  for (const [join_ref, ref] of [["71", "73"], ["72", "74"], [null, "75"]]) {
    socket.push({ topic, event: "echo", payload: { ref }, ref, join_ref });
  }
  await heard.until(7);
  const echoed = heard.all.slice(5).map(([joinRef, ref, , , { response }]) => [joinRef, ref, response]);
  same(echoed, [["72", "74", { ref: "74" }], ["72", "75", { ref: "75" }]]);
});

scenario("the client's own second channel of a topic takes the first one's place", async (t) => {
  const socket = await t.open();
  const topic = t.name();
  const [first, second] = [socket.channel(topic, { number: 1 }), socket.channel(topic, { number: 2 })];
  await join(first);
  const ends = new Heard("closes");
  first.onClose(() => ends.take("first"));
  same((await join(second)).params, { number: 2 });
  await ends.until(1);
  same([first.state, second.state], ["closed", "joined"]);
  same(await ask(second, "echo", { a: 1 }), ["ok", { a: 1 }]);
});

scenario("a channel is left: an answer, then nothing more", async (t) => {
  const topic = t.name();
  const [one, two] = await Promise.all([t.joined(topic), t.joined(topic)]);
  const heard = watch(one.socket);
  const shouts = hear(one, "shout");
  const closes = new Heard("closes");
  one.onClose((payload) => closes.take(payload));
  const push = one.leave();
  same(await answered(push), ["ok", {}]);
  await closes.until(1, false);
  same(one.state, "closed");
  await heard.until(2); // the client has answered itself: only now has the server, too
  await ask(two, "shout", { a: 1 });
  same(await ask(two, "echo", { b: 1 }), ["ok", { b: 1 }]);
  const joinRef = one.joinRef();
  same(heard.all, [
    [joinRef, push.ref, topic, "phx_reply", { status: "ok", response: {} }],
    [joinRef, joinRef, topic, "phx_close", {}],
  ]);
  same(shouts.all, []);
});

scenario("what is said where nobody joined is unmatched, but for a leave", async (t) => {
  const socket = await t.open();
  const topic = t.name();
  const heard = watch(socket);
  const say = (event, ref, join_ref) => socket.push({ topic, event, payload: {}, ref, join_ref });
  say("echo", "81", "80");
  say("phx_leave", "82", "80");
  say("echo", null, null);
  await heard.until(3);
  const unmatched = { status: "error", response: { reason: "unmatched topic" } };
  same(heard.all, [
    [null, "81", topic, "phx_reply", unmatched],
    ["80", "82", topic, "phx_reply", { status: "ok", response: {} }],
    [null, null, topic, "phx_reply", unmatched],
  ]);
});

scenario("a topic that was left can be joined again", async (t) => {
  const socket = await t.open();
  const topic = t.name();
  for (const number of [1, 2, 3]) {
    const channel = socket.channel(topic, { number });
    same((await join(channel)).params, { number });
    await within(answered(channel.leave()), "leave");
  }
  holds(socket.isConnected(), "it is closed");
});
