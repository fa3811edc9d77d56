// Ends of WebSockets in this process: told what to do, telling what they hear, a line of JSON each way.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

export const ws = createRequire(new URL("../js/package.json", import.meta.url))("ws");
const ends = new Map();

export function tell(end, event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ end, event, ...fields })}\n`);
}

// `isEcho`: every message is sent back as it came.
export function follow(end, socket, isEcho = false) {
  const base64 = (data) => data.toString("base64");
  let error = "";
  ends.set(end, socket);
  socket.on("message", (data, binary) => {
    // What the socket has read so far shows whether the message travelled compressed.
    tell(end, "message", { data: base64(data), binary, read: socket._socket.bytesRead });
    if (isEcho) socket.send(data, { binary });
  });
  socket.on("ping", (data) => tell(end, "ping", { data: base64(data) }));
  socket.on("pong", (data) => tell(end, "pong", { data: base64(data) }));
  socket.on("error", (problem) => (error = problem.message));
  socket.on("close", (code, reason) => {
    ends.delete(end);
    tell(end, "close", { code, reason: reason.toString(), error });
  });
}

const common = {
  send(socket, { data, binary = false, fin = true }) {
    socket.send(Buffer.from(data, "base64"), { binary, fin });
  },
  ping: (socket, { data }) => socket.ping(Buffer.from(data, "base64")),
  pong: (socket, { data }) => socket.pong(Buffer.from(data, "base64")),
  close: (socket, { code, reason }) => socket.close(code, reason),
  terminate: (socket) => socket.terminate(),
  // Bytes that ws itself would not send.
  write: (socket, { data }) => socket._socket.write(Buffer.from(data, "base64")),
};

// `open(end, order)` makes the end that an order of this kind names; ends with its input.
export function obey(open) {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const { end, do: kind, ...order } = JSON.parse(line);
    if (kind === "open") open(end, order);
    else common[kind](ends.get(end), order);
  });
  lines.on("close", () => process.exit());
}
