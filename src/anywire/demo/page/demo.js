// The page: what the chat knows, as elements. Whatever others wrote goes in as text, never as markup.

import { Chat, LOBBY } from "/chat.js";
import { ways } from "/join.js";
import { Panel } from "/panel.js";
import { avatar, element, tick } from "/parts.js";
import { talks } from "/talks.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const programs = { anywire: "anywire", python: "python3" };
const STATES = {
  connecting: "Connecting…",
  open: "Connected",
  resuming: "Reconnecting…",
  waiting: "No connection",
  closed: "Closed",
};
const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

let token = query.get("token") ?? "";
let name = query.get("name") ?? remembered();
const changes = new Set();
/** Elements of entries that are shown, so that only new ones are made. */
const shown = new Map();
let shownRoom = "";
/** The end of the messages is in sight, and stays there when more come. */
let isAtEnd = true;

const chat = new Chat({ token, changed });
const called = { name: () => chat.me.name || name, token };
const panels = Object.entries(talks).map(([id, Talk]) => new Panel($(id), Talk, called));
$("name").value = name;
$("verified").textContent = "✓";
chat.connect(name);
renderWays();
learnPrograms();
setInterval(renderCountdown, 250);

// ---- what the user does

on("name-form", "submit", () => {
  name = $("name").value.trim();
  remember(name);
  if (query.has("name")) {
    query.set("name", name);
    history.replaceState(null, "", `?${query}`);
  }
  chat.connect(name);
  $("message").focus();
});

on("room-form", "submit", async () => {
  const room = $("room").value.trim();
  $("room-error").hidden = true;
  if (!room) return;
  $("room").value = "";
  $("message").focus();
  try {
    await chat.join(room);
  } catch (error) {
    $("room-error").textContent = error.text || "This room cannot be joined.";
    $("room-error").hidden = false;
  }
});

on("message-form", "submit", () => {
  const text = $("message").value.trim();
  if (!text) return;
  $("message").value = "";
  fit();
  chat.say(text);
  isAtEnd = true;
  keepEnd();
});

on("message", "keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return false;
  $("message-form").requestSubmit();
  return true;
});

on("message", "input", fit);
on("reconnect", "click", () => chat.wake());
on("notice-button", "click", () => {
  if (!token) return chat.connect(name);
  token = "";
  renderWays();
  chat.forgetToken(name);
});
on("messages", "scroll", () => {
  const { scrollHeight, scrollTop, clientHeight } = $("messages");
  isAtEnd = scrollHeight - scrollTop - clientHeight < 60;
});
new ResizeObserver(keepEnd).observe($("messages"));
document.addEventListener("visibilitychange", () => document.hidden || chat.select(chat.current));

/** Listens; the browser's own way is not wanted, unless the listener returns false. */
function on(id, type, listener) {
  $(id).addEventListener(type, (event) => {
    if (listener(event) !== false) event.preventDefault();
  });
}

// ---- what the chat tells

/** Rendered once after everything that happens at once; a page in the background gets no frames. */
function changed(...what) {
  if (!changes.size) queueMicrotask(render);
  for (const one of what) changes.add(one);
}

function render() {
  const now = new Set(changes);
  changes.clear();
  if (now.has("state")) renderState();
  if (now.has("rooms")) renderRooms();
  if (now.has("people") || now.has("me")) renderPeople();
  if (now.has("me")) renderMe();
  if (now.has("messages")) renderMessages();
}

function renderState() {
  const { state } = chat;
  document.body.dataset.state = state;
  $("connection").dataset.state = state;
  $("state").textContent = STATES[state];
  $("reconnect").hidden = state !== "waiting";
  $("notice").hidden = state !== "closed";
  $("notice-text").textContent = `The server closed the connection: ${chat.reason || "no reason given"}.`;
  $("notice-button").textContent = token ? "Go on as a guest" : "Connect again";
  renderCountdown();
}

function renderCountdown() {
  const seconds = Math.max(0, Math.ceil((chat.retryAt - performance.now()) / 1000));
  const text = chat.state === "waiting" ? `next try in ${seconds} s` : "";
  if ($("countdown").textContent !== text) $("countdown").textContent = text;
}

function renderMe() {
  $("name").placeholder = chat.me.name;
  $("verified").hidden = !chat.me.isVerified;
  for (const panel of panels) panel.renamed();
}

function renderRooms() {
  const items = [...chat.rooms.values()].map(({ name: room, unread }) => {
    const button = element("button", { class: "room", type: "button" }, element("span", { class: "label" }, room));
    if (room === chat.current) button.setAttribute("aria-current", "true");
    if (unread) button.append(element("span", { class: "badge", "aria-label": `${unread} unread` }, String(unread)));
    button.addEventListener("click", () => chat.select(room));
    if (room === LOBBY) return element("li", {}, button);
    const leave = element("button", { class: "leave", type: "button", "aria-label": `Leave ${room}` }, "×");
    leave.addEventListener("click", () => chat.leave(room));
    return element("li", {}, button, leave);
  });
  $("rooms").replaceChildren(...items);
  if ($("room-name").textContent !== chat.current) {
    $("room-name").textContent = chat.current;
    renderWays();
  }
  const entered = [...chat.rooms.values()].filter((room) => room.isConfirmed).map((room) => room.name);
  for (const panel of panels) panel.follow(entered, entered.includes(chat.current) ? chat.current : LOBBY);
  const unread = [...chat.rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = unread ? `(${unread}) anywire chat` : "anywire chat";
}

function renderPeople() {
  const items = [...chat.people].map(([id, metas]) => {
    const { name: person, verified } = metas[0];
    const item = element("li", { class: "person" }, avatar(person), element("span", { class: "label" }, person));
    if (verified) item.append(tick());
    if (metas.length > 1) item.append(element("span", { class: "hint" }, `×${metas.length}`));
    if (id === chat.me.id) item.append(element("span", { class: "hint you" }, "you"));
    return item;
  });
  $("people-list").replaceChildren(...items);
  $("people-count").textContent = String(items.length);
}

function renderMessages() {
  const list = $("messages");
  const { entries } = chat.rooms.get(chat.current) ?? { entries: [] };
  if (shownRoom !== chat.current) {
    shownRoom = chat.current;
    isAtEnd = true;
    shown.clear();
    list.replaceChildren();
  }
  const kept = new Set(entries);
  for (const [entry, item] of shown) {
    if (kept.has(entry)) continue;
    item.remove();
    shown.delete(entry);
  }
  for (const [index, entry] of entries.entries()) {
    if (!shown.has(entry)) shown.set(entry, entryElement(entry));
    const item = shown.get(entry);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    item.classList.toggle("goes-on", goesOn(entry, entries[index - 1]));
    if (entry.kind === "own") renderSending(item, entry);
  }
  keepEnd();
  const waiting = chat.waiting().length;
  const isCut = chat.state !== "open";
  const messages = waiting === 1 ? "1 message waits" : `${waiting} messages wait`;
  $("waiting").textContent = isCut && waiting ? `${messages} for the connection and will be sent then.` : "";
}

function keepEnd() {
  if (isAtEnd) $("messages").scrollTop = $("messages").scrollHeight;
}

/** Whether it is by the one who said the last thing, just before. */
function goesOn(entry, before) {
  const isSame = before?.kind === entry.kind && before.user === entry.user;
  return isSame && entry.kind !== "notice" && entry.time - before.time < 300_000;
}

function entryElement(entry) {
  if (entry.kind === "notice") return element("li", { class: "notice" }, entry.text);
  const isOwn = entry.kind === "own";
  const item = element("li", { class: `message ${entry.kind}` });
  const time = new Date(entry.time);
  const who = element("span", { class: "who" }, isOwn ? "You" : entry.user);
  const when = element("time", { datetime: time.toISOString() }, clockTime.format(time));
  const head = element("div", { class: "head" }, who, ...(entry.isVerified ? [tick()] : []), when);
  const bubble = element("div", { class: "bubble" }, head, element("p", { class: "text" }, entry.text));
  if (isOwn) bubble.append(element("span", { class: "sending" }));
  item.append(avatar(entry.user), bubble);
  return item;
}

function renderSending(item, { state, why }) {
  item.dataset.sending = state;
  const isCut = chat.state !== "open";
  const words = { pending: isCut ? "waits for the connection" : "sending…", failed: `not sent: ${why}`, sent: "" };
  item.querySelector(".sending").textContent = words[state];
}

// ---- joining from elsewhere

function renderWays() {
  const chosen = document.querySelector("#ways [aria-selected=true]")?.textContent;
  const all = ways({ origin: location.origin, room: chat.current, token, programs });
  const isKnown = all.some((way) => way.name === chosen);
  const tabs = all.map(({ name: way }, index) => {
    const isChosen = isKnown ? way === chosen : index === 0;
    const tab = element(
      "button",
      {
        type: "button",
        role: "tab",
        id: `way-${index}`,
        "aria-controls": `panel-${index}`,
        "aria-selected": String(isChosen),
        tabindex: isChosen ? "0" : "-1",
      },
      way,
    );
    tab.addEventListener("click", () => choose(index));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose((index + step + all.length) % all.length);
    });
    return tab;
  });
  const panels = all.map(({ steps }, index) => {
    const isChosen = tabs[index].getAttribute("aria-selected") === "true";
    const panel = element("div", {
      role: "tabpanel",
      id: `panel-${index}`,
      "aria-labelledby": `way-${index}`,
      ...(!isChosen && { hidden: "" }),
    });
    for (const { text, code } of steps) panel.append(element("p", {}, text), snippet(code));
    return panel;
  });
  $("ways").replaceChildren(...tabs);
  $("panels").replaceChildren(...panels);
}

function choose(chosen) {
  for (const [index, tab] of [...$("ways").children].entries()) {
    tab.setAttribute("aria-selected", String(index === chosen));
    tab.tabIndex = index === chosen ? 0 : -1;
    $(`panel-${index}`).hidden = index !== chosen;
    if (index === chosen) tab.focus();
  }
}

function snippet(code) {
  const button = element("button", { type: "button", class: "copy small" }, "Copy");
  const text = element("code", {}, code);
  button.addEventListener("click", async () => {
    const isCopied = await copied(text);
    button.textContent = isCopied ? "Copied" : "Press Ctrl-C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  const isScript = code.includes("\n");
  const pre = element("pre", { tabindex: "0", ...(isScript && { class: "script" }) }, text);
  return element("div", { class: "snippet" }, pre, button);
}

/** Without TLS and away from this machine there is no clipboard: then the text is selected, for the user to copy. */
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

/** How anywire and Python are called on the machine of the server. */
async function learnPrograms() {
  const response = await fetch("/demo.json").catch(() => undefined);
  if (!response?.ok) return;
  Object.assign(programs, await response.json());
  renderWays();
}

// ---- small parts

function fit() {
  const field = $("message");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 160)}px`;
}

// A browser may forbid that pages remember anything.

function remember(value) {
  try {
    localStorage.setItem("anywire.name", value);
  } catch {
    // It is asked for again.
  }
}

function remembered() {
  try {
    return localStorage.getItem("anywire.name") ?? "";
  } catch {
    return "";
  }
}
