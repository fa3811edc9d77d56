// What the platform's cases are made of: how they are written down, what they are given, and what they say.

import { RobustSocket } from "/anywire.js";

export const cases = [];
export const test = (name, run) => cases.push({ name, run });

export class Case {
  #made = [];
  #frames = [];
  /** A name that no other case has. */
  name = crypto.randomUUID();

  constructor(kind) {
    this.isNative = kind === "native";
    this.Socket = this.isNative ? WebSocket : RobustSocket;
  }

  /** A socket that is closed when the case is over. */
  make(url = "/raw/echo", ...rest) {
    const socket = new this.Socket(url, ...rest);
    this.#made.push(socket);
    return socket;
  }

  async open(...options) {
    const socket = this.make(...options);
    await next(socket, "open");
    return socket;
  }

  /** A drop-in that comes back at once where it comes back; the platform's class knows no options. */
  quick(url, protocols = []) {
    return this.make(url, protocols, { reconnectInterval: 1, minUptime: 0 });
  }

  frame() {
    const frame = document.body.appendChild(document.createElement("iframe"));
    this.#frames.push(frame);
    return frame;
  }

  /** What the server heard of the connections of this name, once one has ended. */
  async ended(name = this.name) {
    return (await fetch(`/ended/${name}`)).json();
  }

  /** What each of the two does, where they differ on purpose; the reason is for who reads the case. */
  differs(why, { native, dropIn }) {
    if (!why) throw new Error("a difference needs a reason");
    return this.isNative ? native : dropIn;
  }

  end() {
    for (const socket of this.#made) socket.close();
    for (const frame of this.#frames) frame.remove();
  }
}

export async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function next(target, type) {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
}

/** The types of events, as they come, until this one. */
export function until(target, last, types = ["open", "message", "error", "close"]) {
  return new Promise((resolve) => {
    const heard = [];
    for (const type of types) {
      target.addEventListener(type, () => {
        heard.push(type);
        if (type === last) resolve(heard);
      });
    }
  });
}

export async function echo(socket, data) {
  const answer = next(socket, "message");
  socket.send(data);
  return (await answer).data;
}

const show = (value) => (typeof value === "string" ? JSON.stringify(value) : `${value}`);

export function is(actual, expected, what = "it") {
  if (!Object.is(actual, expected)) throw new Error(`${what} is ${show(actual)}, not ${show(expected)}`);
}

export function same(actual, expected, what = "it") {
  is(JSON.stringify(actual), JSON.stringify(expected), what);
}

export function throws(name, run, what = String(run)) {
  try {
    run();
  } catch (error) {
    is(error.name, name, `the error of ${what}`);
    if (name !== "TypeError") is(error instanceof DOMException, true, `a DOMException for ${what}`);
    return;
  }
  throw new Error(`${what} threw nothing`);
}

export const bytes = async (data) => [...new Uint8Array(data instanceof Blob ? await data.arrayBuffer() : data)];
