/** What the types allow and what they do not; read by the type checker alone. */

import { type Carrier, type Channel, connect, type Heard, type Past, RobustSocket } from "../src/anywire.js";

type Events = { said: { by: string; text: string }; n: number };
type Calls = {
  say(arg: { text: string }): number;
  ping(): Promise<string>;
  ticks(arg: { symbol: string }): AsyncIterable<{ price: number }>;
};
type Meta = { status: string };

export async function allowed(): Promise<void> {
  const client = connect("/ws", { ticket: "/api/ws-ticket" });
  const chat = client.channel<Events, Calls, Meta>("chat:lobby", { recover: true });
  const show = (m: Events["said"]) => m.text;
  chat.on("said", show);
  chat.on("n", (n, heard: Heard<number>) => n + (heard.offset ?? 0));
  chat.presence.on("change", (people) => [people.size, people.get("ana")?.[0]?.status]);
  client.on("state", (state) => state === "resuming");
  for (const { data } of (await chat.history({ limit: 50 })) as Past<Events["said"]>[]) show(data);
  const offset: number = await chat.call("say", { text: "x" }, { timeout: 1 });
  const pong: string = await chat.call("ping");
  for await (const { price } of chat.stream("ticks", { symbol: "x" })) price.toFixed(offset + pong.length);
  const loose: Channel = client.channel("any");
  loose.on("whatever", (data) => data.anything);
  (await loose.call("whatever", 1)).anything;
  loose.send("whatever");

  const over: Carrier | undefined = connect("/ws", { carriers: ["websocket", "poll"] }).carrier;
  loose.send(over ?? "none");

  // @ts-expect-error a carrier that is none
  connect("/ws", { carriers: ["pigeon"] });
  // @ts-expect-error what only our own code may say
  connect("/ws", { retry: () => 0 });
  // @ts-expect-error an event that is none
  chat.on("sayed", show);
  // @ts-expect-error a listener for other data
  chat.on("n", show);
  // @ts-expect-error a call that is none
  await chat.call("sya", { text: "x" });
  // @ts-expect-error an argument of another type
  await chat.call("say", { txt: "x" });
  // @ts-expect-error no argument
  chat.send("say");
  // @ts-expect-error an event of the membership that is none
  chat.membership.on("lots", () => {});
}

/** Where a `WebSocket` is wanted, ours will do. */
export async function dropIn(): Promise<void> {
  const make: new (url: string | URL, protocols?: string | string[]) => WebSocket = RobustSocket;
  const Class: typeof WebSocket = RobustSocket;
  const socket: WebSocket = new RobustSocket("/ws", ["one"], { json: true });
  const listen = (socket: WebSocket) => {
    socket.onclose = ({ code, wasClean }) => [code.toFixed(), !wasClean];
    socket.onmessage = function ({ data, origin }) {
      this.send(data + origin);
    };
    socket.addEventListener("close", ({ reason }) => reason.trim());
  };
  for (const one of [new make("/ws"), new Class("/ws"), socket]) listen(one);
  const own = new RobustSocket(async () => "/ws", { protocols: "one" });
  listen(own);
  own.onclose = ({ code, willReconnect }) => willReconnect && code;
  own.onerror = ({ source }) => source === "address";
  own.addEventListener("close", ({ delay }) => delay.toFixed());
  own.addEventListener("state", ({ state }) => state === "waiting", { once: true });
  own.addEventListener("made up", (event) => event.preventDefault());
  const taken: boolean = own.send({ any: "thing" });
  const done: 3 = RobustSocket.CLOSED;
  own.binaryType = taken && done ? "arraybuffer" : "blob";

  // @ts-expect-error a way to hand over bytes that is none
  own.binaryType = "text";
  // @ts-expect-error it tells, and is not told
  own.readyState = 1;
  // @ts-expect-error an option that is none
  new RobustSocket("/ws", { reconnect: true });
  // @ts-expect-error an event without such a member
  own.addEventListener("open", ({ code }) => code);
}
