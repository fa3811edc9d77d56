// A client that is left alone: says who it is after each connect, and why it was disconnected.
// Usage: node comeback.mjs SERVER TRANSPORT

import { createRequire } from "node:module";
import { TRANSPORTS } from "./scenarios.mjs";
import { Scene, carriedBy } from "./scene.mjs";

const { io } = createRequire(new URL("../../js/package.json", import.meta.url))("socket.io-client");
const [url, transport] = process.argv.slice(2);
const t = new Scene({ io, url, transports: TRANSPORTS[transport] });
const socket = t.make("/");
const chat = socket.io.socket("/chat");

for (const one of [socket, chat]) {
  one.on("connect", async () => {
    await carriedBy(socket, t.carrier);
    const answer = await one.emitWithAck("echo", "here");
    console.log(JSON.stringify({ nsp: one.nsp, connect: one.id, recovered: one.recovered, answer }));
  });
  one.on("disconnect", (reason) => {
    console.log(JSON.stringify({ nsp: one.nsp, disconnect: reason }));
    one.emit("echo", "kept");
  });
  one.on("echo", (text) => console.log(JSON.stringify({ nsp: one.nsp, echo: text })));
}
process.stdin.on("end", () => process.exit(0)).resume();
