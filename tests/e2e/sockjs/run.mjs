// The scenes of SockJS in Node. Usage: node run.mjs SERVER TRANSPORT [PART OF A NAME]; a JSON line for each.

import { createRequire } from "node:module";
import { run } from "./scenarios.mjs";

const SockJS = createRequire(new URL("../../js/package.json", import.meta.url))("sockjs-client");
const [url, transport, only] = process.argv.slice(2);

// What a scene still waits for when it has failed.
process.on("unhandledRejection", () => {});

const tell = (outcome) => console.log(JSON.stringify({ ...outcome, transport }));
const outcomes = await run({ SockJS, url, transport, only, together: 6, tell });
console.log(JSON.stringify({ played: outcomes.length }));
process.exit(0);
