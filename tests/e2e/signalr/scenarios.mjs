// What the official SignalR client does with the mount /hub of the conformance app.
//
// One list of scenes, the same in Node and in a page. `run` plays a part of them over one carrier with one protocol and
// returns [name, error or null] of each.

import { play } from "../scenes.mjs";
import { Scene, scenarios } from "./scene.mjs";
import "./calling.mjs";
import "./streaming.mjs";
import "./groups.mjs";
import "./connection.mjs";
import "./negotiating.mjs";
import "./wire.mjs";
import "./reconnecting.mjs";

export function run({ part = 0, parts = 1, together = 1, tell, only = "", ...given }) {
  const scenes = scenarios.filter(({ name }, place) => place % parts === part && name.includes(only));
  return play(scenes, { together, make: () => new Scene(given), tell });
}
