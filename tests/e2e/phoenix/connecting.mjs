// Who is let in, as whom, and what shows that both ends live.

import { Heard, holds, same, within } from "../scenes.mjs";
import { ask, closed, join, scenario, watch } from "./scene.mjs";

scenario("a socket opens with the transport it is told to use", async (t) => {
  const socket = await t.open();
  same([socket.connectionState(), socket.conn instanceof t.Phoenix.LongPoll], ["open", t.isPolling]);
  same(socket.vsn, "2.0.0");
});

scenario("who is refused never gets in", async (t) => {
  const socket = t.make({ params: { token: "refused" } });
  let opened = 0;
  socket.onOpen(() => opened++);
  const errors = new Heard("errors");
  socket.onError((error) => errors.take(error));
  const end = closed(socket);
  socket.connect();
  const [code, reason] = await end;
  if (t.isPolling) same([code, reason, errors.all[0]], [1008, "forbidden", 403]);
  else same([code, errors.all.length > 0], [1006, true]);
  await errors.when(() => errors.all.length >= 2, "a second try");
  same(opened, 0);
});

scenario("the user is a parameter, or nobody in particular", async (t) => {
  for (const [params, user] of [[{ user: "ana ü&=%" }, "ana ü&=%"], [{}, "anonymous"]]) {
    const socket = await t.open({ params });
    const channel = socket.channel(t.name());
    const welcome = new Promise((resolve) => channel.on("welcome", resolve));
    await join(channel);
    same(await within(welcome, "welcome"), { user });
  }
});

scenario("a token is shown beside the parameters, and stays out of the URL", async (t) => {
  for (const token of ["secret", "a.b-c_d~e", "~~?ab>", "x", "longer ".repeat(40).trim()]) {
    // What it may be in a WebSocket's subprotocol is the browser's to say: no slash of base64, no comma.
    const authToken = btoa(token).includes("/") ? "other" : token;
    const socket = await t.open({ authToken, params: { user: "not this" } });
    holds(!socket.endPointURL().includes(authToken), "it is in the URL");
    const channel = socket.channel(t.name());
    const welcome = new Promise((resolve) => channel.on("welcome", resolve));
    await join(channel);
    same(await within(welcome, "welcome"), { user: `token:${authToken}` });
    if (!t.isPolling) same(socket.conn.protocol, "phoenix");
  }
});

scenario("heartbeats are answered", async (t) => {
  const socket = await t.open({ heartbeatIntervalMs: 100 });
  const heard = watch(socket, ({ topic }) => topic === "phoenix");
  if (t.isPolling) {
    const took = await within(new Promise((resolve) => socket.ping(resolve)), "answer to a ping");
    holds(took >= 0, `${took} ms`);
  }
  await heard.until(t.isPolling ? 1 : 4, false);
  const [[joinRef, ref, topic, event, payload]] = heard.all;
  same([joinRef, topic, event, payload], [null, "phoenix", "phx_reply", { status: "ok", response: {} }]);
  holds(typeof ref === "string", "it has the heartbeat's ref");
  holds(socket.isConnected(), "it stays");
});

scenario("a socket that says nothing for long is still there", async (t) => {
  const channel = await t.joined();
  await new Promise((resolve) => setTimeout(resolve, 2500)); // two long polls have nothing to say
  same(await ask(channel, "echo", { a: 1 }), ["ok", { a: 1 }]);
});

scenario("a WebSocket that works is not given up for long polls", async (t) => {
  if (t.isPolling) return;
  const socket = await t.open({ longPollFallbackMs: 2000 });
  const channel = socket.channel(t.name());
  await join(channel);
  await within(new Promise((resolve) => socket.ping(resolve)), "answer to a ping");
  holds(!(socket.conn instanceof t.Phoenix.LongPoll), "it polls");
});

scenario("another version of the protocol is refused", async (t) => {
  const socket = t.make({ vsn: "3.0.0" });
  const end = closed(socket);
  socket.connect();
  same((await end)[0], t.isPolling ? 1008 : 1006);
});

scenario("version 1 has objects in the place of lists", async (t) => {
  if (t.isPolling) return; // the client always writes version 2 there
  const encode = ({ topic, event, payload, ref }, done) => done(JSON.stringify({ topic, event, payload, ref }));
  const raw = new Heard("messages");
  const decode = (text, done) => {
    raw.take(text);
    done(JSON.parse(text));
  };
  const socket = await t.open({ vsn: "1.0.0", encode, decode });
  const channel = socket.channel(t.name(), { a: 1 });
  same(await join(channel), { topic: channel.topic, params: { a: 1 } });
  same(await ask(channel, "echo", { b: 2 }), ["ok", { b: 2 }]);
  const shouted = new Promise((resolve) => channel.on("shout", resolve));
  same(await ask(channel, "shout", { c: 3 }), ["ok", {}]);
  same(await within(shouted, "shout"), { c: 3 });
  for (const text of raw.all) same(Object.keys(JSON.parse(text)), ["topic", "event", "payload", "ref"]);
});
