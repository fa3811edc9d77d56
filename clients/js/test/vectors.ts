/** The shared vectors of the repository. */

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

// npm runs the tests in the folder of the package.
const ROOT = resolve(process.cwd(), "..", "..", "tests", "vectors");

/** Every file of one folder by its name; a folder without any is an error. */
export function vectors(folder: string): Map<string, any> {
  const path = join(ROOT, folder);
  const names = readdirSync(path).filter((name) => name.endsWith(".json"));
  if (!names.length) throw new Error(`no vectors in ${path}`);
  return new Map(names.map((name) => [name.slice(0, -5), JSON.parse(readFileSync(join(path, name), "utf-8"))]));
}
