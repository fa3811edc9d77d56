// The platform's WebSocket cases that apply to a page, for the platform's own class and for the drop-in.
//
// `run(kind, part, parts)` runs a part of them in this page, one after the other; each is told what class it is about,
// and says where the drop-in differs on purpose (`t.differs`). The other side is platform_app.py.

import { Case, cases, within } from "./platform/harness.mjs";
import "./platform/making.mjs";
import "./platform/sending.mjs";
import "./platform/closing.mjs";
import "./platform/telling.mjs";

const TIMEOUT = 4000;

/** What went wrong in each case of this part, or null, by name. */
export async function run(kind, part, parts) {
  const results = {};
  await warm(new Case(kind));
  for (const { name, run } of cases.filter((_, place) => place % parts === part)) {
    const t = new Case(kind);
    try {
      await within(TIMEOUT, run(t));
      results[name] = null;
    } catch (error) {
      results[name] = `${error?.stack ?? error}`;
    }
    t.end();
  }
  return results;
}

/** Chromium makes a page wait, for seconds, that has more connections under way or failed than succeeded. */
async function warm(t) {
  for (let n = 0; n < 20; n++) await t.open();
  t.end();
}
