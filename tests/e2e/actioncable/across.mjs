// Clients of Rails on two servers that share a hub: what is said at one, and an end that is asked for there, is heard at
// the other. Usage: node across.mjs SERVER OTHER

import { createRequire } from "node:module";
import { same } from "../scenes.mjs";
import { Scene, until } from "./scene.mjs";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { WebSocket } = require("ws");
Object.assign(globalThis, { WebSocket, addEventListener() {}, removeEventListener() {} });
const ActionCable = require("@rails/actioncable");
const [here, there] = process.argv.slice(2);
const t = new Scene({ ActionCable, url: here, client: "rails" });
const name = t.name();

const bo = await t.room(name, { url: here, user: "bo" });
const ana = await t.room(name, { url: here, user: "ana" });
const too = await t.room(name, { url: there, user: "ana" });
const cy = await t.room(name, { url: there, user: "cy" });
for (const [one, others] of [[bo, [ana, too, cy]], [cy, [ana, too, bo]]]) {
  const text = `from ${one === bo ? here : there}`;
  const said = { from: one === bo ? "bo" : "cy", text };
  same(await one.ask("speak", { text }), said);
  for (const other of others) same(await other.next(), [said]);
}
console.log(JSON.stringify({ heard: "both ways" }));

ana.perform("kick_me");
for (const one of [ana, too]) {
  same(await one.disconnects.until(1), [{ willAttemptReconnect: true }]);
  one.cable.hurry();
}
for (const one of [bo, cy]) {
  await until(() => one.messages.all.filter(({ left }) => left === "ana").length === 2, "both have left");
  same(one.disconnects.all, []);
  one.read = one.messages.all.length;
}
for (const one of [ana, too]) await until(() => one.messages.all.filter(({ hello }) => hello).length === 2, "two hellos");
too.read = too.messages.all.length;
same(await bo.ask("speak", { text: "back" }), { from: "bo", text: "back" });
same(await too.next(), [{ from: "bo", text: "back" }]);
console.log(JSON.stringify({ kicked: "at both" }));
process.exit(0);
