// The scenes of SignalR in Node. Usage: node run.mjs SERVER STAGE CARRIER PROTOCOL [PART OF A NAME]; a JSON line for each.

import { createRequire } from "node:module";
import { run } from "./scenarios.mjs";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const signalR = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
globalThis.WebSocket ??= require("ws"); // Node has its own from version 22
const [url, stage, carrier, protocol, only] = process.argv.slice(2);

// What a scene still waits for when it has failed.
process.on("unhandledRejection", () => {});

const tell = (outcome) => console.log(JSON.stringify({ ...outcome, carrier, protocol }));
const outcomes = await run({ signalR, MessagePackHubProtocol, url, stage, carrier, protocol, only, together: 8, tell });
console.log(JSON.stringify({ played: outcomes.length }));
process.exit(0);
