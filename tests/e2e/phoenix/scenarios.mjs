// What the official Phoenix client does with the mount /socket of the conformance app.
//
// One list of scenes, the same in Node and in a page. `run` plays a part of them with one transport of the client and
// returns [name, error or null] of each.

import { play } from "../scenes.mjs";
import { Scene, scenarios } from "./scene.mjs";
import "./connecting.mjs";
import "./joining.mjs";
import "./pushing.mjs";
import "./ending.mjs";
import "./presence.mjs";

export function run({ Phoenix, url, stage, transport, part = 0, parts = 1, together = 1, tell, only = "" }) {
  const scenes = scenarios.filter(({ name }, place) => place % parts === part && name.includes(only));
  const make = () => new Scene({ Phoenix, url, stage, transport });
  return play(scenes, { together, make, tell });
}
