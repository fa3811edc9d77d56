// Whom the server calls: groups, connections, users, all, and all but one.

import { same } from "../scenes.mjs";
import { fence, hear, scenario, watch } from "./scene.mjs";

scenario("who is in a group hears what is sent to it, until it leaves", async (t) => {
  const [one, two, three] = await t.together(3);
  const [group, method] = [t.name("group"), t.name("said")];
  const heard = [one, two, three].map((connection) => hear(connection, method));
  for (const connection of [one, two]) await connection.invoke("JoinGroup", group);
  await three.invoke("SendToGroup", group, method, { to: ["both"] });
  await two.invoke("LeaveGroup", group);
  await three.invoke("SendToGroup", group, method, "to one");
  await three.invoke("SendToGroup", t.name("empty"), method, "to nobody");
  await fence(three, one, two, three);
  same(heard.map(({ all }) => all), [[[{ to: ["both"] }], ["to one"]], [[{ to: ["both"] }]], []]);
});

scenario("a group's others are all in it but who sends", async (t) => {
  const [one, two, three] = await t.together(3);
  const [group, method] = [t.name("group"), t.name("said")];
  const heard = [one, two, three].map((connection) => hear(connection, method));
  for (const connection of [one, two]) await connection.invoke("JoinGroup", group);
  await one.invoke("SendToOthersInGroup", group, method, 1);
  await three.invoke("SendToOthersInGroup", group, method, 2);
  await fence(three, one, two, three);
  same(heard.map(({ all }) => all), [[[2]], [[1], [2]], []]);
});

scenario("a group of the same name in another hub is another one", async (t) => {
  const [one, two] = await Promise.all([t.open(), t.open({ path: "/hub2" })]);
  const [group, method] = [t.name("group"), t.name("said")];
  const heard = [one, two].map((connection) => hear(connection, method));
  for (const connection of [one, two]) await connection.invoke("JoinGroup", group);
  // A leak would be heard before what follows it in the same room.
  for (const [connection, said] of [[one, "first"], [two, "second"], [one, "third"], [two, "fourth"]]) {
    await connection.invoke("SendToGroup", group, method, said);
  }
  same(await Promise.all(heard.map((each) => each.until(2))), [[["first"], ["third"]], [["second"], ["fourth"]]]);
});

scenario("a connection is called by its id, and so is the caller itself", async (t) => {
  const [one, two] = await t.together(2);
  const method = t.name("said");
  const heard = [one, two].map((connection) => hear(connection, method));
  await one.invoke("SendToConnection", two.connectionId, method, "hi");
  await one.invoke("SendToConnection", one.connectionId, method, "me");
  await one.invoke("SendToConnection", "nobody's", method, "lost");
  await fence(one, one, two);
  same(heard.map(({ all }) => all), [[["me"]], [["hi"]]]);
});

scenario("a user is called on all connections", async (t) => {
  const [user, method] = [t.name("user"), t.name("said")];
  const [one, two] = await t.together(2, { query: { user } });
  const other = await t.open({ query: { user: t.name("user") } });
  const nobody = await t.open();
  const heard = [one, two, other, nobody].map((connection) => hear(connection, method));
  await nobody.invoke("SendToUser", user, method, "hi");
  await fence(nobody, one, two, other, nobody);
  same(heard.map(({ all }) => all), [[["hi"]], [["hi"]], [], []]);
});

scenario("all are called, and all but one", async (t) => {
  const [one, two] = await t.together(2);
  const method = t.name("said");
  const heard = [one, two].map((connection) => hear(connection, method));
  await one.invoke("SendToAll", method, "all");
  await one.invoke("SendToOthers", method, "others");
  await fence(one, one, two);
  same(heard.map(({ all }) => all), [[["all"]], [["all"], ["others"]]]);
});

scenario("members that speak another encoding, over another carrier, are in the same group", async (t) => {
  const kinds = [["websockets", "json"], ["websockets", "messagepack"], ["events", "json"], ["polling", "messagepack"]];
  const all = await Promise.all(kinds.map(([carrier, protocol]) => t.open({ carrier, protocol })));
  const [group, method] = [t.name("group"), t.name("said")];
  const heard = all.map((connection) => hear(connection, method));
  for (const connection of all) await connection.invoke("JoinGroup", group);
  for (const [place, connection] of all.entries()) await connection.invoke("SendToGroup", group, method, { place });
  for (const one of heard) same(await one.until(4), all.map((_, place) => [{ place }]));
});

scenario("who stops is gone, and others are told", async (t) => {
  const watcher = await watch(t);
  const connection = await t.open();
  const { connectionId } = connection;
  const group = t.name("group");
  await connection.invoke("JoinGroup", group);
  await connection.stop();
  await watcher.left(connectionId);
  same(connection.state, "Disconnected");
  await watcher.invoke("SendToGroup", group, t.name("said"), "to nobody");
});
