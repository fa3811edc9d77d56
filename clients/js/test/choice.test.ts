import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CARRIERS, type Carrier, Choice } from "../src/transports/choice.js";
import { TestClock } from "./clock.js";

const FIVE_MINUTES = 300_000;

afterEach(() => {
  delete (globalThis as { sessionStorage?: unknown }).sessionStorage;
});

/** What one attempt tries when nothing gets through, each with whether it is the last. */
function round(choice: Choice): [Carrier, boolean][] {
  const tried: [Carrier, boolean][] = [];
  do tried.push([choice.next(), choice.isLast]);
  while (choice.failed());
  return tried;
}

function names(choice: Choice): Carrier[] {
  return round(choice).map(([carrier]) => carrier);
}

/** Only this one gets through. */
function through(choice: Choice, wanted: Carrier): void {
  while (choice.next() !== wanted) choice.failed();
  choice.succeeded();
}

test("without a memory carriers are tried in their order, and the last one has all the time", () => {
  const choice = new Choice(CARRIERS, new TestClock(), "host");
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.deepEqual(round(choice), [["websocket", false], ["events", false], ["stream", false], ["poll", true]]);
  }
  assert.deepEqual(round(new Choice(["poll"], new TestClock(), "host")), [["poll", true]]);
});

test("what got through is tried alone, and then first", () => {
  const choice = new Choice(CARRIERS, new TestClock(), "host");
  through(choice, "stream");
  assert.deepEqual(round(choice), [["stream", false]]);
  assert.deepEqual(names(choice), ["stream", "websocket", "events", "poll"]);
  through(choice, "stream");
  assert.deepEqual(names(choice), ["stream"]);
});

test("the memory passes, however often it is made use of", () => {
  const clock = new TestClock();
  const choice = new Choice(CARRIERS, clock, "host");
  for (let minute = 0; minute < 5; minute++) {
    through(choice, "poll");
    clock.advance(59_000);
  }
  assert.equal(choice.next(), "poll");
  choice.failed();
  clock.advance(5000);
  assert.deepEqual(names(choice), [...CARRIERS]);
  through(choice, "poll");
  assert.deepEqual(names(choice), ["poll"]);
});

test("the first carrier needs no second look", () => {
  const clock = new TestClock();
  const choice = new Choice(CARRIERS, clock, "host");
  through(choice, "websocket");
  clock.advance(10 * FIVE_MINUTES);
  assert.deepEqual(names(choice), ["websocket"]);
});

test("the next page of the tab begins with what got through, for the same server and the rest of the time", () => {
  const storage: Record<string, string> = {};
  Object.assign(globalThis, { sessionStorage: storage });
  through(new Choice(CARRIERS, new TestClock(), "host"), "events");
  assert.deepEqual(names(new Choice(CARRIERS, new TestClock(), "host")), ["events"]);
  assert.deepEqual(names(new Choice(CARRIERS, new TestClock(), "other")), [...CARRIERS]);
  assert.deepEqual(names(new Choice(["websocket", "poll"], new TestClock(), "host")), ["websocket", "poll"]);
  const clock = new TestClock();
  const [key] = Object.keys(storage) as [string];
  storage[key] = `events ${Date.now() - FIVE_MINUTES + 60_000}`;
  const choice = new Choice(CARRIERS, clock, "host");
  clock.advance(61_000);
  assert.deepEqual(names(choice), [...CARRIERS]);
  through(choice, "websocket");
  assert.deepEqual(names(new Choice(CARRIERS, new TestClock(), "host")), ["websocket"]);
});

test("a page that may store nothing remembers nothing beyond itself", () => {
  const forbidden = () => {
    throw new Error("forbidden");
  };
  const descriptor = { get: forbidden, configurable: true };
  Object.defineProperty(globalThis, "sessionStorage", descriptor);
  const choice = new Choice(CARRIERS, new TestClock(), "host");
  through(choice, "poll");
  assert.deepEqual(names(choice), ["poll"]);
  assert.deepEqual(names(new Choice(CARRIERS, new TestClock(), "host")), [...CARRIERS]);
});
