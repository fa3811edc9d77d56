// The scenes of Phoenix in Node. Usage: node run.mjs SERVER STAGE TRANSPORT [PART OF A NAME]; a JSON line for each.

import { createRequire } from "node:module";
import { run } from "./scenarios.mjs";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const Phoenix = require("phoenix");
globalThis.WebSocket ??= require("ws"); // Node has its own from version 22
const [url, stage, transport, only] = process.argv.slice(2);

// What a scene still waits for when it has failed.
process.on("unhandledRejection", () => {});

const tell = (outcome) => console.log(JSON.stringify({ ...outcome, transport }));
const outcomes = await run({ Phoenix, url, stage, transport, only, together: 8, tell });
console.log(JSON.stringify({ played: outcomes.length }));
process.exit(0);
