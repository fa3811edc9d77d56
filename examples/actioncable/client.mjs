// A client of the Action Cable example, which knows nothing of anywire. Each line of its input is said in the room.
// Usage: node client.mjs URL NAME [ROOM]

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
// What the client of Rails expects of a page, and Node has not.
Object.assign(globalThis, { WebSocket: require("ws"), addEventListener() {}, removeEventListener() {} });
const { createConsumer } = require("@rails/actioncable");

const [url, name, room = "lobby"] = process.argv.slice(2);
const consumer = createConsumer(`${url}?user=${encodeURIComponent(name)}`);
const chat = consumer.subscriptions.create(
  { channel: "ChatChannel", room },
  {
    connected: () => console.log("connected"),
    rejected: () => console.log("rejected"),
    disconnected: () => console.log("disconnected"),
    received: ({ topic, came, left, from, text }) => {
      if (topic) console.log(topic);
      else console.log(came ? `${came} came` : left ? `${left} left` : `${from}: ${text}`);
    },
  },
);

for await (const text of createInterface({ input: process.stdin })) chat.perform("speak", { text });
consumer.disconnect();
