// The stage: an origin of its own, with the files that scenes need, and lines to a server that a scene may cut.
//
// GET  /page.html, /socketio/scenarios.mjs …   files of this folder
// GET  /modules/sockjs-client/dist/sockjs.js   files of the npm packages
// POST /lines?to=http://127.0.0.1:80           {"name": "1", "url": "http://127.0.0.1:81"}
// POST /lines/1/asked                          {"asked": 7}: a GET, the seventh, waits for its answer
// POST /lines/1/cut                            resets its connections, and those that come now
// POST /lines/1/cut?asked=7                    {"isCut": false}: not if that one has been answered
// POST /lines/1/snap                           resets its connections, and does with those that come now as before
// POST /lines/1/hold                           lets those that come now wait
// POST /lines/1/mend                           lets them through

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as listen } from "node:net";
import { fileURLToPath } from "node:url";

const HERE = new URL("./", import.meta.url);
const MODULES = new URL("../js/node_modules/", import.meta.url);
const KINDS = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };
const LOOPBACK = "127.0.0.1";

/** A port before a server. */
class Line {
  #server = listen({ noDelay: true }, (theirs) => this.#take(theirs));
  #pairs = new Set();
  #waiting = [];
  #does = "take";
  /** Connections whose last words are a GET, and which that was. */
  #asking = new Map();
  #asked = 0;
  #awaited = [];

  constructor(target) {
    this.target = new URL(target);
  }

  async open() {
    this.url = await port(this.#server);
  }

  async asked() {
    if (this.#asking.size === 0) await new Promise((resolve) => this.#awaited.push(resolve));
    return { asked: [...this.#asking.values()].at(-1) ?? 0 };
  }

  cut(asked) {
    if (asked !== null && ![...this.#asking.values()].includes(Number(asked))) return { isCut: false };
    this.#does = "reset";
    this.snap();
    return { isCut: true };
  }

  snap() {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  hold() {
    this.#does = "wait";
  }

  mend() {
    this.#does = "take";
    for (const theirs of this.#waiting.splice(0)) this.#take(theirs);
  }

  #take(theirs) {
    theirs.on("error", () => {});
    if (this.#does === "reset") return theirs.resetAndDestroy();
    if (this.#does === "wait") return this.#waiting.push(theirs);
    if (theirs.destroyed) return;
    const ours = connect({ host: this.target.hostname, port: this.target.port, noDelay: true });
    const pair = [theirs, ours];
    this.#pairs.add(pair);
    ours.on("error", () => theirs.resetAndDestroy());
    for (const [from, to] of [[theirs, ours], [ours, theirs]]) {
      from.on("close", () => {
        this.#pairs.delete(pair);
        this.#asking.delete(theirs);
        to.destroy();
      });
      from.pipe(to);
    }
    ours.on("data", () => this.#asking.delete(theirs));
    theirs.on("data", (data) => {
      this.#asking.delete(theirs);
      if (data.subarray(0, 4).toString() !== "GET ") return;
      if (ours.connecting) ours.once("connect", () => this.#ask(theirs));
      else this.#ask(theirs);
    });
  }

  #ask(theirs) {
    this.#asking.set(theirs, ++this.#asked);
    for (const resolve of this.#awaited.splice(0)) resolve();
  }
}

const lines = new Map();

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://stage");
  if (request.method === "POST") return change(pathname.split("/").slice(2), searchParams, response);
  const [, module] = pathname.split("/modules/");
  const file = module === undefined ? new URL(`.${pathname}`, HERE) : new URL(`./${module}`, MODULES);
  const kind = KINDS[pathname.split(".").at(-1)];
  const body = kind && (await readFile(fileURLToPath(file)).catch(() => undefined));
  if (body === undefined) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": `${kind}; charset=utf-8`, "access-control-allow-origin": "*" }).end(body);
}

async function change([name, action], searchParams, response) {
  let said;
  if (action) said = await lines.get(name)[action](searchParams.get("asked"));
  else {
    const line = new Line(searchParams.get("to"));
    await line.open();
    lines.set(`${lines.size + 1}`, line);
    said = { name: `${lines.size}`, url: line.url };
  }
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(said ?? {}));
}

async function port(server) {
  await new Promise((resolve) => server.listen(0, LOOPBACK, resolve));
  return `http://${LOOPBACK}:${server.address().port}`;
}

console.log(`Stage on ${await port(createServer(answer))}`);
process.stdin.on("end", () => process.exit(0)).resume();
