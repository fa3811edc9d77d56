// Clients that are left alone with a server that goes and comes. Usage: node comeback.mjs SERVER CARRIER; JSON lines.

import { createRequire } from "node:module";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { HttpTransportType, HubConnectionBuilder, LogLevel } = require("@microsoft/signalr");
const [url, carrier] = process.argv.slice(2);
const { WebSockets, ServerSentEvents, LongPolling } = HttpTransportType;
const transport = { websockets: WebSockets, events: ServerSentEvents, polling: LongPolling }[carrier];

const tell = (what) => console.log(JSON.stringify(what));

for (const name of ["plain", "stateful"]) {
  const builder = new HubConnectionBuilder()
    .withUrl(`${url}/hub`, { transport })
    .configureLogging(LogLevel.None)
    .withKeepAliveInterval(1000)
    .withAutomaticReconnect(Array.from({ length: 100 }, () => 100));
  if (name === "stateful") builder.withStatefulReconnect();
  const connection = builder.build();
  connection.onreconnecting((error) => tell({ lost: name, error: `${error?.message ?? ""}` }));
  connection.onreconnected(async (id) => tell({ back: name, isItself: (await connection.invoke("ConnectionId")) === id }));
  connection.onclose((error) => tell({ closed: name, error: `${error?.message ?? ""}` }));
  await connection.start();
  tell({ connected: name });
}
process.stdin.on("end", () => process.exit(0)).resume();
