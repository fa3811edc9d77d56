/** Addresses and subprotocols: what is taken, what is completed, what is refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkProtocols, resolveUrl } from "../src/address.js";

test("addresses are completed and http becomes ws", () => {
  assert.equal(resolveUrl("http://a/ws"), "ws://a/ws");
  assert.equal(resolveUrl("https://a:444/ws?q=1"), "wss://a:444/ws?q=1");
  assert.equal(resolveUrl("http://a:80"), "ws://a/");
  assert.equal(resolveUrl(new URL("wss://a/ws")), "wss://a/ws");
});

for (const [url, words] of [
  ["/ws", /"\/ws" is no address/],
  ["ws://a b/", /"ws:\/\/a b\/" is no address/],
  ["ftp://a/", /must begin with ws: or wss:/],
  ["mailto:a@b", /must begin with ws: or wss:/],
  ["ws://a/ws#x", /has a fragment/],
  ["ws://a/ws#", /has a fragment/],
] as const) {
  test(`${url} is refused as the platform refuses it`, () => {
    assert.throws(() => resolveUrl(url), { name: "SyntaxError", code: 12, message: words });
  });
}

test("subprotocols are one or several tokens", () => {
  assert.deepEqual(checkProtocols("one"), ["one"]);
  assert.deepEqual(checkProtocols(new Set(["one", "ONE", "v2.x~json"])), ["one", "ONE", "v2.x~json"]);
  assert.deepEqual(checkProtocols([]), []);
});

for (const protocols of ["", "a b", "a,b", "a/b", "ä", "a\t", ["a", "a"], ["a", ""]]) {
  test(`${JSON.stringify(protocols)} is no offer`, () => {
    assert.throws(() => checkProtocols(protocols), { name: "SyntaxError", code: 12 });
  });
}
