// What a scene of SignalR is given: connections of the official client, and ways to wait for what they hear.

import { Heard, Line, within } from "../scenes.mjs";

export const scenarios = [];

/** `fits`: whether the scene means anything over this carrier with this protocol. */
export const scenario = (name, run, fits = () => true) =>
  scenarios.push({ name, run: (t) => (fits(t) ? run(t) : undefined) });

export const onWebSockets = (t) => t.carrier === "websockets";
/** What has nothing to do with the carrier or the protocol is played once. */
export const once = (t) => onWebSockets(t) && t.protocol === "json";

const BEAT = 1000;

export class Scene {
  #connections = [];
  #sockets = [];

  constructor({ signalR, MessagePackHubProtocol, url, stage, carrier, protocol }) {
    Object.assign(this, { signalR, MessagePackHubProtocol, url, stage, carrier, protocol });
    this.hub = `${url}/hub`;
  }

  get isPage() {
    return typeof document !== "undefined";
  }

  get transports() {
    const { WebSockets, ServerSentEvents, LongPolling } = this.signalR.HttpTransportType;
    return { websockets: WebSockets, events: ServerSentEvents, polling: LongPolling };
  }

  /** A name that no other scene has. */
  name(of = "name") {
    return `${of} ${crypto.randomUUID()}`;
  }

  /** A connection that is not started. `reconnects`: milliseconds before each try to come back. */
  make({ carrier = this.carrier, protocol = this.protocol, ...options } = {}) {
    const { query = {}, url = this.url, path = "/hub", reconnects, isStateful, beat = BEAT, ...http } = options;
    const search = new URLSearchParams(query);
    const transport = this.transports[carrier];
    const builder = new this.signalR.HubConnectionBuilder()
      .withUrl(`${url}${path}${search.size ? `?${search}` : ""}`, { transport, ...http })
      .configureLogging(this.signalR.LogLevel.None)
      .withKeepAliveInterval(beat)
      .withServerTimeout(4 * BEAT);
    if (protocol === "messagepack") builder.withHubProtocol(new this.MessagePackHubProtocol());
    if (reconnects) builder.withAutomaticReconnect(reconnects);
    if (isStateful) builder.withStatefulReconnect();
    const connection = builder.build();
    this.#connections.push(connection);
    return connection;
  }

  async open(options) {
    const connection = this.make(options);
    await within(connection.start(), "start");
    return connection;
  }

  /** So many connections. */
  together(count, options) {
    return Promise.all(Array.from({ length: count }, () => this.open(options)));
  }

  /** A line to the server that can be cut, and a connection on it. */
  async openLine(options) {
    const line = await Line.to(this.url, this.stage);
    return [await this.open({ url: line.url, ...options }), line];
  }

  /** A WebSocket without the client. */
  async socket(query = "", url = this.url) {
    const socket = new WebSocket(`${url.replace("http", "ws")}/hub${query}`);
    socket.binaryType = "arraybuffer";
    this.#sockets.push(socket);
    socket.heard = new Heard("frames");
    socket.records = new Heard("messages");
    socket.onmessage = ({ data }) => {
      socket.heard.take(data);
      if (typeof data !== "string") return;
      for (const text of data.split(RECORD).filter(Boolean)) {
        const message = JSON.parse(text);
        if (message.type !== PING) socket.records.take(message);
      }
    };
    socket.ended = new Promise((resolve) => (socket.onclose = ({ code, reason }) => resolve([code, reason])));
    await within(
      new Promise((resolve, reject) => {
        socket.onopen = resolve;
        // In Node the error has the status.
        socket.onerror = ({ message = "" }) => reject(new Error(`the WebSocket was refused ${message}`));
      }),
      "open",
    );
    return socket;
  }

  async end() {
    for (const socket of this.#sockets) socket.close();
    await Promise.all(this.#connections.map((connection) => within(connection.stop(), "stop").catch(() => {})));
  }
}

export const RECORD = "\x1e";
export const PING = 6;

/** Messages as JSON text. */
export const records = (...messages) => messages.map((message) => JSON.stringify(message) + RECORD).join("");
export const HAND = { protocol: "json", version: 1 };

/** A WebSocket that has shaken hands in JSON. */
export async function shaken(t, query, hand = HAND) {
  const socket = await t.socket(query);
  socket.send(records(hand));
  await socket.records.until(1);
  return socket;
}

/** Ask to be let in, by plain fetch. */
export const negotiate = (t, query = "?negotiateVersion=1", options = {}) =>
  fetch(`${t.hub}/negotiate${query}`, { method: "POST", ...options });

/** The token of a new connection. */
export const token = async (t, query) => (await (await negotiate(t, query)).json()).connectionToken;

/** The arguments of a client method, each time it is called. */
export function hear(connection, method) {
  const heard = new Heard(`calls of "${method}"`);
  connection.on(method, (...args) => heard.take(args));
  return heard;
}

/** What a call fails with. */
export async function failure(promise) {
  const missing = {};
  const error = await within(
    promise.then(
      () => missing,
      (thrown) => thrown,
    ),
    "failure",
  );
  if (error === missing) throw new Error("it did not fail");
  return `${error?.message ?? error}`;
}

/** A stream that has been asked for. */
export class Stream {
  items = new Heard("items");

  constructor(result) {
    this.ended = new Promise((complete, error) => {
      this.subscription = result.subscribe({ next: (item) => this.items.take(item), complete, error });
    });
    this.ended.catch(() => {});
  }

  /** All items, when it has ended well. */
  async all(patience) {
    await within(this.ended, "end of the stream", patience);
    return this.items.all;
  }
}

export const stream = (connection, method, ...args) => new Stream(connection.stream(method, ...args));

/** The error of the end that comes next, or nothing. */
export const closed = (connection, patience) =>
  within(new Promise((resolve) => connection.onclose((error) => resolve(error?.message))), "close", patience);

/** All that was sent to these before has been heard then. */
export async function fence(from, ...connections) {
  const method = `fence ${crypto.randomUUID()}`;
  const heard = connections.map((connection) => hear(connection, method));
  for (const { connectionId } of connections) await from.invoke("SendToConnection", connectionId, method, null);
  await Promise.all(heard.map((one) => one.until()));
}

/** The server's own word that a connection is gone: `left` waits for it. */
export async function watch(t) {
  const watcher = await t.open();
  const gone = new Set();
  let look = () => {};
  watcher.on("Left", (id) => {
    gone.add(id);
    look();
  });
  await watcher.invoke("JoinGroup", "watchers");
  watcher.left = (id, patience) =>
    within(new Promise((resolve) => (look = () => gone.has(id) && resolve())()), `Left ${id}`, patience);
  return watcher;
}
