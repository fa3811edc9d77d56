// A panel: one official client in the rooms that the page is in, under a name of its own.

import { element } from "/parts.js";

const STATES = {
  idle: "Not connected",
  connecting: "Connecting…",
  open: "Connected",
  waiting: "Reconnecting…",
  refused: "Refused",
  closed: "Closed",
  missing: "Not here",
};
/** States in which there is no talk. */
const OUT = ["idle", "refused", "closed", "missing"];
/** Lines of a room that stay on the page. */
const KEPT = 200;
const LONGEST_NAME = 40;

/** Shows a talk of talks.js; `name` says how the page's user is called, and `token` is what the page was given. */
export class Panel {
  #Talk;
  #talk;
  #name;
  #usedName = "";
  #rooms = new Set();
  #current = "";
  /** What was said, by room: `{user, message}`. */
  #lines = new Map();
  #shown;
  /** The library, or why there is none. */
  #library;
  #listening;
  #wantsFocus = false;

  constructor(section, Talk, { name, token }) {
    this.#Talk = Talk;
    this.#name = name;
    this.#shown = parts(section, Talk, token);
    const { connect, disconnect, transport, lines, form } = this.#shown;
    submitted(connect, () => this.#join());
    submitted(form, () => this.#say());
    disconnect.addEventListener("click", () => this.#disconnect());
    transport.addEventListener("change", () => this.#talk && this.#connect());
    new ResizeObserver(() => this.#showEnd()).observe(lines);
    this.#state("idle");
    this.#library = loaded(Talk.script);
    this.#library.catch(() => this.#state("missing", `${Talk.library} is not built: run make demo.`));
  }

  /** The page is in these rooms and shows one of them. */
  follow(rooms, current) {
    const now = new Set(rooms);
    const isIn = this.#shown.section.dataset.state === "open";
    for (const room of this.#rooms) {
      if (now.has(room)) continue;
      this.#lines.delete(room);
      if (isIn) this.#talk.leave(room);
    }
    const joined = rooms.filter((room) => !this.#rooms.has(room));
    this.#rooms = now;
    if (isIn) for (const room of joined) this.#talk.join(room);
    if (this.#current === current) return;
    this.#current = current;
    this.#render();
  }

  /** The user may be called otherwise now. */
  renamed() {
    if (this.#talk && this.#usedName !== this.#wantedName()) this.#connect();
  }

  async #join() {
    await this.#library;
    this.#wantsFocus = true;
    this.#connect();
  }

  #connect() {
    this.#talk?.close();
    this.#talk = undefined;
    this.#usedName = this.#wantedName();
    this.#shown.carrier.textContent = "";
    this.#state("connecting");
    const tell = {
      state: (state, why, data) => this.#state(state, why, data),
      carrier: (text) => (this.#shown.carrier.textContent = text),
      said: (said) => this.#said(said),
      recent: (room, messages) => this.#recent(room, messages),
      trouble: (text) => this.#trouble(text),
    };
    // What a talk that is over still tells is not heard.
    const listening = {};
    for (const [word, listener] of Object.entries(tell)) {
      listening[word] = (...args) => this.#listening === listening && listener(...args);
    }
    this.#listening = listening;
    try {
      this.#talk = new this.#Talk({
        name: this.#usedName,
        token: this.#shown.token.value.trim(),
        transport: this.#shown.transport.value,
        rooms: () => [...this.#rooms],
        tell: listening,
      });
    } catch (error) {
      this.#state("refused", error.message); // a token that the library cannot send
    }
  }

  #disconnect() {
    this.#lines.clear();
    this.#state("idle");
  }

  #wantedName() {
    const suffix = ` via ${this.#Talk.title}`;
    const name = this.#name() || "guest";
    return [...name].slice(0, LONGEST_NAME - suffix.length).join("").trim() + suffix;
  }

  #say() {
    const { message } = this.#shown;
    const text = message.value.trim();
    if (!text || message.disabled) return;
    message.value = "";
    this.#trouble("");
    this.#talk.say(this.#current, text);
  }

  #said({ room, user, message }) {
    const lines = this.#lines.get(room) ?? [];
    this.#lines.set(room, lines);
    lines.push({ user, message });
    if (lines.length > KEPT) lines.shift();
    if (room === this.#current) this.#render();
  }

  /** A room as the server tells it; what came before its answer, and is not in it, stays behind that. */
  #recent(room, messages) {
    const told = new Set(messages.map(key));
    const since = (this.#lines.get(room) ?? []).filter((line) => !told.has(key(line)));
    this.#lines.set(room, [...messages, ...since]);
    if (room === this.#current) this.#render();
  }

  #state(state, why = "", data = undefined) {
    const { section, status, connect, disconnect, lines, form, message } = this.#shown;
    const isOut = OUT.includes(state);
    if (isOut) {
      this.#listening = undefined;
      this.#talk?.close();
      this.#talk = undefined;
    }
    if (state === "open") this.#lines.clear(); // it is told anew what was said
    section.dataset.state = state;
    status.parentElement.dataset.state = state;
    status.textContent = STATES[state];
    connect.hidden = !isOut || state === "missing";
    this.#shown.transport.hidden = state === "missing";
    disconnect.hidden = lines.hidden = form.hidden = isOut;
    if (isOut) this.#shown.carrier.textContent = "";
    if (state === "waiting") this.#shown.carrier.textContent = "";
    message.disabled = state !== "open";
    this.#trouble(isOut ? why : "", isOut ? data : undefined);
    this.#render();
    if (state === "open" && this.#wantsFocus) message.focus();
    this.#wantsFocus &&= state === "connecting";
  }

  /** What went wrong, and what the server says beside it. */
  #trouble(text, data) {
    const { trouble } = this.#shown;
    trouble.replaceChildren(text);
    if (data !== undefined) trouble.append(" ", element("code", {}, JSON.stringify(data)));
    trouble.hidden = !text;
  }

  #render() {
    const { lines } = this.#shown;
    const said = this.#lines.get(this.#current) ?? [];
    lines.dataset.room = this.#current;
    lines.replaceChildren(
      ...said.map(({ user, message }) => {
        const kind = user === this.#usedName ? "line own" : "line";
        return element("li", { class: kind }, element("span", { class: "who" }, user), " ", element("span", {}, message));
      }),
    );
    this.#showEnd();
  }

  #showEnd() {
    const { lines } = this.#shown;
    lines.scrollTop = lines.scrollHeight;
  }
}

const key = ({ user, message }) => `${user}\n${message}`;

/** Resolves when a script of the page has run; rejects where the server has none. */
function loaded(script) {
  const tag = element("script", { src: script });
  return new Promise((resolve, reject) => {
    tag.addEventListener("load", resolve);
    tag.addEventListener("error", () => reject(new Error(`${script} is not there`)));
    document.head.append(tag);
  });
}

/** The elements of a panel; the ways to write and to connect bear the name of the library's protocol. */
function parts(section, { title, library, transports, needsToken }, given) {
  const carrier = element("span", { class: "carrier" });
  const status = element("span", { role: "status" }, "");
  const disconnect = element("button", { type: "button", class: "small", "aria-label": `Disconnect ${title}` }, "Leave");
  const choices = [...(transports.length > 1 ? [""] : []), ...transports].map((name) => element("option", { value: name }, name || "automatic"));
  const transport = element("select", { "aria-label": `Transport of ${title}` }, ...choices);
  const token = element("input", {
    "aria-label": `Token for ${title}`,
    placeholder: needsToken ? "Token that the server printed" : "Token, or none: a guest",
    autocomplete: "off",
    spellcheck: "false",
    value: given,
  });
  const why = `The official ${library} joins the rooms you are in, beside you.`;
  const connect = element(
    "form",
    { class: "connect" },
    element("p", { class: "hint" }, why),
    element("div", {}, token, element("button", { "aria-label": `Connect ${title}` }, "Connect")),
  );
  const trouble = element("p", { class: "error", role: "alert" });
  const lines = element("ol", { class: "lines", role: "log", "aria-label": `Messages by ${title}`, tabindex: "0" });
  const message = element("input", {
    "aria-label": `Message by ${title}`,
    placeholder: "Say something…",
    maxlength: "2000",
    autocomplete: "off",
  });
  const form = element("form", { class: "say" }, message, element("button", { "aria-label": `Send by ${title}` }, "Send"));
  section.append(
    element("div", { class: "title" }, element("h2", {}, title), element("code", { title: library }, library), transport),
    element("div", { class: "state" }, element("span", { class: "light", "aria-hidden": "true" }), status, carrier, disconnect),
    trouble,
    connect,
    lines,
    form,
  );
  return { section, status, carrier, disconnect, transport, token, connect, trouble, lines, message, form };
}

function submitted(form, listener) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    listener();
  });
}
