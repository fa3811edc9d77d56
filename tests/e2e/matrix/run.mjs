// Clients of all wires in one room. Usage: node run.mjs URL WIRE…; a JSON line of all that each heard.
//
// A listener of each wire is there first; then a speaker of each comes, says every kind of thing, and goes.

import { sleep, THINGS, WIRES } from "./clients.mjs";

const [url, ...wires] = process.argv.slice(2);
const PATIENCE = 5000;

async function made(wire, name) {
  const client = new WIRES[wire]();
  await client.open(url, name);
  return client;
}

async function until(holds) {
  for (const end = Date.now() + PATIENCE; !holds() && Date.now() < end; ) await sleep(5);
}

const json = (value) =>
  JSON.stringify(value, (_, each) => {
    if (each instanceof ArrayBuffer) return { bytes: [...new Uint8Array(each)] };
    if (ArrayBuffer.isView(each)) return { bytes: [...new Uint8Array(each.buffer, each.byteOffset, each.byteLength)] };
    if (each?.type === "Buffer") return { bytes: each.data };
    return each;
  });

const listeners = {};
for (const wire of wires) listeners[wire] = await made(wire, `listener-${wire}`);
const heard = {};
const powers = {};
for (const wire of wires) {
  const name = `speaker-${wire}`;
  const speaker = await made(wire, name);
  await until(() => Object.values(listeners).every((each) => each.came.has(name)));
  heard[wire] = {};
  for (const [kind, args] of Object.entries(THINGS)) {
    for (const each of Object.values(listeners)) each.heard = [];
    await speaker.say(args);
    await until(() => Object.values(listeners).every((each) => each.heard.length > 0));
    heard[wire][kind] = Object.fromEntries(wires.map((to) => [to, listeners[to].heard]));
  }
  powers[wire] = {
    reply: speaker.ask === undefined ? null : await speaker.ask(),
    refusal: await speaker.refused(),
    stream: await speaker.stream(),
    "refused join": await speaker.keptOut(url),
  };
  await speaker.close();
  await until(() => Object.values(listeners).every((each) => each.went.has(name)));
}
const seen = Object.fromEntries(wires.map((to) => [to, { came: [...listeners[to].came], went: [...listeners[to].went] }]));
console.log(json({ heard, powers, seen }));
process.exit(0);
