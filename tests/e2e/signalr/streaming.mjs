// Streams: from the server, to the server, and both ways at once.

import { holds, numbers, same, within } from "../scenes.mjs";
import { failure, scenario, stream } from "./scene.mjs";

const made = (t) => new t.signalR.Subject();

scenario("a stream brings its items in order, and ends", async (t) => {
  const connection = await t.open();
  same(await stream(connection, "Counter", 5, 10).all(), numbers(5));
  same(await stream(connection, "Counter", 0, 0).all(), []);
  same(await stream(connection, "Counter", 1000, 0).all(), numbers(1000));
});

scenario("streams and calls run beside each other", async (t) => {
  const connection = await t.open();
  const streams = [30, 20, 10].map((count) => stream(connection, "Counter", count, 5));
  same(await connection.invoke("Add", 1, 2), 3);
  same(await Promise.all(streams.map((one) => one.all())), [numbers(30), numbers(20), numbers(10)]);
});

scenario("a stream that fails says why, behind its items", async (t) => {
  const connection = await t.open();
  const failing = stream(connection, "StreamFail", 3);
  holds((await failure(failing.ended)).includes("ran out"), "the text is missing");
  same(failing.items.all, numbers(3));
});

async function isCancelled(connection, key) {
  for (let isOver = false; !isOver; ) isOver = await connection.invoke("WasCancelled", key);
}

scenario("a stream that nobody wants any more is cancelled, and its client goes on", async (t) => {
  const [connection, key] = [await t.open(), t.name("key")];
  const endless = stream(connection, "Endless", key);
  await endless.items.until(5, false);
  same(await connection.invoke("WasCancelled", key), false);
  endless.subscription.dispose();
  await within(isCancelled(connection, key), "cancelled");
  same(await stream(connection, "Counter", 3, 0).all(), numbers(3));
});

scenario("the streams of who stops are cancelled", async (t) => {
  const [[connection, other], key] = [await t.together(2), t.name("key")];
  await stream(connection, "Endless", key).items.until(3, false);
  await connection.stop();
  await within(isCancelled(other, key), "cancelled");
});

scenario("a stream that is called, and a call that is streamed, fail", async (t) => {
  const connection = await t.open();
  await failure(connection.invoke("Counter", 3, 0));
  await failure(stream(connection, "Add", 1, 2).ended);
  await failure(stream(connection, "Nowhere").ended);
  same(await connection.invoke("Add", 1, 2), 3);
  same(await stream(connection, "Counter", 3, 0).all(), numbers(3));
});

scenario("what is uploaded is heard in order, and the method returns", async (t) => {
  const connection = await t.open();
  const upload = made(t);
  const sum = connection.invoke("Sum", upload);
  for (const number of numbers(50)) upload.next(number);
  upload.complete();
  same(await sum, 1225);
  const nothing = made(t);
  const none = connection.invoke("Sum", nothing);
  nothing.complete();
  same(await none, 0);
});

scenario("two uploads of one call do not get into each other's way", async (t) => {
  const connection = await t.open();
  const [a, b] = [made(t), made(t)];
  const joined = connection.invoke("Concat", a, " - ", b);
  for (const [one, text] of [[b, "x"], [a, "a"], [b, "y"], [a, "b"], [b, "z"]]) one.next(text);
  b.complete();
  a.next("c");
  a.complete();
  same(await joined, "abc - xyz");
});

scenario("a stream of uploaded items comes back while it is uploaded", async (t) => {
  const connection = await t.open();
  const upload = made(t);
  const back = stream(connection, "EchoStream", upload);
  const items = [1, "two", null, { three: [3] }, [4]];
  for (const [place, item] of items.entries()) {
    upload.next(item);
    await back.items.until(place + 1);
  }
  upload.complete();
  same(await back.all(), items);
});

scenario("an upload may be sent without waiting for the method", async (t) => {
  const connection = await t.open();
  const upload = made(t);
  await connection.send("Sum", upload);
  upload.next(1);
  upload.complete();
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("an upload that fails fails the method", async (t) => {
  const connection = await t.open();
  const upload = made(t);
  const sum = connection.invoke("Sum", upload);
  upload.next(1);
  upload.error(new Error("the disk is gone"));
  await failure(sum);
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("a stream that is cancelled takes its upload along", async (t) => {
  const [connection, key, upload] = [await t.open(), t.name("key"), made(t)];
  const back = stream(connection, "EchoUntilCancelled", key, upload);
  upload.next(1);
  await back.items.until(1);
  same(await connection.invoke("WasCancelled", key), false);
  back.subscription.dispose();
  upload.next(2);
  await within(isCancelled(connection, key), "cancelled");
  upload.complete();
  same(await connection.invoke("Add", 1, 2), 3);
  same(back.items.all, [1]);
});
