// Loaded before a server of Node's (node --expose-gc -r): SIGUSR2 frees what is garbage.
"use strict";
process.on("SIGUSR2", () => globalThis.gc());
