// socket.io-client in the chat: `auth`, events, acknowledgements. It reconnects by itself.

const PATIENCE = 5000;

/** Its words are in talks.js. */
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
