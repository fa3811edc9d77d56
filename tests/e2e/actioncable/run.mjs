// The scenes of Action Cable in Node. Usage: node run.mjs SERVER STAGE CLIENT [PART OF A NAME]; a JSON line for each.

import { createRequire } from "node:module";
import { run } from "./scenarios.mjs";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { WebSocket } = require("ws");
// What the client of Rails expects of a page: Node has no tabs that become visible.
Object.assign(globalThis, { WebSocket, addEventListener() {}, removeEventListener() {} });
const ActionCable = require("@rails/actioncable");
const AnyCable = await import(new URL("../../js/node_modules/@anycable/core/index.js", import.meta.url));
const [url, stage, client, only] = process.argv.slice(2);

// What a scene still waits for when it has failed.
process.on("unhandledRejection", () => {});

const tell = (outcome) => console.log(JSON.stringify({ ...outcome, client }));
const outcomes = await run({ ActionCable, AnyCable, url, stage, client, only, together: 8, tell });
console.log(JSON.stringify({ played: outcomes.length }));
process.exit(0);
