// The peer `ws`: echo at /echo, one room at /room. Usage: node ws_server.cjs PORT
"use strict";
const path = require("node:path");
const { WebSocketServer } = require(path.join(__dirname, "../.peers/node/node_modules/ws"));

const members = new Set();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  perMessageDeflate: false,
});

server.on("connection", (socket, request) => {
  if (request.url === "/echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    return;
  }
  members.add(socket);
  socket.on("close", () => members.delete(socket));
  socket.on("message", (data, binary) => {
    for (const member of members) member.send(data, { binary });
  });
});
