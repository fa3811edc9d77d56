// A client that is left alone: says each join, and how its socket was closed. Usage: node comeback.mjs SERVER TRANSPORT

import { createRequire } from "node:module";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { LongPoll, Socket } = require("phoenix");
globalThis.WebSocket ??= require("ws");

const [url, transport] = process.argv.slice(2);
const options = transport === "longpoll" ? { transport: LongPoll } : {};
const socket = new Socket(`${url.replace("http", "ws")}/socket`, { ...options, reconnectAfterMs: () => 100 });
socket.onClose(({ code }) => console.log(JSON.stringify({ closed: code })));
socket.connect();

for (const topic of ["room:one", "room:two"]) {
  const channel = socket.channel(topic, { topic });
  channel.join().receive("ok", ({ params }) => {
    console.log(JSON.stringify({ joined: topic, params }));
    channel.push("echo", { kept: topic }).receive("ok", (answer) => console.log(JSON.stringify({ echo: answer.kept })));
  });
}
process.stdin.on("end", () => process.exit(0)).resume();
