// What a scene of Action Cable is given: connections and subscriptions of an official client, and ways to wait for what
// they hear. The clients of Rails and of AnyCable look the same from here.

import { Heard, Line, holds, within } from "../scenes.mjs";

const CLIENTS = ["rails", "anycable", "extended"];
export const scenarios = [];
export const scenario = (name, run, clients = CLIENTS) => scenarios.push({ name, run, clients });
export const EXTENDED = ["extended"];
export const RAILS = ["rails"];

const PROTOCOLS = { anycable: "actioncable-v1-json", extended: "actioncable-v1-ext-json" };
/** Of a second: what the client of Rails waits for a ping when it is in a hurry. */
const HURRY = { staleThreshold: 0.2, reconnectionBackoffRate: 0.15 };

export class Scene {
  #ends = [];

  constructor({ ActionCable, AnyCable, url, stage, client }) {
    Object.assign(this, { ActionCable, AnyCable, url, stage, client });
  }

  /** A name that no other scene has. */
  name(of = "room") {
    return `${of}-${crypto.randomUUID()}`;
  }

  /** Where the cable is. */
  at({ url = this.url, ...query } = {}) {
    const parameters = new URLSearchParams(query);
    return `${url.replace("http", "ws")}/cable${parameters.size ? `?${parameters}` : ""}`;
  }

  /** A connection; it opens with its first subscription. */
  cable(query = {}, options = {}) {
    const url = this.at(query);
    const made =
      this.client === "rails" ? new Rails(this.ActionCable, url) : new Any(this.AnyCable, url, PROTOCOLS[this.client], options);
    this.#ends.push(() => made.close());
    return made;
  }

  /** A confirmed subscription of RoomChannel on a connection of its own, which has heard its hello. */
  async room(room = this.name(), query = {}) {
    const subscription = await this.cable(query).subscribed("RoomChannel", { room });
    await subscription.messages.until(1);
    return subscription;
  }

  /** A line to the server that can be cut, and a connection on it. */
  async onLine(query = {}, options = {}) {
    const line = await Line.to(this.url, this.stage);
    return [this.cable({ ...query, url: line.url }, options), line];
  }

  /** A WebSocket without a client: its messages, and how it was closed. */
  socket(protocols = ["actioncable-v1-json"], query = {}) {
    const socket = new WebSocket(this.at(query), protocols);
    const heard = new Heard("messages");
    socket.onmessage = ({ data }) => heard.take(JSON.parse(data));
    const opened = new Promise((resolve) => (socket.onopen = resolve));
    const closed = new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code)));
    this.#ends.push(() => socket.close());
    const say = (command) => socket.send(typeof command === "string" ? command : JSON.stringify(command));
    return { socket, heard, say, opened: () => within(opened, "open"), closed: () => within(closed, "close") };
  }

  end() {
    for (const end of this.#ends) end();
  }
}

/** What becomes of one subscription. */
class Subscription {
  messages = new Heard("messages");
  connects = new Heard("connects");
  disconnects = new Heard("disconnects");
  rejections = new Heard("rejections");

  /** The messages behind those that were heard so far. */
  async next(count = 1) {
    const before = this.read ?? 1;
    await this.messages.when(() => this.messages.all.length >= before + count, () => `message ${before + count}`);
    this.read = before + count;
    return this.messages.all.slice(before, before + count);
  }

  /** An action, and the one message that comes of it. */
  async ask(action, data = {}) {
    this.perform(action, data);
    return (await this.next())[0];
  }
}

class Rails {
  constructor({ createConsumer }, url) {
    this.consumer = createConsumer(url);
  }

  subscribe(channel, params = {}) {
    const made = new Subscription();
    made.inner = this.consumer.subscriptions.create(
      { channel, ...params },
      {
        connected: (about) => made.connects.take(about),
        disconnected: (about) => made.disconnects.take(about),
        rejected: () => made.rejections.take(true),
        received: (message) => made.messages.take(message),
      },
    );
    made.perform = (action, data = {}) => made.inner.perform(action, data);
    made.send = (data) => made.inner.send(data);
    made.unsubscribe = () => made.inner.unsubscribe();
    made.cable = this;
    return made;
  }

  async subscribed(channel, params) {
    const made = this.subscribe(channel, params);
    await made.connects.until(1);
    return made;
  }

  /** The monitor looks as often as it is told to; once it is back, as often as it does. */
  hurry() {
    const { monitor } = this.consumer.connection;
    const thresholds = Object.create(monitor.constructor, {});
    Object.defineProperty(monitor, "constructor", { value: Object.assign(thresholds, HURRY), configurable: true });
    monitor.startPolling();
    const connected = monitor.recordConnect;
    monitor.recordConnect = () => {
      delete monitor.constructor;
      delete monitor.recordConnect;
      connected.call(monitor);
    };
  }

  /** Whether it is over, and the client will not come back by itself. */
  get isOver() {
    return !this.consumer.connection.isActive() && !this.consumer.connection.monitor.isRunning();
  }

  close() {
    this.consumer.disconnect();
  }
}

class Any {
  closes = new Heard("closes");
  keeps = new Heard("signs of life");

  constructor({ createCable }, url, protocol, options) {
    this.protocol = protocol;
    const reconnectStrategy = () => 100;
    this.cable = createCable(url, { protocol, reconnectStrategy, websocketImplementation: WebSocket, ...options });
    this.cable.on("close", (error) => this.closes.take(error?.reason));
    this.cable.on("keepalive", (time) => this.keeps.take(time));
  }

  subscribe(channel, params = {}) {
    const made = new Subscription();
    made.metas = new Heard("positions");
    made.presences = new Heard("changes of presence");
    made.informed = new Heard("information");
    made.restores = new Heard("whether it was restored");
    const inner = this.cable.subscribeTo(channel, params);
    made.inner = inner;
    inner.on("connect", ({ reconnect, restored }) => {
      made.connects.take({ reconnected: reconnect });
      made.restores.take(restored);
    });
    inner.on("disconnect", (error) => made.disconnects.take(error));
    inner.on("close", (error) => {
      if (error?.name === "SubscriptionRejectedError") made.rejections.take(true);
    });
    inner.on("message", (message, meta) => {
      made.metas.take(meta);
      made.messages.take(message);
    });
    inner.on("presence", (change) => made.presences.take(change));
    inner.on("info", ({ type }) => made.informed.take(type));
    made.perform = (action, data = {}) => inner.perform(action, data).catch(() => {});
    made.send = (data) => inner.send(data);
    made.unsubscribe = () => inner.disconnect();
    made.cable = this;
    return made;
  }

  async subscribed(channel, params) {
    const made = this.subscribe(channel, params);
    await within(made.inner.ensureSubscribed(), "confirmation");
    return made;
  }

  hurry() {}

  get isOver() {
    return this.cable.state === "closed";
  }

  close() {
    this.cable.disconnect();
  }
}

/** Waits until a condition holds that nobody tells of. */
export async function until(condition, what) {
  const isSo = (async () => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  })();
  await within(isSo, what, 8000);
}

export const silence = (milliseconds = 300) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A connection that is over for good. */
export async function over(cable) {
  await until(() => cable.isOver, "the end of it");
  await silence();
  holds(cable.isOver, "it comes back");
}
