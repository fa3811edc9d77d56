/** The vectors of the protocol itself, as far as they concern a client that speaks JSON. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/client.js";
import { COUNTED, json, valueOf } from "../src/codec.js";
import { Session } from "../src/session.js";
import { TestClock } from "./clock.js";
import { vectors } from "./vectors.js";
import { TestWebSocket } from "./wire.js";

const { messages, invalid, opening } = Object.fromEntries(vectors("anywire"));

/** Bytes inside data are base64 text in JSON. */
function asJson(value: any): any {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(asJson);
  if ("$bytes" in value) return value.$bytes;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, asJson(one)]));
}

for (const { name, counted, frame, json: text } of messages.messages) {
  test(`${name} is read, counted and written`, () => {
    const message = json.decode(text);
    assert.equal(COUNTED.has(message.type), counted);
    assert.deepEqual(JSON.parse(json.encode(message) as string), JSON.parse(text));
    if (Array.isArray(frame.args)) {
      const args = asJson(frame.args);
      assert.deepEqual(valueOf(message), args.length > 1 ? args : args[0]);
    }
  });
}

/** A client with an open session and a membership, and the other side. */
function inMemory() {
  const clock = new TestClock();
  const { WebSocket, made, last } = TestWebSocket.fresh();
  const client = connect("ws://test/ws", { WebSocket, clock, random: () => 0 });
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  last().accept("anywire.json.1");
  last().receive('{"type":"welcome","session":"s","token":"t","beat":25,"resumed":false,"received":0}');
  for (const address of ["a", "desk", "chat:lobby"]) {
    const channel = client.channel(address);
    void channel.join();
    const { ref } = JSON.parse(last().sent.at(-1) as string);
    last().receive(JSON.stringify({ type: "joined", ref, address, outcome: "fresh" }));
    assert.equal(channel.state, "joined");
  }
  return { client, clock, errors, made, last };
}

for (const { name, from, json: text } of messages.messages) {
  if (from !== "server") continue;
  test(`a client takes ${name}`, () => {
    const { client, errors, last } = inMemory();
    const { type, retry, resumed } = JSON.parse(text);
    last().receive(text);
    // This client never sent what that server says it has: there is nothing to go on with.
    let state = resumed ? "waiting" : "open";
    if (type === "bye") state = retry == null ? "closed" : "waiting";
    assert.equal(client.state, state);
    if (type !== "refused" && type !== "bye") assert.deepEqual(errors, []);
    client.close();
  });
}

const crooked = [
  '{"type":"joined","address":"a","positions":5}',
  '{"type":"presence","address":"a","joined":{"x":5}}',
  '{"type":"presence","address":"a","left":{"x":null}}',
  '{"type":"event","address":{},"event":[]}',
  '{"type":"reply","ref":{}}',
  '{"type":"call","ref":1,"address":"a","event":"e","uploads":5}',
  '{"type":"welcome","limits":5,"beat":"soon"}',
  '{"type":"bye","code":"x","retry":"y"}',
  '{"type":"__proto__"}',
];
for (const text of [...invalid.invalid.map(({ json: text }: { json: string }) => text), ...crooked]) {
  test(`a client outlives ${text.slice(0, 80)}`, async () => {
    const { client, clock, made, last } = inMemory();
    last().receive(text);
    await new Promise(setImmediate);
    if (JSON.parse(text.startsWith('{"type":"bye"') ? text : "{}").type) return assert.equal(client.state, "closed");
    // Passed over, or cut as a protocol error: either way it is or becomes connected again.
    clock.advance(10);
    if (client.state !== "open") {
      assert.equal(made.length, 2);
      assert.deepEqual(made[0]?.closedWith?.code ?? 4400, 4400);
      last().accept("anywire.json.1");
      last().receive('{"type":"welcome","session":"s2","beat":25,"resumed":false,"received":0}');
      assert.equal(client.state, "open");
    }
    client.close();
  });
}

test("a resume is asked for as the server understands it", () => {
  const resumes = opening.openings.filter(({ role }: { role?: string }) => role === "resume");
  assert.ok(resumes.length);
  for (const { query, session: id, token, received } of resumes) {
    const session = new Session(1, 1);
    session.begin({ type: "welcome", session: id, token });
    for (let count = 0; count < Math.min(received, 100); count++) session.count();
    if (received > 100) session.received = received;
    const { token: _credential, ...ours } = query;
    assert.deepEqual(session.query, ours);
  }
});
