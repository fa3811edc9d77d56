// The official socket.io-client as it is: URL, auth as JSON and options as JSON. A line of the input is
// `["event", …]`, to be acknowledged; each event, answer and change of the connection is a line of the output.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../js/package.json", import.meta.url));
const { io } = require("socket.io-client");

const [url, auth, options = "{}"] = process.argv.slice(2);
const socket = io(url, { auth: JSON.parse(auth), ...JSON.parse(options) });
const tell = (line) => console.log(JSON.stringify(line));

socket.on("connect", () => tell({ connect: socket.nsp }));
socket.on("connect_error", ({ message, data }) => tell({ refused: message, data, isActive: socket.active }));
socket.on("disconnect", (reason) => tell({ disconnect: reason }));
socket.onAny((event, ...args) => tell({ event, args }));
socket.io.on("open", () => socket.io.engine.on("upgrade", ({ name }) => tell({ upgrade: name })));

createInterface({ input: process.stdin })
  .on("line", async (line) => tell({ answer: await socket.emitWithAck(...JSON.parse(line)) }))
  .on("close", () => socket.disconnect());
