// The npm package phoenix in the chat: a socket, one channel, pushes with answers. It reconnects and rejoins by itself.

const FALLBACK = 2500;
const FORBIDDEN = 403;

/** Its words are in talks.js. */
export class PhoenixTalk {
  static title = "Phoenix";
  static library = "phoenix";
  static script = "/phoenix.min.js";
  static transports = ["websocket", "longpoll"];
  static needsToken = false;

  #socket;
  #channel;
  #tell;

  constructor({ name, token, transport, rooms, tell }) {
    this.#tell = tell;
    const { Socket, LongPoll } = globalThis.Phoenix;
    const carried = { websocket: {}, longpoll: { transport: LongPoll } }[transport];
    const socket = new Socket("/socket", {
      params: { name },
      ...(token && { authToken: token }),
      ...(carried ?? { longPollFallbackMs: FALLBACK }),
    });
    this.#socket = socket;
    socket.onOpen(() => tell.carrier(socket.transport === LongPoll ? "longpoll" : "websocket"));
    socket.onClose(() => tell.state("waiting"));
    socket.onError((error, transport, established) => {
      if (error === FORBIDDEN) return tell.state("refused", `the socket is forbidden (${error})`);
      // No WebSocket says why it was not opened: one that never was is taken for refused.
      const isLast = transport === LongPoll || !carried;
      if (isLast || established) return tell.state("waiting");
      tell.state("refused", "the WebSocket was not opened, and a browser is not told why");
    });
    // Read anew at each join: who comes back is in the same rooms at once.
    const channel = socket.channel("chat", () => ({ rooms: rooms() }));
    this.#channel = channel;
    channel.on("room-message", (said) => tell.said(said));
    channel.on("error", ({ text, code }) => tell.trouble(text || code));
    channel
      .join()
      .receive("ok", (joined) => this.#joined(joined))
      .receive("error", ({ reason, text }) => tell.state("refused", `${reason}: ${text}`));
    socket.connect();
  }

  /** Is in a room, and shows what was said there. */
  join(room) {
    this.#ask("join-room", { room }).receive("ok", ({ recent }) => this.#tell.recent(room, recent));
  }

  leave(room) {
    this.#ask("leave-room", { room });
  }

  say(room, message) {
    this.#ask("send-message", { room, message });
  }

  /** The channel first: without its goodbye a long poll is missed only after a while. */
  close() {
    const end = () => this.#socket.disconnect();
    this.#channel.leave().receive("ok", end).receive("timeout", end);
  }

  #joined({ recent }) {
    this.#tell.state("open");
    for (const [room, messages] of Object.entries(recent)) this.#tell.recent(room, messages);
  }

  #ask(event, given) {
    return this.#channel
      .push(event, given)
      .receive("error", ({ reason, text }) => this.#tell.trouble(text || reason))
      .receive("timeout", () => this.#tell.trouble(`${event}: no answer came in time`));
  }
}
