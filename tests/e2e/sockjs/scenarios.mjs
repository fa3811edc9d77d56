// What the official SockJS client does with the mounts /sockjs/* of the conformance app.
//
// One list of scenes, the same in Node and in a page. `run` plays a part of them with one transport of the client and
// returns [name, error or null] of each.

import { Heard, holds, numbers, play, same, within } from "../scenes.mjs";

const scenarios = [];
const scenario = (name, run) => scenarios.push({ name, run });

class Scene {
  #sockets = [];

  constructor({ SockJS, url, transport }) {
    Object.assign(this, { SockJS, url, transport });
  }

  make(mount = "echo", { transports = this.transport, ...options } = {}) {
    // Left to itself the client gives a transport 0.6 s: too little where the machine is busy.
    const socket = new this.SockJS(`${this.url}/sockjs/${mount}`, null, { transports, timeout: 10_000, ...options });
    this.#sockets.push(socket);
    return socket;
  }

  async open(mount, options) {
    const socket = this.make(mount, options);
    await opened(socket);
    return socket;
  }

  async end() {
    await turn();
    for (const socket of this.#sockets) socket.close();
  }
}

/** The client that is closed just as it gets a message begins another poll, and never ends it. */
const turn = () => new Promise((resolve) => setTimeout(resolve));

const next = (socket, type) =>
  within(new Promise((resolve) => socket.addEventListener(type, resolve)), `${type} of ${socket.url}`, 12_000);

async function opened(socket) {
  const fails = new Promise((_, reject) => {
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`)));
  });
  fails.catch(() => {});
  await Promise.race([next(socket, "open"), fails]);
}

async function closed(socket) {
  const { code, reason, wasClean } = await next(socket, "close");
  return [code, reason, wasClean];
}

function hear(socket, fits = () => true) {
  const heard = new Heard("messages");
  socket.addEventListener("message", ({ data }) => fits(data) && heard.take(data));
  return heard;
}

async function echoes(socket, texts) {
  const heard = hear(socket);
  for (const text of texts) socket.send(text);
  const back = await heard.until(texts.length);
  for (const [place, text] of texts.entries()) {
    if (back[place] !== text) same(back[place], text, `echo ${place}`);
  }
}

const TEXTS = [
  "",
  " ",
  "ascii",
  "Grüße, 世界, 👋🏽, \u{10FFFF}, \u{1D11E}",
  "\0\x01\x07\b\t\n\v\f\r\x1b\x1f\x7f\x80\x9f\xAD",
  "\u0600\u0604\u070F\u17B4\u17B5\u200B\u200F\u2028\u2029\u202F\u2060\u206F\uFEFF\uFFF0\uFFFD\uFFFE\uFFFF",
  "\"quotes\" 'and' \\ / \\u0041 \\\\n",
  "100% %41 %zz %u0041 %25 + & = ; # ?",
  "<b>&amp;</b><!-- --> ]]>",
  "[\"a\"]",
  "a[\"x\"]",
  "c[3000,\"Go away!\"]",
  "o",
  "h",
  "data: x\r\n\r\nevent: y\r\n\r\n",
  "\n\nlines\r\rmore\n",
];
/** A surrogate has to have its other half. */
const isAlone = (code) => code >= 0xd800 && code <= 0xdfff;

scenario("a socket opens with the transport it is told to use", async (t) => {
  const socket = t.make();
  same(socket.readyState, 0, "readyState");
  await opened(socket);
  same([socket.readyState, socket.transport, socket.protocol, socket.extensions], [1, t.transport, "", ""]);
});

scenario("text comes back as it went, one at a time", async (t) => {
  const socket = await t.open();
  for (const text of TEXTS) await echoes(socket, [text]);
});

scenario("text comes back as it went, all at once", async (t) => {
  await echoes(await t.open(), TEXTS);
});

scenario("every character of the basic plane comes back", async (t) => {
  const codes = numbers(0x10000).filter((code) => !isAlone(code));
  const texts = numbers(16).map((part) => String.fromCharCode(...codes.slice(part * 4096, (part + 1) * 4096)));
  await echoes(await t.open(), texts);
});

// UTF-8 has no halves of characters: what stands for one comes back.
scenario("a surrogate without its other half does no harm", async (t) => {
  const socket = await t.open();
  const heard = hear(socket);
  for (const text of ["\uD800", "a\uDFFFb", "\uDC00\uD800", "👋\uD83D"]) socket.send(text);
  const whole = (await heard.until(4)).map((text) => text.replace(/\p{Surrogate}/gu, "\uFFFD"));
  same(whole, ["\uFFFD", "a\uFFFDb", "\uFFFD\uFFFD", "👋\uFFFD"]);
});

// The official server leaves the tag as it is, and `iframe-htmlfile` never gets the message.
scenario("a text may end a script", async (t) => {
  await echoes(await t.open(), ["<script>", "</script>", "<!--</script><script>throw 1</script>"]);
});

scenario("what is no text goes as its text", async (t) => {
  const socket = await t.open();
  const heard = hear(socket);
  for (const value of [1, null, undefined, true, { a: 1 }, [1, 2]]) socket.send(value);
  same(await heard.until(6), ["1", "null", "undefined", "true", "[object Object]", "1,2"]);
});

scenario("100 kB come back whole, more than once", async (t) => {
  const socket = await t.open();
  await echoes(socket, ["x".repeat(100_000)]);
  await echoes(socket, ["世".repeat(34_000), "small", "\"".repeat(100_000), "👋".repeat(25_000)]);
});

scenario("200 messages go both ways complete and in order", async (t) => {
  const texts = numbers(200).map((number) => `${number} ü`);
  await echoes(await t.open(), texts);
});

scenario("messages larger than what one response may carry come in order", async (t) => {
  await echoes(await t.open(), numbers(20).map((number) => `${number}`.repeat(900)));
});

scenario("each side answers the other many times", async (t) => {
  const socket = await t.open();
  const heard = hear(socket);
  socket.addEventListener("message", ({ data }) => Number(data) < 14 && socket.send(`${Number(data) + 1}`));
  socket.send("0");
  same(await heard.until(15), numbers(15).map(String));
});

scenario("two sockets on one mount hear nothing of each other", async (t) => {
  const [one, two] = await Promise.all([t.open(), t.open()]);
  await Promise.all([
    echoes(one, numbers(30).map((number) => `one ${number}`)),
    echoes(two, numbers(30).map((number) => `two ${number}`)),
  ]);
});

scenario("the client closes: its own code and reason, at once", async (t) => {
  const socket = await t.open();
  const end = closed(socket);
  socket.close();
  same(socket.readyState, 2, "readyState");
  same(await end, [1000, "Normal closure", true]);
  same(socket.readyState, 3, "readyState");
  const other = await t.open();
  await echoes(other, ["before"]);
  await turn();
  const its = closed(other);
  other.close(3210, "own words");
  same(await its, [3210, "own words", true]);
});

scenario("the server closes: 3000 and Go away!, after the open", async (t) => {
  const socket = t.make("close");
  const heard = hear(socket);
  const [, end] = await Promise.all([opened(socket), closed(socket)]);
  same(end, [3000, "Go away!", true]);
  same([heard.all, socket.readyState], [[], 3]);
});

scenario("broadcast sends what one says to all open sessions, to the one too, in one order", async (t) => {
  const [one, two] = await Promise.all([t.open("broadcast"), t.open("broadcast")]);
  const mark = crypto.randomUUID();
  const [hers, his] = [one, two].map((socket) => hear(socket, (text) => text.startsWith(mark)));
  for (const number of numbers(20)) {
    one.send(`${mark} one ${number} ü`);
    two.send(`${mark} two ${number}`);
  }
  const all = await hers.until(40);
  same(await his.until(40), all, "the order");
  same(all.filter((text) => text.includes("one")), numbers(20).map((number) => `${mark} one ${number} ü`));
  same(all.filter((text) => text.includes("two")), numbers(20).map((number) => `${mark} two ${number}`));
});

scenario("broadcast goes on without who has left", async (t) => {
  const [one, two] = await Promise.all([t.open("broadcast"), t.open("broadcast")]);
  const mark = crypto.randomUUID();
  const heard = hear(two, (text) => text.startsWith(mark));
  one.send(`${mark} first`);
  await heard.until();
  await turn();
  one.close();
  two.send(`${mark} second`);
  same(await heard.until(2), [`${mark} first`, `${mark} second`]);
});

scenario("where WebSocket is off the client takes another transport by itself", async (t) => {
  const socket = await t.open("disabled_websocket_echo", { transports: [] });
  same(socket.transport, "xhr-streaming");
  await echoes(socket, ["without", "a WebSocket"]);
});

scenario("where WebSocket is off it is no choice, all else is", async (t) => {
  if (t.transport !== "websocket") return echoes(await t.open("disabled_websocket_echo"), ["a", "b"]);
  same(await closed(t.make("disabled_websocket_echo")), [2000, "All transports failed", false]);
});

scenario("left to itself the client takes the WebSocket", async (t) => {
  const socket = await t.open("echo", { transports: [] });
  same(socket.transport, "websocket");
  await echoes(socket, ["by itself"]);
});

scenario("each mount says what it offers", async (t) => {
  const entropies = new Set();
  for (const [mount, websocket, cookie_needed] of [
    ["echo", true, false],
    ["disabled_websocket_echo", false, false],
    ["cookie_needed_echo", true, true],
  ]) {
    const response = await fetch(`${t.url}/sockjs/${mount}/info`, { credentials: "include" });
    const { entropy, ...info } = await response.json();
    same([info.websocket, info.cookie_needed, info.origins], [websocket, cookie_needed, ["*:*"]], mount);
    holds(Number.isInteger(entropy) && entropy >= 0 && entropy < 2 ** 32, `the entropy is ${entropy}`);
    entropies.add(entropy);
  }
  same(entropies.size, 3, "the number of entropies");
});

scenario("cookie_needed_echo echoes, and sets the cookie by which a balancer finds the worker again", async (t) => {
  const socket = await t.open("cookie_needed_echo");
  await echoes(socket, ["with", "a cookie"]);
  const session = `${t.url}/sockjs/cookie_needed_echo/000/${crypto.randomUUID()}`;
  const poll = () => fetch(`${session}/xhr`, { method: "POST", credentials: "include" });
  if (typeof document === "undefined") {
    const response = await poll();
    const [cookie, ...attributes] = response.headers.getSetCookie().join().split("; ");
    same([await response.text(), cookie], ["o\n", "JSESSIONID=dummy"]);
    same(attributes.map((one) => one.toLowerCase()), ["path=/"]);
    return;
  }
  // A page shares its cookies with all ports of its host.
  document.cookie = "JSESSIONID=; max-age=0; path=/";
  await (await poll()).text();
  holds(document.cookie.split("; ").includes("JSESSIONID=dummy"), `the cookie is ${document.cookie}`);
  document.cookie = "JSESSIONID=mine; path=/";
  await echoes(await t.open("cookie_needed_echo"), ["again"]);
  holds(document.cookie.split("; ").includes("JSESSIONID=mine"), `the cookie is ${document.cookie}`);
  document.cookie = "JSESSIONID=; max-age=0; path=/";
});

scenario("a mount that is not there is told as no server", async (t) => {
  same(await closed(t.make("nothing_here")), [1002, "Cannot connect to server", false]);
});

/** The client, for a page that does not have it. */
export async function load(url) {
  const script = Object.assign(document.createElement("script"), { src: url });
  const loads = new Promise((resolve) => script.addEventListener("load", resolve));
  document.head.append(script);
  await loads;
  return window.SockJS;
}

export function run({ SockJS, url, transport, part = 0, parts = 1, together = 1, tell, only = "" }) {
  const scenes = scenarios.filter(({ name }, place) => place % parts === part && name.includes(only));
  return play(scenes, { together, make: () => new Scene({ SockJS, url, transport }), tell });
}
