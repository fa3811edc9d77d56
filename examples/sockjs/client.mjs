// A client of the SockJS example, which knows nothing of anywire. Each line of its input is a vote: tea, or coffee.
// Usage: node client.mjs URL [TRANSPORT…]

import { createInterface } from "node:readline";
import SockJS from "sockjs-client";

const [url, ...transports] = process.argv.slice(2);
const socket = new SockJS(url, null, transports.length ? { transports } : {});

socket.onopen = () => console.log("open over", socket.transport);
socket.onmessage = ({ data }) => console.log("heard", data);
socket.onclose = ({ code, reason }) => {
  console.log("closed", code, reason);
  process.exit(0);
};

for await (const line of createInterface({ input: process.stdin })) socket.send(JSON.stringify({ vote: line }));
socket.close();
