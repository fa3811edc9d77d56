// Negotiation and requests of transports by plain fetch: what stands in their answers.

import { holds, same, within } from "../scenes.mjs";
import { HAND, RECORD, failure, negotiate, once, records, scenario, shaken, token } from "./scene.mjs";

const FORMATS = ["Text", "Binary"];
const OFFERED = [
  { transport: "WebSockets", transferFormats: FORMATS },
  { transport: "ServerSentEvents", transferFormats: ["Text"] },
  { transport: "LongPolling", transferFormats: FORMATS },
];
const at = (t, id) => `${t.hub}?id=${encodeURIComponent(id)}`;
const post = (url, body = "", options = {}) => fetch(url, { method: "POST", body, ...options });

/** A long poll: status and text. */
async function poll(url, patience) {
  const answer = await within(fetch(url), "poll", patience);
  return [answer.status, await answer.text()];
}

/** A connection on long polls that has shaken hands, and what came with that. */
async function polled(t) {
  const url = at(t, await token(t));
  same(await poll(url), [200, ""], "the first poll");
  same((await post(url, records(HAND))).status, 200);
  same(await poll(url), [200, `{}${RECORD}`], "the poll with the handshake");
  return url;
}

scenario(
  "a negotiation gives an id and a token away, and offers transports, best first",
  async (t) => {
    const answer = await negotiate(t);
    same(answer.status, 200);
    holds(answer.headers.get("content-type").startsWith("application/json"), "it is not JSON");
    const { negotiateVersion, connectionId, connectionToken, availableTransports, ...more } = await answer.json();
    same([negotiateVersion, availableTransports, more], [1, OFFERED, {}]);
    holds(connectionId && connectionToken && connectionId !== connectionToken, "id and token");
    const again = await (await negotiate(t)).json();
    holds(again.connectionId !== connectionId && again.connectionToken !== connectionToken, "they come twice");
  },
  once,
);

scenario(
  "a negotiation of version 0 gives an id alone, which is the token",
  async (t) => {
    for (const query of ["", "?negotiateVersion=0"]) {
      const said = await (await negotiate(t, query)).json();
      same([said.negotiateVersion, said.connectionToken, said.availableTransports], [0, undefined, OFFERED]);
      same((await shaken(t, `?id=${encodeURIComponent(said.connectionId)}`)).records.all, [{}]);
    }
  },
  once,
);

scenario(
  "a newer negotiation than the server knows is one of version 1",
  async (t) => {
    same((await (await negotiate(t, "?negotiateVersion=7")).json()).negotiateVersion, 1);
  },
  once,
);

scenario(
  "stateful reconnect is promised to who asks for it, and to nobody else",
  async (t) => {
    const asked = async (query) => (await (await negotiate(t, `?negotiateVersion=1${query}`)).json()).useStatefulReconnect;
    same(await asked("&useStatefulReconnect=true"), true);
    same([await asked(""), await asked("&useStatefulReconnect=false")], [undefined, undefined]);
  },
  once,
);

scenario(
  "an id that nobody gave away is not found, and no id is a bad request",
  async (t) => {
    const events = { headers: { Accept: "text/event-stream" } };
    const given = await token(t);
    const { connectionId } = await (await negotiate(t)).json();
    for (const id of ["nobody", given.slice(0, -2), `${given}AA`, connectionId]) {
      same((await poll(at(t, id)))[0], 404, "a poll");
      same((await fetch(at(t, id), events)).status, 404, "an event stream");
      same((await post(at(t, id), records(HAND))).status, 404, "a POST");
      same((await fetch(at(t, id), { method: "DELETE" })).status, 404, "a DELETE");
      const refused = t.socket(`?id=${encodeURIComponent(id)}`);
      holds(await refused.then(() => false, () => true), "a WebSocket was let in");
    }
    same((await fetch(t.hub)).status, 400, "a poll");
    same((await fetch(t.hub, events)).status, 400, "an event stream");
    same((await post(t.hub)).status, 400, "a POST");
    same((await fetch(t.hub, { method: "DELETE" })).status, 400, "a DELETE");
  },
  once,
);

scenario(
  "a second transport of a live connection is refused, and the first goes on",
  async (t) => {
    const query = `?id=${encodeURIComponent(await token(t))}`;
    const socket = await shaken(t, query);
    const second = t.socket(query);
    const said = await second.then(() => "let in", (error) => error.message);
    holds(said.includes(t.isPage ? "refused" : "409"), `the second WebSocket: ${said}`);
    same((await fetch(t.hub + query, { headers: { Accept: "text/event-stream" } })).status, 404, "an event stream");
    socket.send(records({ type: 1, invocationId: "1", target: "Add", arguments: [1, 2] }));
    same((await socket.records.until(2))[1], { type: 3, invocationId: "1", result: 3 });
  },
  once,
);

scenario(
  "an event stream tells at once that it stands, and has an event for each message",
  async (t) => {
    const url = at(t, await token(t));
    const controller = new AbortController();
    const { signal } = controller;
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, signal });
    same([answer.status, answer.headers.get("content-type")], [200, "text/event-stream"]);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const read = async (wanted) => {
      while (!wanted.test(text)) text += (await within(reader.read(), `${wanted}`)).value;
    };
    await read(/^:\r\n/);
    same((await post(url, records(HAND))).status, 200);
    await read(/data: \{\}\x1e\r?\n\r?\n/);
    same((await post(url, records({ type: 1, invocationId: "1", target: "Echo", arguments: ["a\nb"] }))).status, 200);
    await read(/data: \{"type":3,"invocationId":"1","result":"a\\nb"\}\x1e\r?\n\r?\n/);
    controller.abort();
  },
  once,
);

scenario(
  "an event stream has no MessagePack",
  async (t) => {
    const url = at(t, await token(t));
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" } });
    await post(url, records({ protocol: "messagepack", version: 1 }));
    const text = await within(answer.text(), "end");
    holds(text.includes('{"error":'), `it says ${text}`);
  },
  once,
);

scenario(
  "a long poll answers at once, then waits two seconds, or until there is something",
  async (t) => {
    const url = await polled(t);
    const begun = Date.now();
    same(await poll(url), [200, ""], "a poll without news");
    const took = Date.now() - begun;
    holds(took > 1500 && took < 4000, `it waited ${took} ms`);
    const waiting = poll(url);
    await post(url, records({ type: 1, invocationId: "1", target: "Echo", arguments: ["hi"] }));
    same(await waiting, [200, `{"type":3,"invocationId":"1","result":"hi"}${RECORD}`]);
  },
  once,
);

scenario(
  "who leaves by DELETE is gone, and so is its poll",
  async (t) => {
    const url = await polled(t);
    const waiting = poll(url);
    same((await fetch(url, { method: "DELETE" })).status, 202);
    // A browser says one thing after another to one address: the poll may have ended by itself before.
    const heard = [await waiting];
    while (heard.at(-1)[0] === 200) heard.push(await poll(url));
    const [[last], before] = [heard.at(-1), heard.slice(0, -1).filter(([, text]) => text)];
    same(before, [[200, `{"type":7}${RECORD}`]]);
    holds([204, 404].includes(last), `the last poll was answered with ${last}`);
    same((await post(url, records({ type: 6 }))).status, 404, "a POST");
  },
  once,
);

scenario(
  "a poll of a connection that the server closes brings the close, and the next one is the last",
  async (t) => {
    const url = await polled(t);
    await post(url, records({ type: 1, target: "CloseMe", arguments: ["bye", false] }));
    same(await poll(url), [200, `{"type":7,"error":"bye"}${RECORD}`]);
    holds([204, 404].includes((await poll(url))[0]), "the next poll was answered");
  },
  once,
);

scenario(
  "a poll that waits while the server drops the connection is answered 204",
  async (t) => {
    const url = await polled(t);
    const waiting = poll(url);
    await new Promise((resolve) => setTimeout(resolve, 200)); // or it finds nobody when it comes
    const begun = Date.now();
    await post(url, records({ type: 1, target: "AbortMe", arguments: [] }));
    same(await waiting, [204, ""]);
    const took = Date.now() - begun;
    holds(took < 1000, `it took ${took} ms`);
    same((await poll(url))[0], 404, "the next poll");
  },
  once,
);

scenario(
  "messages of a POST may be many, or part of one",
  async (t) => {
    const url = await polled(t);
    const call = (id) => records({ type: 1, invocationId: id, target: "Echo", arguments: [id] });
    const text = call("1") + call("2") + call("3");
    await post(url, text.slice(0, 30));
    await post(url, text.slice(30, 150));
    await post(url, text.slice(150));
    let heard = "";
    while (heard.split(RECORD).length < 4) heard += (await poll(url))[1];
    for (const id of ["1", "2", "3"]) holds(heard.includes(`"invocationId":"${id}","result":"${id}"`), heard);
  },
  once,
);

scenario(
  "a page of another origin is let in with credentials, and may ask beforehand",
  async (t) => {
    const origin = "https://shop.example";
    const headers = {
      Origin: origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "x-requested-with,x-signalr-user-agent,authorization",
    };
    const grants = (answer) => ["origin", "credentials"].map((what) => answer.headers.get(`access-control-allow-${what}`));
    for (const [path, method] of [["/negotiate", "POST"], ["", "POST"], ["", "GET"], ["", "DELETE"]]) {
      headers["Access-Control-Request-Method"] = method;
      const answer = await fetch(t.hub + path, { method: "OPTIONS", headers });
      holds([200, 204].includes(answer.status), `${path} ${method}: ${answer.status}`);
      same(grants(answer), [origin, "true"]);
      const allowed = (what) => answer.headers.get(`access-control-allow-${what}`).toLowerCase();
      holds(allowed("methods").includes(method.toLowerCase()), `${method} is not in ${allowed("methods")}`);
      for (const header of ["x-requested-with", "x-signalr-user-agent", "authorization"]) {
        holds(allowed("headers").includes(header), `${header} is not in ${allowed("headers")}`);
      }
    }
    const options = { headers: { Origin: origin } };
    same(grants(await negotiate(t, undefined, options)), [origin, "true"]);
    same(grants(await fetch(at(t, "nobody"), options)), [origin, "true"], "of an error");
  },
  (t) => once(t) && !t.isPage,
);

scenario(
  "a page's own requests with credentials and all headers of the client's get through",
  async (t) => {
    const headers = { "X-Requested-With": "XMLHttpRequest", "X-SignalR-User-Agent": "x", Authorization: "Bearer x" };
    const options = { headers, credentials: "include" };
    const answer = await negotiate(t, undefined, options);
    const url = at(t, (await answer.json()).connectionToken);
    same((await fetch(url, options)).status, 200);
    same((await post(url, records(HAND), options)).status, 200);
    same((await fetch(url, { method: "DELETE", ...options })).status, 202);
  },
  (t) => once(t) && t.isPage,
);

/** Where every negotiation has this answer. */
async function negotiatedBy(answer, run) {
  const { createServer } = await import("node:http");
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.close();
  }
  same(asked, ["POST /elsewhere/negotiate?negotiateVersion=1"]);
}

scenario(
  "a client that is redirected to the hub is served, with the token that it was given on its way",
  async (t) => {
    const user = t.name("user");
    const answer = { url: `${t.hub}?user=${encodeURIComponent(user)}`, accessToken: "given on the way" };
    await negotiatedBy(answer, async (url) => {
      const connection = await t.open({ url, path: "/elsewhere", accessTokenFactory: () => "its own" });
      same(await connection.invoke("ConnectionId"), connection.connectionId);
      same(await connection.invoke("AccessToken"), "given on the way");
      same(await connection.invoke("Query", "user"), user);
    });
  },
  (t) => !t.isPage,
);

scenario(
  "a negotiation that says an error fails the start",
  async (t) => {
    await negotiatedBy({ error: "we are closed" }, async (url) => {
      const said = await failure(t.make({ url, path: "/elsewhere" }).start());
      holds(said.includes("we are closed"), `it says "${said}"`);
    });
  },
  (t) => !t.isPage,
);
