// What AnyCable's client does with its own protocol: history by position and by time, presence, whispers.

import { holds, numbers, same } from "../scenes.mjs";
import { EXTENDED, scenario, silence, until } from "./scene.mjs";

const only = (name, run) => scenario(name, run, EXTENDED);
const seconds = () => Math.floor(Date.now() / 1000);

only("what was missed during a cut is heard by position, each once and in order", async (t) => {
  const name = t.name();
  const bo = await t.cable().subscribed("LogChannel", { name });
  const [cable, line] = await t.onLine({}, { historyTimestamp: false });
  const ana = await cable.subscribed("LogChannel", { name });
  bo.send({ n: 0 });
  await ana.messages.until(1);
  await line.tell("cut");
  for (const n of [1, 2, 3]) bo.send({ n });
  await bo.messages.until(4);
  await line.tell("mend");
  await until(() => ana.messages.all.length >= 4, "what was missed");
  bo.send({ n: 4 });
  await until(() => ana.messages.all.length >= 5, "what is new");
  await silence(100);
  same(ana.messages.all.map(({ n }) => n), numbers(5));
  const offsets = ana.metas.all.map(({ offset }) => offset);
  same([...offsets].sort((a, b) => a - b), offsets);
  same(ana.restores.all, [false, true]);
});

only("a subscription with history is restored after a cut, and any other is made anew", async (t) => {
  const name = t.name();
  const [cable, line] = await t.onLine();
  const log = await cable.subscribed("LogChannel", { name });
  const room = await cable.subscribed("RoomChannel", { room: name });
  await room.messages.until(1);
  await silence(100); // whatever is told of the history when it begins
  const informed = log.informed.all.length;
  await line.tell("cut");
  await line.tell("mend");
  await until(() => log.restores.all.length === 2 && room.restores.all.length === 2, "both again");
  same([log.restores.all, log.disconnects.all.length], [[false, true], 0]);
  same([room.restores.all, room.disconnects.all.length], [[false, false], 1]);
  await until(() => log.informed.all.length > informed, "the history");
  same(log.informed.all.slice(informed), ["history_received"]);
  log.send({ n: 1 });
  await log.messages.until(1);
  same(await room.next(), [{ hello: "anonymous" }]);
  same(await room.ask("echo", { n: 1 }), { echo: { n: 1 } });
});

only("ten cuts lose nothing, and double nothing", async (t) => {
  const name = t.name();
  const bo = await t.cable().subscribed("LogChannel", { name });
  const [cable, line] = await t.onLine();
  const ana = await cable.subscribed("LogChannel", { name });
  let said = 0;
  // A hundred are kept: those of three seconds, which no cut lasts.
  const speaking = setInterval(() => bo.send({ n: said++ }), 30);
  await ana.messages.until(1, false);
  for (let cuts = 0; cuts < 10; cuts += 1) {
    await line.tell("cut");
    await silence(20 * (cuts % 3));
    await line.tell("mend");
    await until(() => ana.connects.all.length > cuts + 1, "a connection");
  }
  clearInterval(speaking);
  await until(() => ana.messages.all.length >= said, "all that was said");
  await silence(100);
  same(ana.messages.all.map(({ n }) => n), numbers(said));
  same(ana.restores.all, [false, ...Array(10).fill(true)]);
});

only("a session is gone on with by its own user, with the secret it was told", async (t) => {
  const identifier = JSON.stringify({ channel: "LogChannel", name: t.name() });
  const open = async (query) => {
    const made = t.socket(["actioncable-v1-ext-json"], query);
    const [welcome] = await made.heard.until(1, false);
    return { ...made, welcome };
  };
  const first = await open({ user: "ana" });
  const { sid } = first.welcome;
  first.say({ command: "subscribe", identifier });
  await first.heard.when(() => first.heard.all.some(({ type }) => type === "confirm_subscription"));
  for (const query of [{ user: "bo", sid }, { user: "ana", sid: `${sid}x` }, { user: "ana", sid: "nobody~s" }, { sid }]) {
    const { welcome } = await open(query);
    holds(welcome.sid !== sid && !("restored" in welcome), `goes on: ${JSON.stringify(query)}`);
  }
  const again = await open({ user: "ana", sid });
  same([again.welcome.restored, again.welcome.restored_ids], [true, [identifier]]);
  holds(again.welcome.sid !== sid, "the same secret");
  same(await first.closed(), 4409);
  // A client that has not heard the confirmation subscribes again, and hears it once.
  for (let times = 0; times < 2; times += 1) again.say({ command: "subscribe", identifier });
  again.say({ command: "history", identifier, history: { since: seconds() } });
  await again.heard.when(() => again.heard.all.some(({ type }) => type === "confirm_history"));
  same(again.heard.all.filter(({ type }) => type === "confirm_subscription").length, 1);
});

only("what was said before is heard by time", async (t) => {
  const name = t.name();
  const before = seconds() - 1;
  const bo = await t.cable().subscribed("LogChannel", { name });
  for (const n of [0, 1]) bo.send({ n });
  await bo.messages.until(2);
  const ana = await t.cable({}, { historyTimestamp: before }).subscribed("LogChannel", { name });
  await ana.messages.until(2);
  same(ana.messages.all, [{ n: 0 }, { n: 1 }]);
  const fresh = await t.cable({}, { historyTimestamp: false }).subscribed("LogChannel", { name });
  await silence(100);
  same(fresh.messages.all, []);
});

only("whether all of the history was there is told", async (t) => {
  const name = t.name();
  for (const [history, answer] of [
    [{ since: seconds() }, "confirm_history"],
    [{ streams: { [`cable-log:${name}`]: { epoch: "another", offset: 3 } } }, "reject_history"],
  ]) {
    const identifier = JSON.stringify({ channel: "LogChannel", name });
    const { heard, say } = t.socket(["actioncable-v1-ext-json"]);
    await heard.until(1);
    say({ command: "subscribe", identifier, history });
    const [, confirmed, told] = await heard.until(3, false);
    same([confirmed.type, told.type], ["confirm_subscription", answer]);
  }
});

only("a channel without history says that there is none", async (t) => {
  const { heard, say } = t.socket(["actioncable-v1-ext-json"]);
  const identifier = JSON.stringify({ channel: "RoomChannel", room: t.name() });
  await heard.until(1);
  say({ command: "subscribe", identifier, history: { since: seconds() } });
  const told = await heard.until(4, false);
  same(told.slice(1), [
    { identifier, type: "confirm_subscription" },
    { identifier, type: "reject_history" },
    { identifier, message: { hello: "anonymous" } },
  ]);
});

only("history of a live subscription comes when it is asked for", async (t) => {
  const name = t.name();
  const identifier = JSON.stringify({ channel: "LogChannel", name });
  const { heard, say } = t.socket(["actioncable-v1-ext-json"]);
  await heard.until(1);
  say({ command: "subscribe", identifier });
  await heard.when(() => heard.all.some(({ type }) => type === "confirm_subscription"));
  for (const n of [1, 2, 3]) say({ command: "message", identifier, data: JSON.stringify({ n }) });
  const messages = () => heard.all.filter(({ message }) => message?.n);
  await heard.when(() => messages().length === 3);
  const [{ epoch, offset, stream_id }] = messages();
  say({ command: "history", identifier, history: { streams: { [stream_id]: { epoch, offset } } } });
  await heard.when(() => heard.all.some(({ type }) => type === "confirm_history"));
  same(messages().map(({ message }) => message.n), [1, 2, 3, 2, 3]);
  same(messages().map((one) => one.offset - offset), [0, 1, 2, 1, 2]);
});

only("who is present is asked for, and who comes and goes is told", async (t) => {
  const name = t.name();
  const [ana, bo] = [t.cable({ user: "ana" }), t.cable({ user: "bo" })];
  const first = await ana.subscribed("LogChannel", { name });
  await first.inner.presence.join("whatever", { on: "phone" });
  await until(() => first.presences.all.some(({ type, id }) => type === "join" && id === "ana"), "ana");
  const second = await bo.subscribed("LogChannel", { name });
  same(await second.inner.presence.info(), { ana: { on: "phone" } });
  await second.inner.presence.join("whatever", { on: "desk" });
  await until(() => first.presences.all.some(({ type, id, info }) => type === "join" && id === "bo" && info.on === "desk"), "bo");
  same(await first.inner.presence.info(), { ana: { on: "phone" }, bo: { on: "desk" } });
  second.unsubscribe();
  await until(() => first.presences.all.some(({ type, id }) => type === "leave" && id === "bo"), "leave of bo");
  same(await first.inner.presence.info(), { ana: { on: "phone" } });
});

only("who takes itself off the list is a subscriber all the same", async (t) => {
  const name = t.name();
  const [ana, bo] = [t.cable({ user: "ana" }), t.cable({ user: "bo" })];
  const watcher = await bo.subscribed("LogChannel", { name });
  const log = await ana.subscribed("LogChannel", { name });
  await log.inner.presence.join("whatever", { on: "phone" });
  await until(() => watcher.presences.all.some(({ type, id }) => type === "join" && id === "ana"), "ana");
  await log.inner.presence.leave();
  await until(() => watcher.presences.all.some(({ type, id }) => type === "leave" && id === "ana"), "leave of ana");
  same(await watcher.inner.presence.info(), {});
  watcher.send({ n: 1 });
  await log.messages.until(1);
});

only("one who is there twice has left when both have", async (t) => {
  const name = t.name();
  const watcher = await t.cable({ user: "bo" }).subscribed("LogChannel", { name });
  same(await watcher.inner.presence.info(), {});
  const tabs = [];
  for (const on of ["phone", "desk"]) {
    const tab = await t.cable({ user: "ana" }).subscribed("LogChannel", { name });
    await tab.inner.presence.join("whatever", { on });
    await until(() => watcher.presences.all.some(({ info }) => info?.on === on), on);
    tabs.push(tab);
  }
  tabs[1].unsubscribe();
  await until(() => watcher.presences.all.at(-1).info?.on === "phone", "the phone again");
  same(await watcher.inner.presence.info(), { ana: { on: "phone" } });
  tabs[0].unsubscribe();
  await until(() => watcher.presences.all.at(-1).type === "leave", "the end of it");
  same(await watcher.inner.presence.info(), {});
});

only("who is back in time was present all along", async (t) => {
  const name = t.name();
  const watcher = await t.cable({ user: "bo" }).subscribed("LogChannel", { name });
  const [cable, line] = await t.onLine({ user: "ana" });
  const ana = await cable.subscribed("LogChannel", { name });
  await ana.inner.presence.join("whatever", { on: "phone" });
  const told = () => watcher.presences.all.filter(({ type }) => type !== "info").map(({ type }) => type);
  await until(() => told().length === 1, "a join");
  await line.tell("cut");
  await silence();
  await line.tell("mend");
  await until(() => ana.restores.all.at(-1), "ana again");
  await silence();
  same(told(), ["join"]);
  same(await watcher.inner.presence.info(), { ana: { on: "phone" } });
});

only("a channel without presence says so", async (t) => {
  const room = await t.room();
  let error = null;
  await room.inner.presence.info().catch((thrown) => (error = thrown.message));
  same(error, "failed to retrieve presence");
  same(await room.ask("echo", { n: 1 }), { echo: { n: 1 } });
});

only("a whisper is heard by all others", async (t) => {
  const name = t.name();
  const [ana, bo] = [await t.cable().subscribed("LogChannel", { name }), await t.cable().subscribed("LogChannel", { name })];
  await ana.inner.whisper({ typing: true });
  same(await bo.messages.until(1), [{ typing: true }]);
  same(bo.metas.all, [undefined]);
  same(ana.messages.all, []);
});
