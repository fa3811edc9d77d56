// Official clients, and our own, that number what they say. Usage: node clients.mjs URL KIND COUNT SECONDS; a JSON line at the end.
//
// KIND: socketio:polling, socketio:default, sockjs:xhr-polling, sockjs:xhr-streaming, sockjs:eventsource,
// signalr:ServerSentEvents, signalr:LongPolling, phoenix:longpoll, anywire:poll, anywire:stream, anywire:events

import { createRequire } from "node:module";
import http from "node:http";

import { connect } from "../../../src/anywire/static/anywire.js";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const [url, kind, count, seconds] = process.argv.slice(2);
const [library, transport] = kind.split(":");
const EVERY = 400;
const PATIENCE = 20_000;
http.globalAgent.keepAlive = false;

/** One client: what it said, and what it was told back. */
class Client {
  said = 0;
  heard = 0;
  wrong = [];
  ends = 0;
  carrier = "";

  hear(text) {
    if (text !== String(this.heard + 1)) this.wrong.push(`${text} after ${this.heard}`);
    else this.heard += 1;
  }

  lose(why) {
    if (!this.isOver) this.wrong.push(`lost: ${why}`);
  }
}

const open = { socketio, sockjs, signalr, phoenix, anywire }[library];

function socketio(client) {
  const { io } = require("socket.io-client");
  const transports = transport === "default" ? ["polling", "websocket"] : [transport];
  const socket = io(url, { transports, forceNew: true, reconnection: false, timeout: 30_000 });
  socket.on("message", (text) => client.hear(text));
  socket.on("disconnect", (why) => client.lose(why));
  socket.on("connect_error", (error) => client.lose(error.message));
  client.say = (text) => socket.send(text);
  client.end = () => {
    client.carrier = socket.io.engine.transport.name;
    socket.disconnect();
  };
  return new Promise((done) => socket.on("connect", done));
}

function sockjs(client) {
  const SockJS = require("sockjs-client");
  const socket = new SockJS(`${url}/sockjs`, null, { transports: [transport], timeout: 30_000 });
  socket.onmessage = ({ data }) => client.hear(data);
  socket.onclose = ({ code, reason }) => client.lose(`${code} ${reason}`);
  client.say = (text) => socket.send(text);
  client.end = () => {
    client.carrier = socket.transport;
    socket.close();
  };
  return new Promise((done) => (socket.onopen = done));
}

async function signalr(client) {
  const { HttpTransportType, HubConnectionBuilder, LogLevel } = require("@microsoft/signalr");
  const options = { transport: HttpTransportType[transport] };
  const hub = new HubConnectionBuilder().withUrl(`${url}/hub`, options).configureLogging(LogLevel.None).build();
  hub.on("message", (text) => client.hear(text));
  hub.onclose((error) => client.lose(error?.message));
  client.say = (text) => hub.send("message", text);
  client.end = () => {
    client.carrier = transport;
    return hub.stop();
  };
  await hub.start();
}

function phoenix(client) {
  const { LongPoll, Socket } = require("phoenix");
  const socket = new Socket(`${url.replace("http", "ws")}/socket`, { transport: LongPoll, timeout: 30_000 });
  socket.onError(() => client.lose("error"));
  socket.onClose(({ code, reason }) => client.lose(`${code} ${reason}`));
  socket.connect();
  const spread = socket.channel("spread");
  spread.on("message", (text) => client.hear(text));
  client.say = (text) => spread.push("message", text);
  client.end = () => {
    client.carrier = transport;
    socket.disconnect();
  };
  return new Promise((done) => spread.join().receive("ok", done));
}

function anywire(client) {
  const connection = connect(`${url.replace("http", "ws")}/ws`, { carriers: [transport], reconnectInterval: 60_000 });
  const spread = connection.channel("spread");
  connection.on("state", (state) => state === "waiting" && client.lose(state));
  connection.on("error", (error) => client.lose(error.message));
  spread.on("message", (text) => client.hear(text));
  client.say = (text) => spread.send("message", text);
  client.end = () => {
    client.carrier = connection.carrier;
    connection.close();
  };
  return spread.join();
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function run(client, until) {
  await open(client);
  while (Date.now() < until) {
    await client.say(String(++client.said));
    await sleep(EVERY * (0.5 + Math.random()));
  }
  for (const end = Date.now() + PATIENCE; client.heard < client.said && Date.now() < end; ) await sleep(50);
  client.isOver = true;
  client.end();
}

const clients = Array.from({ length: Number(count) }, () => new Client());
const until = Date.now() + Number(seconds) * 1000;
await Promise.race([Promise.all(clients.map((client) => run(client, until))), sleep(Number(seconds) * 1000 + 60_000)]);
const sum = (pick) => clients.reduce((all, client) => all + pick(client), 0);
const carriers = [...new Set(clients.map((client) => client.carrier))];
const wrong = clients.flatMap((client) => client.wrong);
const told = { kind, clients: clients.length, said: sum((c) => c.said), heard: sum((c) => c.heard), carriers };
console.log(JSON.stringify({ ...told, wrong: wrong.length, first: wrong.slice(0, 5) }));
setTimeout(() => process.exit(0), 500);
