// Clients with stateful reconnect, cut all the time. Usage: node cutting.mjs THROUGH SERVER PROTOCOL CLIENTS; ends on a line, and
// says when each was cut twice.
//
// Each has a stream, an upload that comes back as one, and calls, and is in a group to which somebody on a connection of its own
// says numbers; nothing may be lost, doubled or reordered.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const { HttpTransportType, HubConnectionBuilder, LogLevel, Subject } = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
const [through, server, protocol, count] = process.argv.slice(2);
const [SAY, PATIENCE, LEAST] = [20, 20_000, 2];
const GROUP = "cutting";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function connect(url, isStateful) {
  const builder = new HubConnectionBuilder()
    .withUrl(`${url}/hub`, { transport: HttpTransportType.WebSockets })
    .configureLogging(LogLevel.None)
    .withKeepAliveInterval(1000);
  if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
  if (isStateful) builder.withStatefulReconnect();
  const connection = builder.build();
  await connection.start();
  return connection;
}

/** One client, what it asked for, and what it heard. */
class Client {
  cuts = 0;
  wrong = [];
  isDead = false;
  heard = { tick: 0, direct: 0, counter: 0, back: 0, answer: 0, said: 0 };
  wanted = { counter: 0, back: 0, answer: 0, said: 0 };

  async open(speaker) {
    const connection = (this.connection = await connect(through, true));
    const { features } = connection.connection;
    const told = features.disconnected;
    features.disconnected = () => {
      this.cuts += 1;
      told();
    };
    connection.onclose((error) => {
      this.isDead = true;
      this.wrong.push(`closed: ${error}`);
    });
    connection.on("tick", (number) => this.hear("tick", number));
    connection.on("direct", (number) => this.hear("direct", number));
    speaker.on(`said by ${connection.connectionId}`, (number) => this.hear("said", number));
    await connection.invoke("JoinGroup", GROUP);
    this.upload = new Subject();
    this.#listen("back", connection.stream("EchoStream", this.upload));
    this.counting = connection.stream("Counter", 1_000_000, SAY);
    this.counter = this.#listen("counter", this.counting);
  }

  #listen(what, stream) {
    const error = (thrown) => this.wrong.push(`${what}: ${thrown}`);
    // Streams count from 0.
    return stream.subscribe({ next: (number) => this.hear(what, number + 1), complete: () => {}, error });
  }

  hear(what, number) {
    if (number !== this.heard[what] + 1) this.wrong.push(`${what}: ${number} after ${this.heard[what]}`);
    this.heard[what] = number;
  }

  /** Says and asks until it is told to stop. */
  async speak(speaker) {
    while (!this.isOver && !this.isDead) {
      this.upload.next(this.wanted.back++);
      const number = ++this.wanted.said;
      const method = `said by ${this.connection.connectionId}`;
      const said = this.connection.invoke("SendToConnection", speaker.connectionId, method, number);
      const answer = this.connection.invoke("Slow", 10 * Math.random(), ++this.wanted.answer);
      try {
        this.hear("answer", await answer);
        await said;
      } catch (error) {
        this.wrong.push(`call: ${error}`);
      }
      await sleep(SAY);
    }
  }
}

const speaker = await connect(server, false);
const clients = Array.from({ length: Number(count) }, () => new Client());
await Promise.all(clients.map((client) => client.open(speaker)));
console.log(JSON.stringify({ clients: clients.length }));
let [ticks, direct] = [0, 0];
const saying = setInterval(() => {
  speaker.send("SendToGroup", GROUP, "tick", ++ticks);
  if (ticks % 10) return;
  direct += 1;
  for (const { connection } of clients) speaker.send("SendToConnection", connection.connectionId, "direct", direct);
}, SAY);
const speaking = clients.map((client) => client.speak(speaker));

const fewest = () => Math.min(...clients.map((client) => client.cuts));
const watching = setInterval(() => {
  if (fewest() < LEAST) return;
  clearInterval(watching);
  console.log(JSON.stringify({ least: fewest() }));
}, SAY);

await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
clearInterval(saying);
for (const client of clients) client.isOver = true;
await Promise.race([Promise.all(speaking), sleep(PATIENCE)]);
const missing = ({ heard, wanted }) =>
  ticks - heard.tick + direct - heard.direct + ["back", "answer", "said"].reduce((sum, what) => sum + wanted[what] - heard[what], 0);
for (const end = Date.now() + PATIENCE; clients.some(missing) && Date.now() < end; ) await sleep(50);
const wrong = clients.flatMap((client) => client.wrong);
const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
console.log(
  JSON.stringify({
    protocol,
    clients: clients.length,
    cuts: total(clients.map((client) => client.cuts)),
    least: fewest(),
    heard: total(clients.flatMap(({ heard }) => Object.values(heard))),
    lost: total(clients.map(missing)),
    dead: clients.filter((client) => client.isDead).length,
    wrong: wrong.length,
    first: wrong.slice(0, 5),
  }),
);
process.exit(0);
