// Who is there, as the client's Presence keeps it.

import { Heard, holds, same } from "../scenes.mjs";
import { answered, ask, closed, hear, join, scenario } from "./scene.mjs";

/** One device of a user on a topic, and what its Presence tells. */
async function device(t, topic, user, params = {}, options = {}) {
  const socket = await t.open({ params: { user }, ...options });
  const channel = socket.channel(topic, params);
  const presence = new t.Phoenix.Presence(channel);
  const [joins, leaves, syncs] = [new Heard("joins"), new Heard("leaves"), new Heard("syncs")];
  presence.onJoin((key, before, now) => joins.take([key, count(before), now.metas.map(({ status }) => status)]));
  presence.onLeave((key, left, gone) => leaves.take([key, count(left), gone.metas.map(({ status }) => status)]));
  presence.onSync(() => syncs.take(listed(presence)));
  const states = hear(channel, "presence_state");
  await join(channel);
  const found = { channel, presence, joins, leaves, syncs, states, socket };
  await sees(found, (list) => list.some(([key]) => key === user), `${user} sees itself`);
  return found;
}

const count = (presence) => presence?.metas.length ?? 0;

const listed = (presence) =>
  presence.list((key, { metas }) => [key, metas.map(({ status }) => status).sort()]).sort(([a], [b]) => (a < b ? -1 : 1));

const sees = ({ presence, syncs }, fits, what) =>
  syncs.when(() => fits(listed(presence)), () => `${what}: ${JSON.stringify(listed(presence))}`);

const seesThis = (device, expected) =>
  sees(device, (list) => JSON.stringify(list) === JSON.stringify(expected), JSON.stringify(expected));

scenario("who comes is told who is there, and those that are", async (t) => {
  const topic = t.name("presence");
  const ana = await device(t, topic, "ana", { status: "away" });
  same(ana.states.all.length, 1);
  const bo = await device(t, topic, "bo");
  for (const one of [ana, bo]) await seesThis(one, [["ana", ["away"]], ["bo", ["online"]]]);
  same(ana.joins.all, [["ana", 0, ["away"]], ["bo", 0, ["online"]]]);
  await answered(bo.channel.leave());
  await seesThis(ana, [["ana", ["away"]]]);
  same(ana.leaves.all, [["bo", 0, ["online"]]]);
});

scenario("two devices of a user are one key with two metas", async (t) => {
  const topic = t.name("presence");
  const phone = await device(t, topic, "ana", { status: "phone" });
  const desk = await device(t, topic, "ana", { status: "desk" });
  const twin = await device(t, topic, "ana", { status: "desk" }); // just like the other one
  for (const one of [phone, desk, twin]) await seesThis(one, [["ana", ["desk", "desk", "phone"]]]);
  const refs = phone.presence.list((_, { metas }) => metas.map(({ phx_ref }) => phx_ref))[0];
  same(new Set(refs).size, 3, "the number of refs");
  holds(refs.every((ref) => typeof ref === "string" && ref), "a ref is missing");
  desk.socket.disconnect();
  for (const one of [phone, twin]) await seesThis(one, [["ana", ["desk", "phone"]]]);
  phone.socket.disconnect();
  await seesThis(twin, [["ana", ["desk"]]]);
});

scenario("a change is a leave and a join in one", async (t) => {
  const topic = t.name("presence");
  const [ana, bo] = [await device(t, topic, "ana"), await device(t, topic, "bo")];
  await seesThis(bo, [["ana", ["online"]], ["bo", ["online"]]]);
  const diffs = hear(bo.channel, "presence_diff");
  const before = bo.presence.state.ana.metas[0].phx_ref;
  same(await ask(ana.channel, "status", { status: "busy" }), ["ok", {}]);
  await seesThis(bo, [["ana", ["busy"]], ["bo", ["online"]]]);
  const diff = (await diffs.until(1))[0];
  const { phx_ref } = diff.joins.ana.metas[0];
  same(diff, {
    joins: { ana: { metas: [{ status: "busy", phx_ref, phx_ref_prev: before }] } },
    leaves: { ana: { metas: [{ status: "online", phx_ref: before }] } },
  });
  holds(phx_ref !== before, "it has the old ref");
});

scenario("names that mean something to objects are names", async (t) => {
  const topic = t.name("presence");
  const names = ["__proto__", "constructor", "hasOwnProperty", "ü 👋", "toString"];
  const watcher = await device(t, topic, "watcher");
  const devices = [];
  for (const name of names) devices.push(await device(t, topic, name, { status: name }));
  const all = [...names, "watcher"].sort((a, b) => (a < b ? -1 : 1));
  await sees(watcher, (list) => list.length === 6, "all six");
  same(listed(watcher.presence).map(([key]) => key), all);
  for (const { socket } of devices) socket.disconnect();
  await seesThis(watcher, [["watcher", ["online"]]]);
  same({}.metas, undefined, "what every object has");
});

scenario("who is cut has left, and is there again when it is back", async (t) => {
  const topic = t.name("presence");
  const watcher = await device(t, topic, "watcher");
  const [cut, line] = await t.openLine({ params: { user: "cut" } });
  const channel = cut.channel(topic);
  const presence = new t.Phoenix.Presence(channel);
  const synced = new Heard("syncs");
  presence.onSync(() => synced.take(listed(presence)));
  await join(channel);
  await seesThis(watcher, [["cut", ["online"]], ["watcher", ["online"]]]);
  const ref = watcher.presence.state.cut.metas[0].phx_ref;
  const end = closed(cut);
  await line.tell("cut");
  await end; // a browser asks again by itself when it is cut only once
  await line.tell("mend");
  const isBack = ([first]) => first[0] === "cut" && first[1].length === 1 && watcher.presence.state.cut.metas[0].phx_ref !== ref;
  await sees(watcher, isBack, "it is back");
  await synced.when(() => JSON.stringify(listed(presence)) === JSON.stringify(listed(watcher.presence)), "the same list");
});

scenario("ten come at once, and everybody sees them all", async (t) => {
  const topic = t.name("presence");
  const names = Array.from({ length: 10 }, (_, number) => `u${number}`);
  const count = t.isPolling ? 4 : 10; // each takes a connection of the page's
  const devices = await Promise.all(names.slice(0, count).map((name) => device(t, topic, name)));
  const all = names.slice(0, count).map((name) => [name, ["online"]]);
  for (const one of devices) await seesThis(one, all);
});
