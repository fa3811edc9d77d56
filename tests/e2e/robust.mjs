// A home-made reconnecting WebSocket, as applications write them. It knows the options by name, and no server.

import { createRequire } from "node:module";

const { WebSocket } = createRequire(new URL("../js/package.json", import.meta.url))("ws");
const RECONNECT = { reconnectInterval: 1000, maxReconnectInterval: 30000, reconnectDecay: 1.5 };
const HEARTBEAT = { heartbeatInterval: 30000, heartbeatTimeout: 5000 };

export class RobustWebSocket {
  queue = [];
  listeners = {};
  attempts = 0;

  constructor(url, options = {}) {
    Object.assign(this, RECONNECT, HEARTBEAT, options, { url });
    this.connect();
  }
  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => {
      this.attempts = 0;
      this.beat = setInterval(() => this.ping(), this.heartbeatInterval);
      for (const message of this.queue.splice(0)) this.send(message);
      this.emit("open");
    };
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type !== "pong") return this.emit("message", message);
      this.timeout = clearTimeout(this.timeout);
      this.emit("pong", message);
    };
    this.socket.onerror = () => {};
    this.socket.onclose = ({ code }) => {
      clearInterval(this.beat);
      this.timeout = clearTimeout(this.timeout);
      this.emit("close", code);
      if (this.isForced) return;
      const delay = this.reconnectInterval * this.reconnectDecay ** this.attempts++;
      setTimeout(() => this.connect(), Math.min(delay, this.maxReconnectInterval));
    };
  }
  ping() {
    this.send({ type: "ping" });
    this.timeout ??= setTimeout(() => this.socket.terminate(), this.heartbeatTimeout);
  }
  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    else this.queue.push(message);
  }
  on(event, listener) {
    (this.listeners[event] ??= []).push(listener);
  }
  emit(event, value) {
    for (const listener of this.listeners[event] ?? []) listener(value);
  }
  close() {
    this.isForced = true;
    this.socket.close();
  }
}
