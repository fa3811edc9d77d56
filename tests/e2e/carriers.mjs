// The browser client, as the test of carriers plays it: one client a page, which counts with the server.

import { connect } from "/anywire.js";

const heard = [];
const states = [];
let client;
let numbers;

/** Connects and joins; `options` as of the client. */
export async function open(options) {
  client = connect("/ws", { reconnectInterval: 20, maxReconnectInterval: 50, ...options });
  client.on("error", () => {});
  client.on("state", (state) => states.push(state));
  numbers = client.channel("numbers");
  numbers.on("number", (n) => heard.push(n));
  await numbers.join();
}

/** Says the numbers from `first` to before `last`, some of them while a call is under way; returns its answers. */
export async function talk(first, last) {
  const answers = [];
  for (let n = first; n < last; n += 1) {
    numbers.send("number", n);
    if (n % 5 === 4) answers.push(await numbers.call("double", n));
  }
  return answers;
}

/** All that is known here and there, once everything said has come back. */
export async function told(count) {
  while (heard.length < count) await new Promise((resolve) => numbers.once("number", resolve));
  const there = await numbers.call("taken");
  return { ...there, heard, states, here: [client.session, client.carrier] };
}

/** Waits until the client is back. */
export async function back(carrier) {
  while (client.state !== "open" || client.carrier !== carrier) {
    await new Promise((resolve) => client.once("state", resolve));
  }
}
