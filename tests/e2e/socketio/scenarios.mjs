// What the official Socket.IO client does with the mount /socket.io-app/ of the conformance app.
//
// One list of scenes, the same in Node and in a page. `run` plays a part of them and returns [name, error or null]
// of each.

import { play } from "../scenes.mjs";
import { Scene, scenarios } from "./scene.mjs";
import "./connecting.mjs";
import "./events.mjs";
import "./rooms.mjs";
import "./ending.mjs";
import "./recovering.mjs";

/** What the client is told to use; its default begins with polls and goes over to a WebSocket. */
export const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], default: undefined };

export function run({ io, url, stage, transport, part = 0, parts = 1, together = 1, tell, only = "" }) {
  const scenes = scenarios.filter(({ name }, place) => place % parts === part && name.includes(only));
  const make = () => new Scene({ io, url, stage, transports: TRANSPORTS[transport] });
  return play(scenes, { together, make, tell });
}
