// Calls: of the server by the client, and of the client by the server.

import { holds, numbers, same, within } from "../scenes.mjs";
import { closed, failure, hear, scenario } from "./scene.mjs";

const BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
/** Integers past 64 bits. */
const LARGE = [1e20, 2 ** 64, -(2 ** 63) - 4096, 1e21];
const BASE64 = btoa(String.fromCharCode(...BYTES));

scenario("a client knows the id that the server knows it by", async (t) => {
  const [one, other] = await t.together(2);
  same(await one.invoke("ConnectionId"), one.connectionId);
  holds(/^[\w-]{16,}$/.test(one.connectionId), `"${one.connectionId}" is easily guessed`);
  holds(one.connectionId !== other.connectionId, "two have one id");
});

scenario("a call is answered with what the method returns", async (t) => {
  const connection = await t.open();
  same(await connection.invoke("Add", 1, 2), 3);
  same(await connection.invoke("Add", -0.5, 2), 1.5);
  for (const value of [0, -1.5, 2 ** 53 - 1, true, false, "", "Grüße 👋🏽 \0\u2028\x1e", [], {}, [[], [{}]], { a: [1, null, "x"] }, ...LARGE]) {
    same(await connection.invoke("Echo", value), value);
  }
  same(await connection.invoke("Echo", { deep: { deeper: [[["ü"]]] } }), { deep: { deeper: [[["ü"]]] } });
});

scenario("a method that returns nothing is completed without a result", async (t) => {
  const connection = await t.open();
  for (const nothing of [await connection.invoke("Void"), await connection.invoke("Echo", null)]) {
    holds(nothing === null || nothing === undefined, `it is ${nothing}`);
  }
});

scenario("bytes are bytes in MessagePack, and base64 in JSON", async (t) => {
  const connection = await t.open();
  if (t.protocol === "messagepack") {
    same(await connection.invoke("Echo", BYTES), BYTES);
    same(await connection.invoke("Echo", { deep: [BYTES, new Uint8Array()] }), { deep: [BYTES, new Uint8Array()] });
  } else same(await connection.invoke("Echo", BASE64), BASE64);
  const packed = await t.open({ carrier: "websockets", protocol: "messagepack" });
  const said = hear(connection, "bytes");
  await packed.invoke("SendToConnection", connection.connectionId, "bytes", [BYTES]);
  same(await said.until(), [[[t.protocol === "messagepack" ? BYTES : BASE64]]]);
});

scenario("large messages go both ways, one over the limit ends the connection", async (t) => {
  const connection = await t.open();
  const text = "ü".repeat(100_000);
  same(await connection.invoke("Echo", text), text);
  const end = closed(connection);
  await failure(connection.invoke("Echo", "x".repeat(256 * 1024)));
  await end;
});

scenario("eight calls of a connection run at once, each is answered when it is done, and a ninth waits", async (t) => {
  const connection = await t.open();
  const order = [];
  const begun = Date.now();
  const slow = (ms) => connection.invoke("Slow", ms, ms).then((answer) => order.push(answer));
  const eight = [800, 700, 600, 500, 400, 300, 200, 100].map(slow);
  await Promise.all([...eight, slow(0)]);
  const ninth = order.indexOf(0);
  holds(ninth > 0, "the ninth did not wait");
  same(order.toSpliced(ninth, 1), [100, 200, 300, 400, 500, 600, 700, 800]);
  const took = Date.now() - begun;
  holds(took < 2000, `it took ${took} ms`);
});

scenario("many calls are answered once each", async (t) => {
  const connection = await t.open();
  const answers = await Promise.all(numbers(200).map((number) => connection.invoke("Echo", number)));
  same(answers, numbers(200));
});

scenario("what a method refuses with is told, what it crashes with is not", async (t) => {
  const connection = await t.open();
  holds((await failure(connection.invoke("Fail", "no tea today"))).includes("no tea today"), "the text is missing");
  const crash = await failure(connection.invoke("Crash"));
  holds(!crash.includes("detail"), `it says "${crash}"`);
  same(await connection.invoke("Echo", "still here"), "still here");
});

scenario("a call of no method, and one with other arguments, fail and harm nothing", async (t) => {
  const connection = await t.open();
  holds((await failure(connection.invoke("Nowhere"))).includes("Nowhere"), "it does not say which");
  await failure(connection.invoke("Add", 1));
  await failure(connection.invoke("Add", "one", "two"));
  await failure(connection.invoke("Void", 1, 2, 3));
  same(await connection.invoke("Add", 1, 2), 3);
});

scenario("names of methods are matched byte for byte", async (t) => {
  const connection = await t.open();
  await failure(connection.invoke("echo", 1));
  same(await connection.invoke("Echo", 1), 1);
});

scenario("what is sent without waiting for it is done in order, and never answered", async (t) => {
  const connection = await t.open();
  const [method, heard] = [t.name("said"), []];
  connection.on(method, (number) => heard.push(number));
  for (const number of numbers(50)) connection.send("CallMe", method, [number]);
  connection.send("Fail", "nobody hears it");
  connection.send("Nowhere");
  await connection.invoke("Slow", 100, null);
  same(heard, numbers(50));
});

scenario("the server calls the client, with any arguments, and its names have no case", async (t) => {
  const connection = await t.open();
  const [said, none] = [hear(connection, "said"), hear(connection, "NOTHING")];
  const lists = [[1], [1, "two", null, { three: [3] }, [4]], [[]]];
  for (const args of lists) await connection.invoke("CallMe", "Said", args);
  same(await said.until(lists.length), lists);
  await connection.invoke("CallMe", "nothing", []);
  same(await none.until(), [[]]);
});

scenario("the server calls a method that the client has not, and nothing happens", async (t) => {
  const connection = await t.open();
  await connection.invoke("CallMe", t.name("nobody"), [1]);
  same(await connection.invoke("Echo", 1), 1);
});

scenario("the server asks the client, and goes on with its answer", async (t) => {
  const connection = await t.open();
  connection.on("Question", (value) => [value, "answer"]);
  same(await connection.invoke("AskMe", 21), [21, "answer"]);
  same(await Promise.all(numbers(5).map((number) => connection.invoke("AskMe", number))), numbers(5).map((n) => [n, "answer"]));
  connection.off("Question");
  connection.on("Question", async (value) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return value * 2;
  });
  same(await connection.invoke("AskMe", 21), 42);
});

scenario("a client's method may call the server before it answers", async (t) => {
  const connection = await t.open();
  connection.on("Question", (value) => connection.invoke("Add", value, 1));
  same(await within(connection.invoke("AskMe", 41), "answer"), 42);
});

scenario("a client that throws, answers nothing or has no such method fails the call that asked it", async (t) => {
  const connection = await t.open();
  await failure(connection.invoke("AskMeBad"));
  connection.on("Bad", () => {
    throw new Error("the client's own words");
  });
  const thrown = await failure(connection.invoke("AskMeBad"));
  holds(thrown.includes("the client's own words"), `it says "${thrown}"`);
  connection.on("Question", () => {});
  await failure(connection.invoke("AskMe", 1));
  connection.on("Question", () => 1);
  connection.on("Question", () => 2);
  holds((await failure(connection.invoke("AskMe", 1))).includes("multiple"), "two answers");
  same(await connection.invoke("Echo", 1), 1);
});
