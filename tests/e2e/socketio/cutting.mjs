// Clients that recover, cut every other second. Usage: node cutting.mjs SERVER STAGE TRANSPORT CLIENTS SECONDS; one JSON line.
//
// Somebody with a connection of its own numbers what it says to all, and to each; nothing may be lost, doubled or reordered.

import { createRequire } from "node:module";

const { io } = createRequire(new URL("../../js/package.json", import.meta.url))("socket.io-client");
const [server, stage, transport, count, seconds] = process.argv.slice(2);
const transports = transport === "default" ? ["polling", "websocket"] : [transport];
const path = "/socket.io-app/";
const [SAY, CUT, PATIENCE] = [20, 2000, 15_000];
const LEAST = 2; // cuts of each client: one that is not back yet when the next comes is not cut by it

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const post = async (place) => (await fetch(`${stage}/lines${place}`, { method: "POST" })).text();
const connected = (socket) => new Promise((done) => socket.once("connect", done));

/** One client, and what it heard. */
class Client {
  all = 0;
  mine = 0;
  cuts = 0;
  wrong = [];

  constructor(url) {
    this.socket = io(url, { path, transports, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 300 });
    this.socket.on("tick", (number) => this.#hear("all", number));
    this.socket.on("direct", (number) => this.#hear("mine", number));
    this.socket.on("disconnect", () => (this.cuts += 1));
    this.socket.on("connect", () => this.cuts && !this.socket.recovered && this.wrong.push("not recovered"));
  }

  #hear(what, number) {
    if (number !== this[what] + 1) this.wrong.push(`${what}: ${number} after ${this[what]}`);
    this[what] = number;
  }
}

const { name, url } = JSON.parse(await post(`?to=${encodeURIComponent(server)}`));
const speaker = io(server, { path, transports: ["websocket"], forceNew: true });
await connected(speaker);
const clients = Array.from({ length: Number(count) }, () => new Client(url));
await Promise.all(clients.map(({ socket }) => connected(socket)));
const ids = clients.map(({ socket }) => socket.id);
let said = 0;
let cuts = 0;
const speaking = setInterval(() => {
  said += 1;
  speaker.emit("broadcast", "tick", said);
  if (said % 10 === 0) for (const id of ids) speaker.emit("to-room", id, "direct", said / 10);
}, SAY);
const fewest = () => Math.min(...clients.map((client) => client.cuts));
const until = Date.now() + Number(seconds) * 1000;
const isEnough = () => Date.now() >= until && (fewest() >= LEAST || Date.now() >= until + PATIENCE);
for (; !isEnough(); cuts += 1) {
  await sleep(CUT * (0.9 + 0.2 * Math.random()));
  await post(`/${name}/cut`);
  await post(`/${name}/mend`);
}
clearInterval(speaking);
const direct = Math.floor(said / 10);
const isBehind = ({ all, mine }) => all < said || mine < direct;
for (const end = Date.now() + PATIENCE; clients.some(isBehind) && Date.now() < end; ) await sleep(50);
const wrong = clients.flatMap((client) => client.wrong);
const lost = clients.reduce((sum, { all, mine }) => sum + said - all + direct - mine, 0);
const least = fewest();
console.log(JSON.stringify({ transport, clients: clients.length, said, cuts, least, lost, wrong: wrong.length, first: wrong.slice(0, 5) }));
process.exit(0);
