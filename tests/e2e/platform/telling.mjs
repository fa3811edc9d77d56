// Events and who listens to them; pages that go; workers.

import { echo, is, next, same, test, until } from "./harness.mjs";

// ---- events

test("the events are those of the platform, in its order", async (t) => {
  const socket = t.make();
  const events = [];
  const states = [];
  for (const type of ["open", "message", "close"]) {
    socket.addEventListener(type, (event) => {
      events.push(event);
      states.push(socket.readyState);
    });
  }
  const order = until(socket, "close");
  await next(socket, "open");
  await echo(socket, "x");
  socket.close(1000);
  same(await order, ["open", "message", "close"]);
  same(states, [1, 1, 3]);
  same(events.map(({ constructor }) => constructor.name), ["Event", "MessageEvent", "CloseEvent"]);
  for (const event of events) {
    is(event.target, socket, "target");
    is(event.bubbles, false, "bubbles");
    is(event.cancelable, false, "cancelable");
    is(event.isTrusted, t.differs("a script cannot make trusted events", { native: true, dropIn: false }), "isTrusted");
  }
  const [, message] = events;
  is(message.data, "x", "data");
  is(message.origin, `ws://${location.host}`, "origin");
  is(message.lastEventId, "", "lastEventId");
  is(message.source, null, "source");
  is(message.ports.length, 0, "ports");
});

test("an error is an event before the close", async (t) => {
  const socket = t.make(`/refuse/${t.name}`);
  const event = await next(socket, "error");
  is(event instanceof Event, true, "an Event");
  is(event.constructor.name, t.differs("it says more", { native: "Event", dropIn: "ErrorEvent" }), "its class");
  is(event.target, socket, "target");
  is(event.cancelable, false, "cancelable");
  is(socket.readyState, t.differs("told while the attempt is the present one", { native: 3, dropIn: 0 }), "readyState");
});

test("an on attribute has the place of its first function, until it is given none", async (t) => {
  const socket = await t.open();
  const heard = [];
  socket.addEventListener("message", () => heard.push("before"));
  socket.onmessage = () => heard.push("old");
  socket.addEventListener("message", () => heard.push("after"));
  socket.onmessage = () => heard.push("new");
  await echo(socket, "1");
  same(heard.splice(0), ["before", "new", "after"]);
  socket.onmessage = null;
  await echo(socket, "2");
  same(heard.splice(0), ["before", "after"]);
  socket.onmessage = () => heard.push("again");
  await echo(socket, "3");
  same(heard.splice(0), ["before", "after", "again"]);
});

test("an on attribute keeps functions and objects, and calls functions, with the socket as this", async (t) => {
  const socket = await t.open();
  const listener = () => {};
  socket.onmessage = listener;
  is(socket.onmessage, listener, "onmessage");
  for (const nothing of [undefined, 1, "x", null]) {
    socket.onmessage = listener;
    socket.onmessage = nothing;
    is(socket.onmessage, null, `onmessage after ${nothing}`);
  }
  let count = 0;
  const object = { handleEvent: () => (count += 1) };
  socket.onmessage = object;
  is(socket.onmessage, object, "an object");
  await echo(socket, "x");
  is(count, 0, "the calls of an object");
  let self;
  let given;
  socket.onmessage = function (...all) {
    [self, given] = [this, all];
  };
  await echo(socket, "x");
  is(self, socket, "this");
  is(given.length, 1, "the arguments");
});

test("addEventListener does what it does everywhere: once, signal, objects, no doubles, and back", async (t) => {
  const socket = await t.open();
  const heard = [];
  const stop = new AbortController();
  const twice = () => heard.push("one of two");
  socket.addEventListener("message", () => heard.push("once"), { once: true });
  socket.addEventListener("message", () => heard.push("signal"), { signal: stop.signal });
  socket.addEventListener("message", { handleEvent: ({ type }) => heard.push(`object ${type}`) });
  socket.addEventListener("message", twice);
  socket.addEventListener("message", twice);
  socket.addEventListener("message", null);
  await echo(socket, "1");
  same(heard.splice(0), ["once", "signal", "object message", "one of two"]);
  stop.abort();
  socket.removeEventListener("message", twice);
  await echo(socket, "2");
  same(heard, ["object message"]);
});

test("a listener may stop those after it", async (t) => {
  const socket = await t.open();
  const heard = [];
  socket.addEventListener("message", (event) => heard.push("first") && event.stopImmediatePropagation());
  socket.onmessage = () => heard.push("second");
  socket.send("x");
  await echo(await t.open(), "a round trip later");
  same(heard, ["first"]);
});

test("what a listener throws is reported to the page and stops nothing", async (t) => {
  const socket = await t.open();
  const reported = [];
  const report = (event) => {
    event.preventDefault();
    reported.push(event.error.message);
  };
  addEventListener("error", report);
  try {
    let errors = 0;
    socket.onerror = () => (errors += 1);
    socket.onmessage = () => {
      throw new Error("attribute");
    };
    socket.addEventListener("message", () => {
      throw new Error("listener");
    });
    is(await echo(socket, "1"), "1");
    is(await echo(socket, "2"), "2");
    same(reported, ["attribute", "listener", "attribute", "listener"]);
    is(errors, 0, "errors of the socket");
    is(socket.readyState, 1, "readyState");
  } finally {
    removeEventListener("error", report);
  }
});

test("an event that the page makes is heard like any other", (t) => {
  const socket = t.make();
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(data);
  is(socket.dispatchEvent(new MessageEvent("message", { data: "made up" })), true, "dispatchEvent");
  same(heard, ["made up"]);
});

// ---- pages that go, workers

for (const [how, leave] of [
  ["is removed", (frame) => frame.remove()],
  ["goes elsewhere", (frame) => (frame.src = "/elsewhere")],
]) {
  test(`a frame that ${how} takes its sockets along: 1001, and nobody comes back`, async (t) => {
    const frame = t.frame();
    frame.src = "/page";
    await next(frame, "load");
    const loaded = await frame.contentWindow.eval(`import("/anywire.js")`);
    const Socket = t.isNative ? frame.contentWindow.WebSocket : loaded.RobustSocket;
    const socket = new Socket(`/watch/${t.name}`, [], { reconnectInterval: 1 });
    await new Promise((resolve) => (socket.onopen = resolve));
    leave(frame);
    is((await t.ended()).code, 1001, "the code that the server heard");
    await echo(await t.open(), "a round trip later");
    is((await t.ended()).connections, 1, "connections");
  });
}

test("a worker has it too", async (t) => {
  const Name = t.isNative ? "WebSocket" : "RobustSocket";
  const code = `
    import { RobustSocket } from "${location.origin}/anywire.js";
    const socket = new ${Name}("ws://${location.host}/raw/echo");
    socket.onopen = () => socket.send("from a worker");
    socket.onmessage = ({ data }) => postMessage([data, socket.url, socket instanceof EventTarget]);
  `;
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const { data } = await next(worker, "message");
  worker.terminate();
  URL.revokeObjectURL(url);
  same(data, ["from a worker", `ws://${location.host}/raw/echo`, true]);
});
