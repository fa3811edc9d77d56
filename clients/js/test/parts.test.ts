/** The small parts: emitter, stream, presence, session, codec. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { json } from "../src/codec.js";
import { Emitter } from "../src/emitter.js";
import { AnywireError } from "../src/error.js";
import { Presence } from "../src/presence.js";
import { Session } from "../src/session.js";
import { Stream } from "../src/stream.js";
import { onWake } from "../src/wake.js";

test("names that objects know are listened to like any other", () => {
  const heard: unknown[] = [];
  const emitter = new Emitter<Record<string, [unknown]>>();
  for (const name of ["__proto__", "constructor", "toString"]) {
    emitter.emit(name, 0);
    emitter.on(name, (value) => heard.push([name, value]));
    emitter.emit(name, 1);
  }
  assert.deepEqual(heard, [["__proto__", 1], ["constructor", 1], ["toString", 1]]);
});

test("a listener that rejects is reported", async () => {
  const reported: unknown[] = [];
  const emitter = new Emitter<{ x: [] }>((error) => reported.push(error));
  emitter.on("x", async () => {
    throw "late";
  });
  emitter.emit("x");
  await new Promise(setImmediate);
  assert.deepEqual(reported, ["late"]);
});

test("listeners that leave or come while an event is told do not disturb it", () => {
  const heard: string[] = [];
  const emitter = new Emitter<{ x: [] }>();
  const off = emitter.on("x", () => {
    heard.push("first");
    off();
    emitter.on("x", () => heard.push("third"));
  });
  emitter.on("x", () => heard.push("second"));
  emitter.emit("x");
  assert.deepEqual(heard.splice(0), ["first", "second"]);
  emitter.emit("x");
  assert.deepEqual(heard, ["second", "third"]);
});

test("a stream gives what came before its end, then throws its error once", async () => {
  const stream = new Stream<number>();
  stream.push(1);
  stream.end(new AnywireError("lost"));
  stream.push(2);
  assert.deepEqual(await stream.next(), { value: 1, done: false });
  await assert.rejects(stream.next(), { code: "lost" });
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
});

test("a stream whose reader is too slow ends with busy and is cancelled", async () => {
  let cancelled = 0;
  const stream = new Stream<number>({ cancel: () => (cancelled += 1) });
  for (let n = 0; n <= 1000; n++) stream.push(n);
  assert.equal(cancelled, 1);
  await assert.rejects(stream.next(), { code: "busy" });
});

test("several readers of a stream are served in their order, and all are told of its end", async () => {
  const stream = new Stream<number>();
  const reads = [stream.next(), stream.next(), stream.next()];
  stream.push(1);
  stream.end();
  assert.deepEqual((await Promise.all(reads)).map(({ value, done }) => [value, done]), [
    [1, false],
    [undefined, true],
    [undefined, true],
  ]);
});

test("a stream that is left before it is read was never started", async () => {
  const calls: string[] = [];
  const stream = new Stream({ start: () => calls.push("start"), cancel: () => calls.push("cancel") });
  await stream.return();
  assert.equal((await stream.next()).done, true);
  assert.deepEqual(calls, []);
});

test("presence follows joins, leaves, changes and the whole", () => {
  const presence = new Presence<{ status: string }>();
  const told: unknown[] = [];
  presence.on("change", (people, { joined, left }) => {
    told.push([people, joined, left].map((map) => [...map.keys()]));
  });
  const [on, away] = [{ status: "on" }, { status: "away" }];
  presence.apply({ type: "presence", joined: { ana: [on], bo: [on, away] }, left: {}, whole: true });
  assert.deepEqual(presence.people.get("bo"), [on, away]);
  presence.apply({ type: "presence", joined: { ana: [away] }, left: { ana: [on], bo: [on] } });
  assert.deepEqual([...presence.people], [["ana", [away]], ["bo", [away]]]);
  presence.apply({ type: "presence", joined: {}, left: { bo: [away], nobody: [on] } });
  assert.deepEqual([...presence.people], [["ana", [away]]]);
  presence.apply({ type: "presence", joined: { cy: [on] }, whole: true });
  presence.apply({ type: "presence", joined: { cy: [on] }, whole: true });
  assert.deepEqual(told, [
    [["ana", "bo"], ["ana", "bo"], []],
    [["ana", "bo"], ["ana"], ["ana", "bo"]],
    [["ana"], [], ["bo", "nobody"]],
    [["cy"], ["cy"], ["ana"]],
  ]);
});

test("people may be called as the language's own words", () => {
  const presence = new Presence();
  presence.apply(json.decode('{"type":"presence","joined":{"__proto__":[{"evil":1}],"constructor":[2]},"whole":true}'));
  assert.deepEqual([...presence.people], [["__proto__", [{ evil: 1 }]], ["constructor", [2]]]);
  assert.equal(({} as { evil?: number }).evil, undefined);
});

test("a session keeps what the server has not acknowledged, within its bound", () => {
  const session = new Session(3, 10);
  assert.deepEqual(session.query, {});
  session.begin({ type: "welcome", session: "s", token: "t" });
  for (const text of ["a", "b", "c"]) session.sent(text);
  session.acknowledge(1);
  assert.deepEqual(session.resume({ type: "welcome", received: 2, token: "t2" }), ["c"]);
  assert.deepEqual(session.query, { session: "s", resume: "t2", received: "0" });
  assert.equal(session.resume({ type: "welcome", received: 1 }), undefined);
  assert.equal(session.resume({ type: "welcome", received: 9 }), undefined);
  session.sent("0123456789");
  assert.equal(session.kept, 1);
  assert.deepEqual(session.resume({ type: "welcome", received: 3 }), ["0123456789"]);
  session.forget();
  assert.deepEqual([session.kept, session.query], [0, {}]);
});

test("an ack is due after 64 counted messages and says nothing twice", () => {
  const session = new Session(10, 10);
  assert.equal(session.ack(), undefined);
  const due = Array.from({ length: 64 }, () => session.count());
  assert.equal(due.indexOf(true), 63);
  assert.deepEqual(session.ack(), { type: "ack", received: 64 });
  assert.equal(session.ack(), undefined);
});

for (const text of ["", "nonsense", "[]", "null", "{}", '{"type":1}', "1"]) {
  test(`${JSON.stringify(text)} is no message`, () => {
    assert.throws(() => json.decode(text), { name: "AnywireError", code: "invalid" });
  });
}

test("in a browser the network's return and a look at the page are signals, until they are not wanted", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const window = new EventTarget();
  const globals = {
    document: page,
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
  };
  const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
  Object.assign(globalThis, globals);
  try {
    let count = 0;
    const stop = onWake(() => (count += 1));
    window.dispatchEvent(new Event("online"));
    page.dispatchEvent(new Event("visibilitychange"));
    page.visibilityState = "hidden";
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(count, 2);
    stop();
    window.dispatchEvent(new Event("online"));
    assert.equal(count, 2);
  } finally {
    for (const [name, was] of before) {
      if (was) Object.defineProperty(globalThis, name, was);
      else delete (globalThis as Record<string, unknown>)[name];
    }
  }
});
