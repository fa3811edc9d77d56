// Clients of the ws library: each `open` connects one.

import { follow, obey, tell, ws } from "./end.mjs";

obey((end, { url, subprotocols, options }) => {
  const socket = new ws.WebSocket(url, subprotocols, options);
  let answer = "";
  socket.on("upgrade", ({ headers }) => (answer = headers["sec-websocket-extensions"] ?? ""));
  socket.on("open", () => tell(end, "open", { protocol: socket.protocol, extensions: answer }));
  socket.on("unexpected-response", (request, { statusCode, headers }) => {
    socket.removeAllListeners("close");
    tell(end, "refused", { status: statusCode, headers });
    request.destroy();
  });
  follow(end, socket);
});
