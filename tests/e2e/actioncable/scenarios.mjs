// What the official clients do with the mount /cable of the conformance app.
//
// One list of scenes, the same in Node and in a page. `run` plays a part of them with one client (`rails`: the client of
// Rails, `anycable`: AnyCable's on the same protocol, `extended`: AnyCable's on its own) and returns [name, error or
// null] of each.

import { play } from "../scenes.mjs";
import { Scene, scenarios } from "./scene.mjs";
import "./connecting.mjs";
import "./room.mjs";
import "./ending.mjs";
import "./extended.mjs";

export function run({ ActionCable, AnyCable, url, stage, client, part = 0, parts = 1, together = 1, tell, only = "" }) {
  const mine = scenarios.filter(({ clients }) => clients.includes(client));
  const scenes = mine.filter(({ name }, place) => place % parts === part && name.includes(only));
  const make = () => new Scene({ ActionCable, AnyCable, url, stage, client });
  return play(scenes, { together, make, tell });
}
