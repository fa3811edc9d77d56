// One client of each wire, all with the same face: it says things at `matrix` and tells what it hears.
//
// Each is its system's own client, as npm has it. `heard` holds [event, ...arguments]; `came` and `went` the names of who
// is told to have come and gone.

import { createRequire } from "node:module";

import { connect } from "../../../src/anywire/static/anywire.js";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { WebSocket } = require("ws");

export const THINGS = {
  text: ["héllo 👋"],
  object: [{ a: 1, b: ["x", null] }],
  list: ["one", 2, { three: 3 }],
  binary: [new Uint8Array([0, 1, 255])],
};
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
/** For wires whose clients have one value to say, and no bytes. */
const one = (args) => (args.length > 1 ? args : args[0] instanceof Uint8Array ? base64(args[0]) : args[0]);
const isBytes = (args) => args.length === 1 && args[0] instanceof Uint8Array;

class Face {
  heard = [];
  came = new Set();
  went = new Set();

  hear(event, ...args) {
    if (event === "presence") this.present(args[0]);
    else this.heard.push([event, ...args]);
  }

  present({ joined = {}, left = {} }) {
    for (const name of Object.keys(joined)) this.came.add(name);
    for (const name of Object.keys(left)) this.went.add(name);
  }

  /** The event of this name with what came with it, once it is heard. */
  async next(name) {
    for (const end = Date.now() + 5000; Date.now() < end; await sleep(5)) {
      const place = this.heard.findIndex(([event]) => event === name);
      if (place >= 0) return this.heard.splice(place, 1)[0].slice(1);
    }
    throw new Error(`"${name}" was not heard; heard: ${JSON.stringify(this.heard)}`);
  }

  /** The items of a stream that come as events. */
  async items(count) {
    const items = [];
    while (items.length < count) items.push((await this.next("count.item"))[0].data);
    return items;
  }

  /** What a wire without answers tells of a refusal. */
  async refusal() {
    const [{ code, text }] = await this.next("error");
    return [code, text];
  }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const caught = (promise) => promise.then(() => "nothing was refused", (error) => error);

class Anywire extends Face {
  async open(url, name, address = "matrix") {
    this.client = connect(`${url.replace("http", "ws")}/ws`, { WebSocket });
    this.channel = this.client.channel(address, { params: { name } });
    this.channel.on("said", (data) => this.hear("said", data));
    this.channel.on("message", (data) => this.hear("message", data));
    this.channel.presence.on("change", (_, { joined, left }) => {
      this.present({ joined: Object.fromEntries(joined), left: Object.fromEntries(left) });
    });
    await this.channel.join();
  }

  say(args) {
    return this.channel.send("say", one(args));
  }

  ask = () => this.channel.call("double", 21);
  async refused() {
    const { code, text } = await caught(this.channel.call("refuse"));
    return [code, text];
  }
  async stream() {
    const items = [];
    for await (const item of this.channel.stream("count", { to: 3 })) items.push(item);
    return items;
  }
  async keptOut(url) {
    const { code, text } = await caught(this.client.channel("closed").join());
    return [code, text];
  }
  close = () => this.client.close();
}

class Nameless extends Face {
  take(data) {
    if (typeof data !== "string") return this.hear("message", data);
    const said = data.startsWith('{"event"') ? JSON.parse(data) : { event: "message", data };
    this.hear(said.event, said.data);
  }

  say(args) {
    if (typeof args[0] === "string" && args.length === 1) return this.post(args[0]);
    if (isBytes(args)) return this.post(this.bytes(args[0]));
    return this.post(JSON.stringify({ event: "say", data: one(args) }));
  }

  async refused() {
    this.post('{"event":"refuse"}');
    return this.refusal();
  }
  async stream() {
    this.post('{"event":"count","data":{"to":3}}');
    return this.items(3);
  }
  post = (data) => this.socket.send(data);
  close = () => this.socket.close();
}

class Raw extends Nameless {
  bytes = (bytes) => bytes;

  async open(url, name, address = "matrix") {
    this.socket = new WebSocket(`${url.replace("http", "ws")}/raw/${address}?name=${name}`);
    this.socket.on("message", (data, isBinary) => this.take(isBinary ? new Uint8Array(data) : String(data)));
    await new Promise((done) => this.socket.on("open", done));
  }
  async keptOut(url) {
    const socket = new WebSocket(`${url.replace("http", "ws")}/raw/closed`);
    return new Promise((done) => socket.on("close", (code, reason) => done([code, String(reason)])));
  }
}

class SockJs extends Nameless {
  bytes = base64;

  async open(url, name) {
    const SockJS = require("sockjs-client");
    this.socket = new SockJS(`${url}/sockjs/matrix?name=${name}`, null, { transports: "websocket" });
    this.socket.onmessage = ({ data }) => this.take(data);
    await new Promise((done) => (this.socket.onopen = done));
  }
  async keptOut(url) {
    const SockJS = require("sockjs-client");
    const socket = new SockJS(`${url}/sockjs/closed`, null, { transports: "websocket" });
    return new Promise((done) => (socket.onclose = ({ code, reason }) => done([code, reason])));
  }
}

class SocketIo extends Face {
  async open(url, name, address = "matrix") {
    const { io } = require("socket.io-client");
    this.socket = io(`${url}/${address}`, { transports: ["websocket"], forceNew: true, auth: { name } });
    this.socket.onAny((event, ...args) => this.hear(event, ...args));
    await new Promise((done, failed) => {
      this.socket.on("connect", done);
      this.socket.on("connect_error", failed);
    });
  }

  say = (args) => this.socket.emit("say", ...args.map((each) => (isBytes([each]) ? Buffer.from(each) : each)));
  ask = () => this.socket.timeout(5000).emitWithAck("double", 21);
  async refused() {
    const { error } = await this.socket.timeout(5000).emitWithAck("refuse");
    return [error.code, error.text];
  }
  async stream() {
    const [items] = await Promise.all([this.items(3), this.socket.timeout(5000).emitWithAck("count", 3)]);
    return items;
  }
  async keptOut(url) {
    const { message, data } = await caught(new SocketIo().open(url, "x", "closed"));
    return [data.code, message];
  }
  close = () => this.socket.disconnect();
}

class SignalR extends Face {
  async open(url, name, address = "matrix") {
    const { HubConnectionBuilder, HttpTransportType, LogLevel } = require("@microsoft/signalr");
    const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
    const options = { transport: HttpTransportType.WebSockets };
    this.hub = new HubConnectionBuilder()
      .withUrl(`${url}/signalr/${address}?name=${name}`, options)
      .withHubProtocol(new MessagePackHubProtocol())
      .configureLogging(LogLevel.None)
      .build();
    for (const event of ["said", "message", "presence", "count.item"]) {
      this.hub.on(event, (...args) => this.hear(event, ...args));
    }
    await this.hub.start();
  }

  say = (args) => this.hub.send("say", ...args);
  ask = () => this.hub.invoke("double", 21);
  refused = async () => this.told(await caught(this.hub.invoke("refuse")));
  told = ({ message }) => /(\w+): ([^:]+)$/.exec(message).slice(1);
  stream() {
    const items = [];
    return new Promise((complete, error) => {
      this.hub.stream("count", 3).subscribe({ next: (item) => items.push(item), complete: () => complete(items), error });
    });
  }
  keptOut = async (url) => this.told(await caught(new SignalR().open(url, "x", "closed")));
  close = () => this.hub.stop();
}

class Phoenix extends Face {
  async open(url, name) {
    const { Socket } = require("phoenix");
    this.socket = new Socket(`${url.replace("http", "ws")}/socket`, { transport: WebSocket });
    this.socket.connect();
    this.channel = this.socket.channel("matrix", { name });
    this.channel.onMessage = (event, payload) => {
      if (event === "presence_state") this.present({ joined: payload });
      else if (event === "presence_diff") this.present({ joined: payload.joins, left: payload.leaves });
      else if (!event.startsWith("phx_") && !event.startsWith("chan_reply")) this.hear(event, payload);
      return payload;
    };
    await answered(this.channel.join());
  }

  say = (args) => this.channel.push("say", isBytes(args) ? args[0].buffer : args.length > 1 ? args : args[0]);
  ask = () => answered(this.channel.push("double", { number: 21 }));
  async refused() {
    const { reason, text } = await caught(answered(this.channel.push("refuse", {})));
    return [reason, text];
  }
  async stream() {
    const [items] = await Promise.all([this.items(3), answered(this.channel.push("count", { to: 3 }))]);
    return items;
  }
  async keptOut() {
    const { reason, text } = await caught(answered(this.socket.channel("closed").join()));
    return [reason, text];
  }
  close = () => this.socket.disconnect();
}

const answered = (push) => new Promise((done, failed) => push.receive("ok", done).receive("error", failed));

class ActionCable extends Face {
  async open(url, name, address = "matrix") {
    // Its client looks whether a page is seen; here there is none.
    globalThis.addEventListener ??= () => {};
    globalThis.removeEventListener ??= () => {};
    const { adapters, createConsumer } = await import(cable);
    adapters.WebSocket = WebSocket;
    this.consumer = createConsumer(`${url.replace("http", "ws")}/cable`);
    await new Promise((connected, rejected) => {
      const received = (said) => {
        if (said !== null && typeof said === "object" && "event" in said) this.hear(said.event, said.data);
        else this.hear("message", said);
      };
      this.subscription = this.consumer.subscriptions.create(
        { channel: address, name },
        { connected, rejected: () => rejected(new Error("rejected")), received },
      );
    });
  }

  /** What is said is an object, always. */
  say(args) {
    return this.perform("say", isObject(args) ? args[0] : { value: one(args) });
  }
  perform = (action, data) => this.subscription.perform(action, data);

  async refused() {
    this.perform("refuse");
    return this.refusal();
  }
  async stream() {
    this.perform("count", { to: 3 });
    return this.items(3);
  }
  async keptOut(url) {
    const cable = new ActionCable();
    const { message } = await caught(cable.open(url, "x", "closed"));
    cable.close();
    return message;
  }
  close = () => this.consumer.disconnect();
}

const cable = new URL("../../js/node_modules/@rails/actioncable/app/assets/javascripts/actioncable.esm.js", import.meta.url);
const isObject = ([first, ...more]) => more.length === 0 && first?.constructor === Object;

export const WIRES = {
  anywire: Anywire,
  raw: Raw,
  socketio: SocketIo,
  sockjs: SockJs,
  signalr: SignalR,
  phoenix: Phoenix,
  actioncable: ActionCable,
};
