// A client of the SignalR example, which knows nothing of anywire. It reads commands from its input.
// Usage: node client.mjs URL TOKEN, then: Enter ROOM, Say ROOM TEXT, Quit ROOM, Countdown N, Dictate ROOM LINE…, or bye

import { createInterface } from "node:readline";
import { HubConnectionBuilder, LogLevel, Subject } from "@microsoft/signalr";

const [url, token] = process.argv.slice(2);
const connection = new HubConnectionBuilder()
  .withUrl(`${url}/chathub`, { accessTokenFactory: () => token })
  .withAutomaticReconnect([0, 100, 200, 400, 800])
  .withStatefulReconnect()
  .configureLogging(LogLevel.None)
  .build();

const tell = (...words) => console.log(words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" "));

for (const method of ["entered", "said", "gone"]) connection.on(method, (...about) => tell(method, ...about));
connection.on("sure", (room) => {
  tell("asked about", room);
  return true;
});
connection.onreconnecting(() => tell("lost"));
connection.onreconnected(() => tell("back"));

function count(start) {
  return new Promise((complete, error) => {
    const numbers = [];
    connection.stream("Countdown", Number(start)).subscribe({ next: (number) => numbers.push(number), complete: () => complete(numbers), error });
  });
}

function dictate(room, ...lines) {
  const upload = new Subject();
  const said = connection.invoke("Dictate", room, upload);
  for (const line of lines) upload.next(line);
  upload.complete();
  return said;
}

const commands = {
  Enter: (room) => connection.invoke("Enter", room),
  Say: (room, ...words) => connection.invoke("Say", room, words.join(" ")),
  Quit: (room) => connection.invoke("Quit", room),
  Countdown: count,
  Dictate: dictate,
  bye: () => connection.stop(),
};

try {
  await connection.start();
  tell("connected");
} catch (error) {
  tell("refused:", error.message);
}
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  try {
    tell(`${command}:`, (await commands[command]?.(...words)) ?? null);
  } catch (error) {
    tell(`${command}!`, error.message);
  }
}
await connection.stop();
