// Servers of the ws library behind one port: each `open` makes one, for the path with its name.

import { createServer } from "node:http";
import { follow, obey, tell, ws } from "./end.mjs";

const servers = new Map();
const http = createServer();

http.on("upgrade", (request, socket, head) => {
  const end = request.url.slice(1).split("?")[0];
  const { server, isEcho } = servers.get(end);
  servers.delete(end);
  let answer = "";
  server.on("headers", (lines) => {
    const name = "sec-websocket-extensions: ";
    answer = lines.find((line) => line.toLowerCase().startsWith(name))?.slice(name.length) ?? "";
  });
  server.handleUpgrade(request, socket, head, (accepted) => {
    tell(end, "open", { protocol: accepted.protocol, extensions: answer });
    follow(end, accepted, isEcho);
  });
});

http.listen(0, "127.0.0.1", () => {
  const { port } = http.address();
  obey((end, { options, protocol, echo }) => {
    const choose = protocol === undefined ? {} : { handleProtocols: () => protocol };
    const server = new ws.WebSocketServer({ noServer: true, ...choose, ...options });
    servers.set(end, { server, isEcho: echo });
    tell(end, "listening", { port });
  });
});
