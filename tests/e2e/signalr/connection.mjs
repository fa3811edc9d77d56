// A connection: who opens it, what its requests say, how it ends, and when it comes back.

import { Heard, holds, same, within } from "../scenes.mjs";
import { closed, failure, hear, onWebSockets, scenario, watch } from "./scene.mjs";

const SOON = [0, 50, 100, 200, 400, 800];
const SILENCE = 5000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The ids under which a connection comes back, and what it thinks has happened before. */
function comings(connection) {
  const [back, away] = [new Heard("comings back"), new Heard("losses")];
  connection.onreconnected((id) => back.take(id));
  connection.onreconnecting((error) => away.take(error?.message));
  return { back, away };
}

scenario("an access token comes along, by the header or in the query", async (t) => {
  const connection = await t.open({ accessTokenFactory: () => "t/o+k=e n" });
  same(await connection.invoke("AccessToken"), "t/o+k=e n");
  const later = await t.open({ accessTokenFactory: async () => "later" });
  same(await later.invoke("AccessToken"), "later");
  const without = await t.open();
  holds((await without.invoke("AccessToken")) == null, "there is a token");
});

scenario("a token in the query does as one in the header does", async (t) => {
  const connection = await t.open({ query: { access_token: "shown" } });
  same(await connection.invoke("AccessToken"), "shown");
});

scenario("the URL of a hub may end with a slash", async (t) => {
  const connection = await t.open({ path: "/hub/" });
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("the query of a connection is the application's", async (t) => {
  const connection = await t.open({ query: { user: "ana", "what else": "a&b=ü" } });
  same(await connection.invoke("Query", "user"), "ana");
  same(await connection.invoke("Query", "what else"), "a&b=ü");
  holds((await connection.invoke("Query", "nothing")) == null, "it is there");
});

scenario("the headers of a connection are the application's", async (t) => {
  // A page may give its polls headers, and its WebSockets and event streams none.
  const headers = { "X-Test": "tea" };
  const connection = await t.open({ headers });
  if (!t.isPage || t.carrier === "polling") same(await connection.invoke("Header", "X-Test"), "tea");
  holds((await connection.invoke("Header", "User-Agent")).length > 0, "there is no user agent");
  if (t.isPage) same(await connection.invoke("Header", "Origin"), location.origin);
  holds((await connection.invoke("Header", "X-Nothing")) == null, "it is there");
});

scenario("the server drops a connection, which is told as one that was lost", async (t) => {
  const watcher = await watch(t);
  const connection = await t.open();
  const [{ connectionId }, end] = [connection, closed(connection)];
  connection.send("AbortMe").catch(() => {});
  await end;
  await watcher.left(connectionId);
  same(connection.state, "Disconnected");
});

scenario("who is dropped comes back by itself, as somebody else", async (t) => {
  const connection = await t.open({ reconnects: SOON });
  const [{ connectionId }, { back, away }] = [connection, comings(connection)];
  connection.send("AbortMe").catch(() => {});
  const [id] = await back.until();
  same(away.all.length, 1, "losses");
  holds(id !== connectionId, "it has the same id");
  same(await connection.invoke("ConnectionId"), id);
});

scenario("calls under way fail when the connection ends", async (t) => {
  const connection = await t.open();
  const call = failure(connection.invoke("Slow", 10_000, 1));
  await connection.invoke("Echo", 1);
  connection.send("AbortMe").catch(() => {});
  await call;
});

scenario("a close of the server's has its error, and who may not come back does not", async (t) => {
  const watcher = await watch(t);
  const connection = await t.open({ reconnects: SOON });
  const [{ connectionId }, { back, away }, end] = [connection, comings(connection), closed(connection)];
  connection.send("CloseMe", "out of tea", false).catch(() => {});
  holds((await end)?.includes("out of tea"), "the error is missing");
  await watcher.left(connectionId);
  same([back.all, away.all], [[], []], "comings back and losses");
  same(connection.state, "Disconnected");
});

scenario("a close of the server's that says so has the client come back", async (t) => {
  const connection = await t.open({ reconnects: SOON });
  const [{ connectionId }, { back, away }] = [connection, comings(connection)];
  connection.send("CloseMe", "tea break", true).catch(() => {});
  const [id] = await back.until();
  holds(away.all[0]?.includes("tea break"), `the error is "${away.all[0]}"`);
  holds(id !== connectionId, "it has the same id");
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("a close that says so is an end for who does not come back by itself", async (t) => {
  const connection = await t.open();
  const end = closed(connection);
  connection.send("CloseMe", "tea break", true).catch(() => {});
  holds((await end)?.includes("tea break"), "the error is missing");
});

scenario("who has stopped can start again, as somebody else", async (t) => {
  const connection = await t.open();
  const { connectionId } = connection;
  await connection.stop();
  await connection.start();
  holds(connection.connectionId !== connectionId, "it has the same id");
  same(await connection.invoke("ConnectionId"), connection.connectionId);
});

scenario("a connection lasts longer than the silence that ends one", async (t) => {
  const connection = await t.open();
  const end = closed(connection, 60_000).then((error) => Promise.reject(new Error(`it was closed: ${error}`)));
  end.catch(() => {});
  await Promise.race([sleep(SILENCE + 1500), end]);
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario(
  "a client that says nothing for five seconds is gone",
  async (t) => {
    const watcher = await watch(t);
    const connection = await t.open({ beat: 60_000 });
    const [{ connectionId }, end, begun] = [connection, closed(connection, 2 * SILENCE), Date.now()];
    await watcher.left(connectionId, 2 * SILENCE);
    await end;
    const took = Date.now() - begun;
    holds(took > SILENCE - 500, `it took ${took} ms`);
  },
  (t) => t.carrier !== "polling",
);

scenario("a line that is cut ends the connection, and others are told", async (t) => {
  const watcher = await watch(t);
  const [connection, line] = await t.openLine();
  const [{ connectionId }, end] = [connection, closed(connection)];
  await line.tell("cut");
  await end;
  // Who polls has fifteen seconds for the next one.
  if (t.carrier !== "polling") await watcher.left(connectionId);
});

scenario("who was cut comes back by itself, as somebody else, in no group", async (t) => {
  const [connection, line] = await t.openLine({ reconnects: SOON });
  const other = await t.open();
  const [{ connectionId }, { back, away }] = [connection, comings(connection)];
  const [group, method] = [t.name("group"), t.name("said")];
  await connection.invoke("JoinGroup", group);
  const said = hear(connection, method);
  await line.tell("cut");
  await away.until(1); // a browser asks again by itself when it is cut only once
  await line.tell("mend");
  const [id] = await back.until();
  holds(id !== connectionId, "it has the same id");
  await other.invoke("SendToGroup", group, method, "to nobody");
  await other.invoke("SendToConnection", id, method, "to it");
  same(await said.until(), [["to it"]]);
});

scenario("the client finds out for itself what carries it", async (t) => {
  const { WebSockets, ServerSentEvents, LongPolling } = t.signalR.HttpTransportType;
  for (const transport of [undefined, ServerSentEvents | LongPolling, WebSockets | LongPolling]) {
    const connection = await t.open({ transport });
    same(await connection.invoke("Add", 1, 2), 3);
    await connection.stop();
  }
});

scenario(
  "MessagePack over an event stream is refused by the client",
  async (t) => {
    const connection = t.make({ carrier: "events", protocol: "messagepack" });
    holds((await failure(connection.start())).includes("does not support Binary"), "it was another error");
  },
  (t) => t.protocol === "messagepack",
);

scenario(
  "a WebSocket needs no negotiation",
  async (t) => {
    const [user, method] = [t.name("user"), t.name("said")];
    const connection = await t.open({ skipNegotiation: true, query: { user }, accessTokenFactory: () => "shown" });
    const said = hear(connection, method);
    const id = await connection.invoke("ConnectionId");
    holds(id.length >= 16, `"${id}" is no id`);
    same([await connection.invoke("AccessToken"), await connection.invoke("Query", "user")], ["shown", user]);
    await connection.invoke("SendToConnection", id, method, 1);
    await connection.invoke("SendToUser", user, method, 2);
    same(await said.until(2), [[1], [2]]);
  },
  onWebSockets,
);

scenario("many connections stand at once", async (t) => {
  // A page has six connections to a host at most, and opens one WebSocket after another.
  const all = await t.together(t.isPage ? 3 : 20);
  const ids = await Promise.all(all.map((connection) => connection.invoke("ConnectionId")));
  same(ids, all.map(({ connectionId }) => connectionId));
  same(new Set(ids).size, all.length);
  await within(Promise.all(all.map((connection) => connection.stop())), "stop");
});
