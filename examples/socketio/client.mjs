// A client of the Socket.IO example, which knows nothing of anywire. It reads commands from its input.
// Usage: node client.mjs URL TOKEN, then: enter ROOM, say ROOM TEXT, quit ROOM, or bye

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, token] = process.argv.slice(2);
const socket = io(url, { auth: { token } });

const tell = (...words) => console.log(words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" "));

socket.on("connect", () => tell(socket.recovered ? "recovered" : "connected"));
socket.on("connect_error", (error) => tell("refused:", error.message));
socket.on("disconnect", (reason) => tell("disconnected:", reason));
socket.on("sure?", (room, answer) => {
  tell("asked about", room);
  answer(true);
});
for (const event of ["entered", "said", "gone"]) socket.on(event, (about) => tell(event, about));

const commands = {
  enter: (room) => socket.emitWithAck("enter", { room }),
  say: (room, ...words) => socket.emitWithAck("say", { room, text: words.join(" ") }),
  quit: (room) => socket.emitWithAck("quit", { room }),
  bye: () => socket.disconnect() && "done",
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  const answer = await commands[command]?.(...words);
  tell(`${command}:`, answer ?? null);
}
socket.disconnect();
