// The chat without its looks: a connection that comes back, the rooms, who is online, what still waits to be sent.

import { connect } from "/anywire.js";

export const LOBBY = "lobby";
const CHANNEL = "chat";
/** Messages of a room that stay on the page. */
const KEPT = 500;

/** Everything the page shows; `changed` is called after each change, with what changed. */
export class Chat {
  /** Rooms by name: `{name, entries, unread, isConfirmed}`. */
  rooms = new Map();
  current = LOBBY;
  /** By user id: what each connection of the user says of itself, `{name, verified}`. */
  people = new Map();
  me = { id: "", name: "", isVerified: false };
  state = "connecting";
  /** Why it is closed for good. */
  reason = "";
  /** When the next attempt begins, by `performance.now()`. */
  retryAt = 0;

  #changed;
  #client;
  #channel;
  #token;
  #wake = () => {};
  #serial = 0;

  constructor({ token, changed }) {
    this.#token = token;
    this.#changed = changed;
    this.#room(LOBBY).isConfirmed = true;
  }

  /** Connects under this name; what was shown, and what waits, stays. */
  connect(name) {
    this.#client?.close();
    const url = name ? `/ws?name=${encodeURIComponent(name)}` : "/ws";
    const client = connect(url, {
      ...(this.#token && { token: this.#token }),
      clock: this.#clock(),
      onWake: (run) => this.#onWake(run),
    });
    this.#client = client;
    // Read anew at each join: who comes back is in the same rooms at once.
    const params = {};
    Object.defineProperty(params, "rooms", { enumerable: true, get: () => this.#confirmed() });
    const channel = client.channel(CHANNEL, { recover: true, params });
    this.#channel = channel;
    const listen = (listener) => (...args) => this.#client === client && listener(...args);
    client.on("state", listen((state) => this.#stateChanged(state)));
    channel.membership.on("joined", listen((joined) => this.#joined(joined)));
    channel.membership.on("gap", listen(() => this.#noticed(this.current, "Some messages were lost.")));
    channel.on("room-message", listen((said, heard) => this.#heard(said, heard)));
    channel.on("user-joined", listen(({ name }, heard) => this.#noticed(roomOf(heard), `${name} joined`)));
    channel.on("user-left", listen(({ name }, heard) => this.#noticed(roomOf(heard), `${name} left`)));
    channel.presence.on("change", listen((people) => this.#present(people)));
    channel.join().catch(() => {});
    this.#stateChanged(client.state);
    for (const room of this.rooms.values()) {
      if (!room.isConfirmed) this.#enter(room.name).catch(() => this.#drop(room.name));
    }
    for (const entry of this.waiting()) this.#say(entry);
  }

  /** Cuts a wait short. */
  wake() {
    this.#wake();
  }

  /** Connects as a guest after the token was refused. */
  forgetToken(name) {
    this.#token = "";
    this.connect(name);
  }

  select(name) {
    this.current = name;
    this.#room(name).unread = 0;
    this.#changed("rooms", "messages");
  }

  /** Rejects with the server's reason. */
  async join(name) {
    const isNew = !this.rooms.has(name);
    const before = this.current;
    this.#room(name);
    this.select(name);
    if (!isNew) return;
    try {
      await this.#enter(name);
    } catch (error) {
      this.#drop(name, before);
      throw error;
    }
  }

  leave(name) {
    this.#drop(name);
    this.#call("leave-room", name).catch(() => {});
  }

  /** Says something in the current room, now or when there is a connection. */
  say(text) {
    const entry = { kind: "own", room: this.current, user: this.me.name, text, time: Date.now(), state: "pending", why: "" };
    this.#add(entry);
    this.#say(entry);
  }

  /** What the server does not have yet, in the order it was typed. */
  waiting() {
    const entries = [...this.rooms.values()].flatMap((room) => room.entries);
    return entries.filter((entry) => entry.state === "pending").sort((a, b) => a.serial - b.serial);
  }

  async #say(entry) {
    const client = this.#client;
    try {
      await this.#call("send-message", { room: entry.room, message: entry.text });
      entry.state = "sent";
    } catch (error) {
      // The next connection says it again.
      if (client !== this.#client || client.closed || entry.state !== "pending") return;
      // The server went away with it, or before it came: nobody was heard saying it, so it is said again.
      if (error.code === "lost") return this.#say(entry);
      entry.state = "failed";
      entry.why = error.text || error.code;
    }
    this.#changed("messages");
  }

  /** Asks the server to be in a room; rejects with its reason. */
  async #enter(name) {
    const client = this.#client;
    try {
      const { recent } = await this.#call("join-room", name);
      if (!this.rooms.has(name)) return;
      this.#room(name).isConfirmed = true;
      this.#changed("rooms");
      for (const said of recent) this.#heard(said, said);
    } catch (error) {
      // The next connection asks again.
      if (client !== this.#client || client.closed) return;
      if (error.code !== "lost") throw error;
      return this.#enter(name);
    }
  }

  /** Forgets a room; if it is the current one, another is shown. */
  #drop(name, instead = LOBBY) {
    this.rooms.delete(name);
    if (this.current === name) this.current = this.rooms.has(instead) ? instead : LOBBY;
    this.select(this.current);
  }

  /** Without end: what is asked or said without a connection waits for one. */
  #call(event, data) {
    return this.#channel.call(event, data, { timeout: 0 });
  }

  #joined({ data, outcome, reason }) {
    this.me = { ...this.me, id: data.id, name: data.name };
    if (outcome === "lost") {
      const text = reason === "epoch" ? "The server was restarted." : "Some messages were lost.";
      for (const name of this.rooms.keys()) this.#noticed(name, text);
    }
    for (const [name, recent] of Object.entries(data.recent)) {
      for (const said of recent) this.#heard(said, said);
    }
    this.#changed("me", "rooms", "messages");
  }

  /** A message came: live, again after a cut, or as one of a room's recent ones; the same one is taken once. */
  #heard({ room, user, message, time }, { offset, epoch }) {
    if (!this.rooms.has(room)) return;
    const { keys, entries } = this.#room(room);
    const key = `${epoch}:${offset}`;
    if (keys.has(key)) return;
    keys.add(key);
    const isMine = ({ state, text }) => state === "pending" && text === message;
    const own = user === this.me.name && entries.find(isMine);
    if (own) {
      own.state = "sent";
      own.user = user;
      return this.#changed("messages");
    }
    const at = time === undefined ? Date.now() : time * 1000;
    this.#add({ kind: "other", room, user, text: message, time: at, isVerified: this.#isVerified(user), state: "sent" });
  }

  #noticed(name, text) {
    if (this.rooms.has(name)) this.#add({ kind: "notice", room: name, text, time: Date.now() });
  }

  #add(entry) {
    entry.serial = ++this.#serial;
    const room = this.#room(entry.room);
    // What still waits stays at the end: it is said after all that was said already.
    const end = room.entries.findLastIndex((one) => one.state !== "pending") + 1;
    room.entries.splice(entry.kind === "own" ? room.entries.length : end, 0, entry);
    if (room.entries.length > KEPT) room.entries.shift();
    if (entry.kind === "other" && (entry.room !== this.current || document.hidden)) room.unread += 1;
    this.#changed("rooms", "messages");
  }

  #room(name) {
    let room = this.rooms.get(name);
    if (!room) {
      room = { name, entries: [], keys: new Set(), unread: 0, isConfirmed: false };
      this.rooms.set(name, room);
      this.#changed("rooms");
    }
    return room;
  }

  #confirmed() {
    return [...this.rooms.values()].filter((room) => room.isConfirmed).map((room) => room.name);
  }

  #present(people) {
    this.people = people;
    const { id } = this.me;
    this.me = { ...this.me, isVerified: !!people.get(id)?.[0]?.verified };
    this.#changed("people", "me");
  }

  /** Messages bear a name only: it is marked while nobody without the token has it. */
  #isVerified(name) {
    const metas = [...this.people.values()].flat().filter((meta) => meta.name === name);
    return metas.length > 0 && metas.every((meta) => meta.verified);
  }

  #stateChanged(state) {
    this.state = state;
    this.reason = this.#client.closed?.text ?? "";
    this.#changed("state", "people", "messages");
  }

  /** The browser's clock, which remembers the last delay: before the state `waiting` it is that of the next attempt. */
  #clock() {
    return {
      now: () => performance.now(),
      setTimeout: (run, delay) => {
        this.retryAt = performance.now() + delay;
        return setTimeout(run, delay);
      },
      clearTimeout: (timer) => clearTimeout(timer),
    };
  }

  /** The moments worth an attempt: the network is back, the page is looked at, the user asks. */
  #onWake(run) {
    const seen = () => document.visibilityState === "visible" && run();
    this.#wake = run;
    addEventListener("online", run);
    document.addEventListener("visibilitychange", seen);
    return () => {
      removeEventListener("online", run);
      document.removeEventListener("visibilitychange", seen);
    };
  }
}

/** The room's name in the chat: it stands after the slash. */
function roomOf({ room }) {
  return room.slice(room.indexOf("/") + 1);
}
