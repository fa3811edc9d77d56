// What is said in channels, both ways.

import { holds, numbers, same } from "../scenes.mjs";
import { BYTES, answered, arrived, ask, hear, join, scenario, watch } from "./scene.mjs";

const PAYLOADS = [
  {},
  { text: "Grüße 👋🏽 \0\u2028\u2029 \"\\" },
  { a: [1, -1.5, 1e20, 1e21, 2 ** 64, null, true, [], {}], b: { c: { d: [[["deep"]]] } } },
  { __proto__x: 1, constructor: { prototype: 1 }, toString: "text" },
  { status: "ok", response: { status: "error" } },
  ["a", "list", 1],
  "text",
  7,
  true,
];

scenario("a payload comes back as it went", async (t) => {
  const channel = await t.joined();
  for (const payload of PAYLOADS) same(await ask(channel, "echo", payload), ["ok", payload]);
});

scenario("a reply has the refs of its push", async (t) => {
  const channel = await t.joined();
  const heard = watch(channel.socket, ({ event }) => event === "phx_reply");
  const push = channel.push("echo", { a: 1 });
  same(await answered(push), ["ok", { a: 1 }]);
  same(heard.all, [[channel.joinRef(), push.ref, channel.topic, "phx_reply", { status: "ok", response: { a: 1 } }]]);
});

scenario("a push may be refused, with what it was", async (t) => {
  const channel = await t.joined();
  for (const got of [{}, { a: [1] }, "text"]) {
    same(await ask(channel, "fail", got), ["error", { reason: "failed", got }]);
  }
  const [status, { reason, text }] = await ask(channel, "nothing of that name", {});
  same([status, reason, text.includes("nothing of that name")], ["error", "unknown_event", true]);
  same(await ask(channel, "echo", { still: "here" }), ["ok", { still: "here" }]);
});

scenario("ok is an answer without a response, no reply is none, and one may come later", async (t) => {
  const channel = await t.joined();
  same(await ask(channel, "ok_only", { a: 1 }), ["ok", {}]);
  const none = answered(channel.push("no_reply", {}, 400));
  same(await ask(channel, "async_reply", {}), ["ok", { later: true }]);
  same((await none)[0], "timeout");
});

scenario("300 pushes are answered, in their order", async (t) => {
  const channel = await t.joined();
  const order = [];
  for (const group of numbers(6)) {
    const answers = numbers(50).map(async (number) => {
      const payload = { number: group * 50 + number };
      same(await ask(channel, "echo", payload), ["ok", payload]);
      order.push(payload.number);
    });
    await Promise.all(answers);
  }
  same(order, numbers(300));
});

scenario("a large payload goes both ways", async (t) => {
  const channel = await t.joined();
  for (const text of ["x".repeat(300_000), "世".repeat(100_000)]) {
    same(await ask(channel, "echo", { text }), ["ok", { text }]);
  }
});

scenario("a shout is heard by all, the sender too", async (t) => {
  const topic = t.name();
  const channels = await Promise.all([t.joined(topic), t.joined(topic), t.joined(topic)]);
  const elsewhere = hear(await t.joined(), "shout");
  const heard = channels.map((channel) => hear(channel, "shout"));
  const messages = channels.map((channel) => watch(channel.socket, ({ event }) => event === "shout"));
  for (const payload of [{ a: 1 }, { "ü": [null] }, {}]) {
    same(await ask(channels[0], "shout", payload), ["ok", {}]);
  }
  for (const one of heard) same(await one.until(3), [{ a: 1 }, { "ü": [null] }, {}]);
  for (const one of messages) same(one.all[0], [null, null, topic, "shout", { a: 1 }]);
  same(elsewhere.all, []);
});

scenario("a shout to others is not heard by its sender", async (t) => {
  const topic = t.name();
  const [one, two] = await Promise.all([t.joined(topic), t.joined(topic)]);
  const [hers, his] = [hear(one, "shout"), hear(two, "shout")];
  same(await ask(one, "shout_others", { to: "others" }), ["ok", {}]);
  same(await his.until(1), [{ to: "others" }]);
  same(await ask(two, "shout_others", { to: "her" }), ["ok", {}]);
  same(await hers.until(1), [{ to: "her" }]);
});

scenario("two talk, each in one order for both", async (t) => {
  const topic = t.name();
  const channels = await Promise.all([t.joined(topic), t.joined(topic)]);
  const [hers, his] = channels.map((channel) => hear(channel, "shout"));
  for (const number of numbers(20)) {
    for (const [by, channel] of channels.entries()) channel.push("shout", { by, number });
  }
  const all = await hers.until(40);
  same(await his.until(40), all, "the order");
  for (const by of [0, 1]) same(all.filter((one) => one.by === by).map((one) => one.number), numbers(20));
});

scenario("bytes go to the server", async (t) => {
  const channel = await t.joined();
  for (const bytes of [BYTES, Uint8Array.of(), Uint8Array.of(0), Uint8Array.of(123, 125)]) {
    same(await ask(channel, "binary_bytes", bytes.slice().buffer), ["ok", { bytes: [...bytes] }]);
  }
});

scenario("bytes come back in an answer", async (t) => {
  const channel = await t.joined();
  for (const bytes of [BYTES, Uint8Array.of(), Uint8Array.of(1)]) {
    same(await ask(channel, "echo_binary", bytes.slice().buffer), ["ok", arrived(t, bytes)]);
  }
});

scenario("bytes are pushed to one and shouted to all", async (t) => {
  const topic = t.name();
  const [one, two] = await Promise.all([t.joined(topic), t.joined(topic)]);
  const [hers, his] = [hear(one, "binary"), hear(two, "binary")];
  const messages = watch(one.socket, ({ event }) => event === "binary");
  await ask(one, "push_binary", BYTES.slice().buffer);
  same(await hers.until(1), [arrived(t, BYTES)]);
  await ask(one, "shout_binary", Uint8Array.of(7, 0).buffer);
  same(await hers.until(2), [arrived(t, BYTES), arrived(t, Uint8Array.of(7, 0))]);
  same(await his.until(1), [arrived(t, Uint8Array.of(7, 0))]);
  same(messages.all.map(([joinRef, ref]) => [joinRef, ref]), [[one.joinRef(), null], [null, null]]);
});

scenario("what is no bytes is refused where bytes are wanted", async (t) => {
  const channel = await t.joined();
  const [status, { reason }] = await ask(channel, "binary_bytes", { a: 1 });
  same([status, reason], ["error", "invalid"]);
});

scenario("200 pushes at once to a slow channel are taken or refused, none is lost", async (t) => {
  const socket = await t.open();
  const channel = socket.channel(t.name());
  await join(channel);
  const answers = await Promise.all(numbers(200).map((number) => ask(channel, "echo", { number })));
  const [well, not] = ["ok", "error"].map((status) => answers.filter((one) => one[0] === status));
  same(well.length + not.length, 200);
  holds(not.every(([, { reason }]) => reason === "busy"), "refused for something else");
  holds(socket.isConnected(), "it is closed");
});
