// The peer `socket.io`: events "say", answered, and "shout", to a room. Usage: node socketio_server.cjs PORT
"use strict";
const http = require("node:http");
const path = require("node:path");
const { Server } = require(path.join(__dirname, "../.peers/node/node_modules/socket.io"));

const server = http.createServer();
const io = new Server(server);

io.on("connection", (socket) => {
  socket.join("bench");
  socket.on("say", (text, answer) => answer(text));
  socket.on("shout", (text) => io.to("bench").emit("shout", text));
});

server.listen(Number(process.argv[2]), "127.0.0.1");
