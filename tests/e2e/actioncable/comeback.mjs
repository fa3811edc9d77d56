// A client of Rails that is left alone: says each confirmation, and each end. Usage: node comeback.mjs SERVER

import { createRequire } from "node:module";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { WebSocket } = require("ws");
Object.assign(globalThis, { WebSocket, addEventListener() {}, removeEventListener() {} });
const { ConnectionMonitor, createConsumer } = require("@rails/actioncable");

// Seconds without a ping: as few as a server allows that pings every three.
ConnectionMonitor.staleThreshold = 3.5;
const consumer = createConsumer(`${process.argv[2].replace("http", "ws")}/cable`);
const tell = (said) => console.log(JSON.stringify(said));

for (const room of ["one", "two"]) {
  consumer.subscriptions.create(
    { channel: "RoomChannel", room },
    {
      connected: ({ reconnected }) => tell({ connected: room, reconnected }),
      disconnected: ({ willAttemptReconnect }) => tell({ disconnected: room, willAttemptReconnect }),
    },
  );
}
process.stdin.on("end", () => process.exit(0)).resume();
