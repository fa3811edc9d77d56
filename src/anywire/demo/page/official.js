// The official clients of Socket.IO and SockJS in the chat, each under one surface. They are used as
// their documentation shows it, and know nothing of anywire.
//
// A talk tells its panel what happens: `state(state, why)`, `carrier(text)`, `said({room, user, message})`,
// `recent(room, messages)` in the place of what was shown of a room, and `trouble(text)`. States are
// `connecting`, `open`, `waiting` (it comes back), `refused` and `closed`.

const LOBBY = "lobby";
const PATIENCE = 5000;
/** Messages of before that a newcomer is shown. */
const RECENT = 50;
const LONGEST_DELAY = 10_000;
/** Close codes of a server that does not want this client. */
const REFUSED = [4401, 4403];

/** socket.io-client: `io`, `auth`, `emitWithAck`. It reconnects by itself. */
export class SocketIoTalk {
  static title = "Socket.IO";
  static library = "socket.io-client";
  static script = "/socket.io.min.js";
  static transports = ["polling", "websocket"];
  static needsToken = true;

  #socket;
  #tell;

  constructor({ name, token, transport, rooms, tell }) {
    this.#tell = tell;
    const socket = globalThis.io("/", {
      forceNew: true,
      auth: token ? { token, name } : { name },
      ...(transport && { transports: [transport] }),
    });
    this.#socket = socket;
    socket.on("connect", () => {
      tell.state("open");
      for (const room of rooms()) this.join(room);
    });
    socket.on("connect_error", (error) => {
      // Not active: the server said no, and it is not asked again.
      if (socket.active) return tell.state("waiting", error.message);
      tell.state("refused", `connect_error: ${error.message}`, error.data);
    });
    socket.on("disconnect", (reason) => tell.state(socket.active ? "waiting" : "closed", reason));
    socket.on("room-message", (said) => tell.said(said));
    socket.io.on("open", () => this.#opened(socket.io.engine));
  }

  /** Is in a room, and shows what was said there. */
  async join(room) {
    const { recent } = await this.#ask("join-room", { room });
    if (recent) this.#tell.recent(room, recent);
  }

  leave(room) {
    this.#ask("leave-room", { room });
  }

  say(room, message) {
    this.#ask("send-message", { room, message });
  }

  close() {
    this.#socket.off();
    this.#socket.io.off();
    this.#socket.disconnect();
  }

  #opened(engine) {
    const first = engine.transport.name;
    this.#tell.carrier(first);
    engine.once("upgrade", ({ name }) => this.#tell.carrier(`${first} → ${name}`));
  }

  /** The answer; empty for none. */
  async #ask(event, data) {
    try {
      const answer = await this.#socket.timeout(PATIENCE).emitWithAck(event, data);
      if (!answer?.error) return answer ?? {};
      this.#tell.trouble(answer.error.text || answer.error.code);
    } catch (error) {
      if (this.#socket.connected) this.#tell.trouble(`${event}: ${error.message}`);
    }
    return {};
  }
}

/** sockjs-client: messages without names and answers, so an event is an object. It stays closed: we open another. */
export class SockJsTalk {
  static title = "SockJS";
  static library = "sockjs-client";
  static script = "/sockjs.min.js";
  static transports = ["websocket", "xhr-streaming", "xhr-polling"];
  static needsToken = false;

  #asked;
  #tell;
  #sock;
  #timer;
  #tries = 0;

  constructor({ name, token, transport, rooms, tell }) {
    this.#asked = { name, token, transport, rooms };
    this.#tell = tell;
    this.#open();
  }

  join(room) {
    this.#send("join-room", { room });
  }

  leave(room) {
    this.#send("leave-room", { room });
  }

  say(room, message) {
    this.#send("send-message", { room, message });
  }

  close() {
    clearTimeout(this.#timer);
    const sock = this.#sock;
    this.#sock = undefined;
    sock?.close();
  }

  #open() {
    const { name, token, transport, rooms } = this.#asked;
    const query = new URLSearchParams({ name, ...(token && { token }), last: RECENT });
    const sock = new globalThis.SockJS(`/sockjs?${query}`, null, transport ? { transports: [transport] } : {});
    this.#sock = sock;
    const listen = (listener) => (event) => this.#sock === sock && listener(event);
    sock.onopen = listen(() => {
      this.#tries = 0;
      this.#tell.carrier(sock.transport);
      this.#tell.state("open");
      for (const room of rooms()) if (room !== LOBBY) this.join(room);
    });
    sock.onmessage = listen(({ data }) => this.#heard(JSON.parse(data)));
    sock.onclose = listen(({ code, reason }) => this.#closed(code, reason));
  }

  #heard({ event, data }) {
    if (event === "room-message") this.#tell.said(data);
    if (event === "error") this.#tell.trouble(data.text || data.code);
  }

  #closed(code, reason) {
    if (REFUSED.includes(code)) return this.#tell.state("refused", `closed with ${code}: ${reason}`);
    this.#tell.state("waiting", reason);
    this.#timer = setTimeout(() => this.#open(), Math.min(LONGEST_DELAY, 500 * 2 ** this.#tries++));
  }

  #send(event, data) {
    this.#sock?.send(JSON.stringify({ event, data }));
  }
}
