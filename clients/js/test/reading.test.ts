import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpCarrier } from "../src/transports/choice.js";
import { reader } from "../src/transports/reading.js";
import { vectors } from "./vectors.js";

const { polls, streams } = Object.fromEntries(vectors("anywire"));
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

/** All that is said, with the body cut into pieces of this size. */
function read(carrier: HttpCarrier, body: Uint8Array, step: number): string[] {
  const one = reader(carrier);
  const said: string[] = [];
  for (let at = 0; at < body.length; at += step) said.push(...one(body.subarray(at, at + step)));
  return [...said, ...one()];
}

const texts = streams.streams.filter(({ protocol }: { protocol: string }) => protocol === "anywire.json.1");

for (const step of [1, 7, 1000]) {
  for (const { name, carrier, body, texts: wanted = [], farewell } of texts) {
    test(`${carrier}: ${name}, ${step} bytes at a time`, () => {
      const said = read(carrier, bytes(body), step);
      if (farewell) {
        const { code, reason } = farewell;
        assert.equal(decodeURIComponent(said.pop() as string), `!${code} ${reason}`.trimEnd());
      }
      assert.deepEqual(said, wanted);
    });
  }
  for (const { name, body, texts: wanted = [], binaries } of polls.bodies) {
    if (!binaries) {
      test(`poll: ${name}, ${step} bytes at a time`, () => assert.deepEqual(read("poll", bytes(body), step), wanted));
    }
  }
}

test("what is behind the last whole text of a stream is dropped", () => {
  assert.deepEqual(read("stream", new TextEncoder().encode("1\x1e2"), 100), ["1"]);
  assert.deepEqual(read("events", new TextEncoder().encode("data: 1\n\ndata: 2\n"), 100), ["1"]);
});
