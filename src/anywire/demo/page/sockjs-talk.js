// sockjs-client in the chat: messages without names and answers, so an event is an object. It stays closed: we open
// another.

import { LOBBY } from "/chat.js";
import { delay } from "/parts.js";

/** Messages of before that a newcomer is shown. */
const RECENT = 50;
/** Close codes of a server that does not want this client. */
const REFUSED = [4401, 4403];

/** Its words are in talks.js. */
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
    this.#timer = setTimeout(() => this.#open(), delay(this.#tries++));
  }

  #send(event, data) {
    this.#sock?.send(JSON.stringify({ event, data }));
  }
}
