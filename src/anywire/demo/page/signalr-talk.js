// @microsoft/signalr in the chat: a hub, invocations with answers, automatic reconnect.

import { delay } from "/parts.js";

/** Its words are in talks.js. */
export class SignalRTalk {
  static title = "SignalR";
  static library = "@microsoft/signalr";
  static script = "/signalr.min.js";
  static transports = ["WebSockets", "ServerSentEvents", "LongPolling"];
  static needsToken = false;

  #hub;
  #rooms;
  #tell;
  #timer;
  #tries = 0;
  #isOver = false;

  constructor({ name, token, transport, rooms, tell }) {
    this.#rooms = rooms;
    this.#tell = tell;
    const { HubConnectionBuilder, HttpTransportType } = globalThis.signalR;
    const hub = new HubConnectionBuilder()
      .withUrl(`/hub?${new URLSearchParams({ name })}`, {
        ...(token && { accessTokenFactory: () => token }),
        ...(transport && { transport: HttpTransportType[transport] }),
      })
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => delay(previousRetryCount) })
      .configureLogging({ log: (_, text) => this.#logged(text) })
      .build();
    this.#hub = hub;
    hub.on("room-message", (said) => tell.said(said));
    hub.onreconnecting((error) => tell.state("waiting", error?.message));
    hub.onreconnected(() => this.#opened());
    hub.onclose((error) => tell.state("closed", error?.message));
    this.#start();
  }

  /** Is in a room, and shows what was said there. */
  async join(room) {
    const answer = await this.#ask("join-room", room);
    if (answer) this.#tell.recent(room, answer.recent);
  }

  leave(room) {
    this.#ask("leave-room", room);
  }

  say(room, message) {
    this.#ask("send-message", room, message);
  }

  close() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#hub.stop();
  }

  /** The first time is ours to repeat: it comes back by itself only once it was there. */
  async #start() {
    try {
      await this.#hub.start();
      this.#opened();
    } catch (error) {
      if (this.#isOver) return;
      // Whoever negotiates is there: then it said no to every transport.
      const isAway = error.errorType === "FailedToNegotiateWithServerError";
      if (!isAway) return this.#tell.state("refused", reasonOf(error));
      this.#tell.state("waiting");
      this.#timer = setTimeout(() => this.#start(), delay(this.#tries++));
    }
  }

  #opened() {
    this.#tell.state("open");
    for (const room of this.#rooms()) this.join(room);
  }

  /** Its log alone says what carries it. */
  #logged(text) {
    const transport = /Selecting transport '(\w+)'/.exec(text)?.[1];
    if (transport) this.#tell.carrier(transport);
  }

  /** The answer; nothing for none. */
  async #ask(method, ...given) {
    try {
      return await this.#hub.invoke(method, ...given);
    } catch (error) {
      if (this.#hub.state === "Connected") this.#tell.trouble(error.message);
      return undefined;
    }
  }
}

/** Of all transports the last that was tried: a browser is told what stands in an answer to a long poll alone. */
function reasonOf(error) {
  const tried = error.innerErrors?.filter(({ errorType }) => errorType === "FailedToStartTransportError") ?? [];
  return (tried.at(-1) ?? error).message;
}
