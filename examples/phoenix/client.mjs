// A client of the Phoenix example, which knows nothing of anywire. Each line of its input is a message.
// Usage: node client.mjs URL NAME [longpoll]

import { createInterface } from "node:readline";
import { LongPoll, Presence, Socket } from "phoenix";

globalThis.WebSocket ??= (await import("ws")).default; // Node has its own from version 22

const [url, user, transport] = process.argv.slice(2);
const options = transport === "longpoll" ? { transport: LongPoll } : {};
const socket = new Socket(url.replace("http", "ws"), { params: { user }, ...options });
socket.onClose(({ code }) => console.log("closed", code));
socket.connect();

const channel = socket.channel("room:lobby");
channel.on("new_msg", ({ by, body }) => console.log("heard", by, body));

const presence = new Presence(channel);
presence.onSync(() => {
  const here = presence.list((name, { metas }) => `${name} (${metas.map(({ over }) => over)})`);
  console.log("here", here.sort().join(", "));
});

channel
  .join()
  .receive("ok", ({ topic }) => console.log("joined:", topic))
  .receive("error", ({ reason }) => console.log("refused:", reason));

for await (const body of createInterface({ input: process.stdin })) {
  channel.push("new_msg", { body }).receive("error", ({ reason }) => console.log("refused:", reason));
}
channel.leave().receive("ok", () => socket.disconnect(() => process.exit(0)));
