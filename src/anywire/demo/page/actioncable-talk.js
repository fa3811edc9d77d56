// @rails/actioncable in the chat: a subscription for each room, actions without answers. Both come back by themselves.
//
// An action is not answered, but a subscription is told what the join says: so each room is joined by one of its own,
// which hears what was said there, as a channel of Rails has it. Nor is a client told why it is disconnected.

import { LOBBY } from "/chat.js";

/** Its words are in talks.js. */
export class ActionCableTalk {
  static title = "Action Cable";
  static library = "@rails/actioncable";
  static script = "/actioncable.js";
  static transports = ["websocket"];
  static needsToken = false;

  #consumer;
  #rooms;
  #tell;
  /** By room. */
  #subscriptions = new Map();
  #isOpen = false;
  #wasOpen = false;

  constructor({ name, token, rooms, tell }) {
    this.#rooms = rooms;
    this.#tell = tell;
    const query = new URLSearchParams({ name, ...(token && { token }) });
    this.#consumer = globalThis.ActionCable.createConsumer(`/cable?${query}`);
    this.join(LOBBY);
  }

  join(room) {
    const subscription = this.#consumer.subscriptions.create(
      { channel: "ChatChannel", rooms: [room] },
      {
        connected: () => this.#connected(),
        disconnected: ({ willAttemptReconnect }) => this.#disconnected(willAttemptReconnect),
        rejected: () => this.#rejected(room),
        received: (message) => this.#received(room, message),
      },
    );
    this.#subscriptions.set(room, subscription);
  }

  leave(room) {
    this.#subscriptions.get(room)?.unsubscribe();
    this.#subscriptions.delete(room);
  }

  say(room, message) {
    this.#subscriptions.get(room)?.perform("send-message", { room, message });
  }

  close() {
    this.#consumer.disconnect();
  }

  /** One of the subscriptions stands; with the first one it is known where the page is by now. */
  #connected() {
    if (this.#isOpen) return;
    this.#isOpen = this.#wasOpen = true;
    this.#tell.carrier("websocket");
    this.#tell.state("open");
    const rooms = this.#rooms();
    for (const room of this.#subscriptions.keys()) if (!rooms.includes(room)) this.leave(room);
    for (const room of rooms) if (!this.#subscriptions.has(room)) this.join(room);
  }

  #disconnected(isComingBack) {
    this.#isOpen = false;
    if (isComingBack) return this.#tell.state("waiting");
    const state = this.#wasOpen ? "closed" : "refused";
    this.#tell.state(state, "disconnected, not to come back: a client is not told why");
  }

  #rejected(room) {
    this.#subscriptions.delete(room);
    this.#tell.trouble(`The subscription to ${room} was rejected.`);
  }

  #received(room, { event, data, recent }) {
    if (recent) this.#tell.recent(room, recent[room]);
    if (event === "room-message" && data.room === room) this.#tell.said(data);
    if (event === "error") this.#tell.trouble(data.text || data.code);
  }
}
