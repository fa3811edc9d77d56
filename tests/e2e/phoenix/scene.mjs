// What a scene of Phoenix is given: sockets of the official client, and ways to wait for what they hear.

import { Heard, Line, PATIENCE, within } from "../scenes.mjs";

export const scenarios = [];
export const scenario = (name, run) => scenarios.push({ name, run });

/** The client comes back soon. */
const SOON = { reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 };

export class Scene {
  #sockets = [];

  constructor({ Phoenix, url, stage, transport }) {
    Object.assign(this, { Phoenix, url, stage, transport });
  }

  get isPolling() {
    return this.transport === "longpoll";
  }

  /** A topic, or a name, that no other scene has. */
  name(of = "room") {
    return `${of}:${crypto.randomUUID()}`;
  }

  /** A socket that is not connected yet. */
  make({ url = this.url, ...options } = {}) {
    const chosen = this.isPolling ? { transport: this.Phoenix.LongPoll } : {};
    const socket = new this.Phoenix.Socket(`${url.replace("http", "ws")}/socket`, { ...SOON, ...chosen, ...options });
    this.#sockets.push(socket);
    return socket;
  }

  async open(options) {
    const socket = this.make(options);
    await connected(socket);
    return socket;
  }

  /** A channel on a socket of its own, in a room that has welcomed it. */
  async joined(topic = this.name(), params = {}, options = {}) {
    const channel = (await this.open(options)).channel(topic, params);
    const welcomes = hear(channel, "welcome");
    await join(channel);
    await welcomes.until(1);
    return channel;
  }

  /** A line to the server that can be cut, and a socket on it. */
  async openLine(options) {
    const line = await Line.to(this.url, this.stage);
    return [await this.open({ url: line.url, ...options }), line];
  }

  end() {
    for (const socket of this.#sockets) socket.disconnect();
  }
}

export function connected(socket) {
  if (socket.isConnected()) return socket;
  const opens = new Promise((resolve) => socket.onOpen(resolve));
  socket.connect();
  return within(opens, "open");
}

/** The answer to a push: its status, and the response or what the client says of a time-out. */
export const answered = (push, patience = PATIENCE) =>
  within(
    new Promise((resolve) => {
      for (const status of ["ok", "error", "timeout"]) push.receive(status, (response) => resolve([status, response]));
    }),
    `answer to ${push.event}`,
    patience,
  );

export const ask = (channel, event, payload) => answered(channel.push(event, payload));

/** The response of a join that goes well. */
export async function join(channel, timeout) {
  const [status, response] = await answered(channel.join(timeout));
  if (status !== "ok") throw new Error(`join of ${channel.topic}: ${status} ${JSON.stringify(response)}`);
  return response;
}

/** The payloads of an event, as they come. */
export function hear(channel, event) {
  const heard = new Heard(`"${event}" of ${channel.topic}`);
  channel.on(event, (payload) => heard.take(payload));
  return heard;
}

/** All that a socket hears: join_ref, ref, topic, event, payload. */
export function watch(socket, fits = () => true) {
  const heard = new Heard("messages");
  socket.onMessage(({ join_ref, ref, topic, event, payload }) => {
    if (fits({ topic, event, ref })) heard.take([join_ref, ref, topic, event, payload]);
  });
  return heard;
}

/** The next close of a socket: its code and its reason. */
export const closed = (socket) =>
  within(new Promise((resolve) => socket.onClose(({ code, reason }) => resolve([code, reason]))), "close");

/** Bytes as the transport brings them: long polls have text only. */
export const arrived = (t, bytes) => (t.isPolling ? btoa(String.fromCharCode(...bytes)) : bytes);

export const BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
