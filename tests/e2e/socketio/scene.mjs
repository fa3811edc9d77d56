// What a scene of Socket.IO is given: sockets of the official client, and ways to wait for what they hear.

import { Heard, Line, PATIENCE, within } from "../scenes.mjs";

export const scenarios = [];
export const scenario = (name, run) => scenarios.push({ name, run });

const PATH = "/socket.io-app/";
/** The client comes back soon. */
const SOON = { reconnectionDelay: 20, reconnectionDelayMax: 100 };

export class Scene {
  #managers = [];

  /** `transports` is undefined for the client's default, which begins to poll and goes over to a WebSocket. */
  constructor({ io, url, stage, transports }) {
    Object.assign(this, { io, url, stage, transports });
  }

  /** What carries a connection once it is what it will be. */
  get carrier() {
    return this.transports?.[0] ?? "websocket";
  }

  /** A name that no other scene has. */
  name(of = "room") {
    return `${of}:${crypto.randomUUID()}`;
  }

  /** A socket on a connection of its own. */
  make(namespace = "/", { url = this.url, ...options } = {}) {
    const transports = this.transports && { transports: this.transports };
    const socket = this.io(url + namespace, { path: PATH, forceNew: true, ...SOON, ...transports, ...options });
    this.#managers.push(socket.io);
    return socket;
  }

  async open(namespace, options) {
    const socket = this.make(namespace, options);
    await connected(socket);
    return socket;
  }

  /** So many sockets, each on a connection of its own, in one room. */
  async together(count, room) {
    const sockets = await Promise.all(Array.from({ length: count }, () => this.open()));
    await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
    return sockets;
  }

  /** A line to the server that can be cut, and a socket on it. */
  async openLine(namespace, options) {
    const line = await Line.to(this.url, this.stage);
    return [await this.open(namespace, { url: line.url, ...options }), line];
  }

  end() {
    for (const manager of this.#managers) manager.disconnect();
  }
}

/** Another namespace on the connection of a socket. */
export async function also(socket, namespace, options) {
  const other = socket.io.socket(namespace, options);
  await connected(other);
  return other;
}

/** Waits for a connection; a client that is to try again by itself (`active`) may. */
export async function connected(socket) {
  if (socket.connected) return;
  const connects = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.on("connect_error", ({ message }) => socket.active || reject(new Error(`${socket.nsp} refused: ${message}`)));
  });
  await within(connects, `connect of ${socket.nsp}`);
}

/** The error of a connect that is refused. */
export async function refused(socket) {
  const fails = new Promise((resolve, reject) => {
    socket.once("connect", () => reject(new Error(`${socket.nsp} was let in`)));
    socket.once("connect_error", resolve);
  });
  return await within(fails, `connect_error of ${socket.nsp}`);
}

/** The reason of the end that comes next. */
export const disconnected = (socket) =>
  within(new Promise((resolve) => socket.once("disconnect", resolve)), `disconnect of ${socket.nsp}`);

/** Waits until this carries the connection. The server is told before anything else that goes over it. */
export async function carriedBy(socket, carrier) {
  const { engine } = socket.io;
  if (engine.transport.name === carrier) return;
  await within(new Promise((resolve) => engine.once("upgrade", resolve)), "upgrade");
}

/**
 * The arguments of an event, each time it is heard. The string that the server adds for the recovery is
 * left out; it adds none to an event that is volatile or wants an answer (`isBare`).
 */
export function hear(socket, event, { isBare = false } = {}) {
  const heard = new Heard(`"${event}"`);
  socket.on(event, (...args) => {
    const offset = isBare ? "" : args.pop();
    heard.take(typeof offset === "string" ? args : new Error(`"${event}" came without an offset`));
  });
  return heard;
}

/** All arguments of the answer to an event. */
export const acked = (socket, event, ...args) =>
  new Promise((resolve, reject) => {
    socket.timeout(PATIENCE).emit(event, ...args, (error, ...answers) => {
      if (error) reject(new Error(`no answer to "${event}": ${error.message}`));
      else resolve(answers);
    });
  });

/** The first argument of the answer to an event. */
export const ask = async (...question) => (await acked(...question))[0];

/** What one socket sends to a room that the others hear: all that was sent before has been heard then. */
export async function fence(from, room, ...sockets) {
  const event = `fence ${crypto.randomUUID()}`;
  const heard = sockets.map((socket) => hear(socket, event));
  from.emit("to-room", room, event);
  await Promise.all(heard.map((one) => one.until()));
}
