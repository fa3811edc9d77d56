// The home-made class at work: each line of the input is sent, what happens is told line by line.

import { createInterface } from "node:readline";
import { RobustWebSocket } from "./robust.mjs";

const socket = new RobustWebSocket(process.argv[2], {
  reconnectInterval: 50,
  maxReconnectInterval: 200,
  heartbeatInterval: 200,
  heartbeatTimeout: Number(process.argv[3] ?? 5000),
});
let opens = 0;
let pongs = 0;
socket.on("open", () => console.log(`open ${++opens}`));
socket.on("close", (code) => console.log(`closed ${code}`));
socket.on("pong", ({ timestamp }) => console.log(`pong ${++pongs} at ${timestamp}`));
socket.on("message", (message) => console.log(JSON.stringify(message)));
createInterface({ input: process.stdin })
  .on("line", (line) => socket.send(JSON.parse(line)))
  .on("close", () => socket.close());
