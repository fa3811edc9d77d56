// Node's `ws` as it is: each line of the input is a message, each message a line of the output.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../js/package.json", import.meta.url));
const { WebSocket } = require("ws");

const ws = new WebSocket(process.argv[2]);
ws.on("open", () => {
  console.log("open");
  createInterface({ input: process.stdin }).on("line", (line) => ws.send(line));
});
ws.on("message", (data) => console.log(data.toString()));
ws.on("close", (code, reason) => {
  console.log(`closed ${code} ${reason}`);
  process.exit(0);
});
ws.on("error", (error) => console.log(`error ${error.message}`));
