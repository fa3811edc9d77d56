/** The package as others get it: packed, installed elsewhere, bundled, and read by the type checker. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { WebSocket } from "ws";
import { Peer } from "./peer.js";

const TSC = resolve("node_modules", ".bin", "tsc");
let folder: string;
let packed: string[];

/** What a command says; what it complains about is shown when it fails. */
function run(command: string, ...all: string[]): string {
  return execFileSync(command, all, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), "anywire-package-"));
  // The scripts would build it anew, under the feet of whoever serves what was built.
  const told = run("npm", "pack", resolve("."), "--ignore-scripts", "--json");
  const [{ filename, files }] = JSON.parse(told);
  packed = files.map(({ path }: { path: string }) => path);
  writeFileSync(join(folder, "package.json"), '{"name":"somebody","private":true,"type":"module"}');
  run("npm", "install", join(folder, filename), "--offline", "--ignore-scripts", "--no-audit", "--no-fund");
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("the package holds the bundle, its types and a page about it, and nothing else", () => {
  for (const name of ["dist/anywire.js", "dist/anywire.d.ts", "dist/socket.d.ts", "README.md", "package.json"]) {
    assert.ok(packed.includes(name), `${name} is missing; npm run build makes it`);
  }
  assert.deepEqual(packed.filter((name) => !/^dist\/(\w+\/)?\w+\.d\.ts$|^dist\/\w+\.js$|^README\.md$|^package\.json$/.test(name)), []);
});

test("a bundler takes it, and what it makes works", async () => {
  const entry = join(folder, "entry.ts");
  const outfile = join(folder, "out.mjs");
  writeFileSync(entry, 'import { RobustSocket } from "anywire";\nexport const Socket = RobustSocket;\n');
  await build({ entryPoints: [entry], outfile, bundle: true, format: "esm", platform: "browser", minify: true });
  const { Socket } = await import(pathToFileURL(outfile).href);
  const peer = await Peer.listen();
  const socket = new Socket(peer.url, { WebSocket, json: true });
  socket.send({ type: "hello" });
  await (await peer.next()).expect("hello");
  socket.close();
  await peer.stop();
});

for (const [module, resolution] of [
  ["esnext", "bundler"],
  ["nodenext", "nodenext"],
]) {
  test(`the types are strict where ${resolution} finds them`, () => {
    const name = `${resolution}.ts`;
    const code = `
      import { connect, RobustSocket } from "anywire";
      const make: new (url: string | URL, protocols?: string | string[]) => WebSocket = RobustSocket;
      const socket = new RobustSocket("/ws", { json: true });
      socket.onclose = ({ willReconnect, delay }) => willReconnect && delay;
      export const all: [WebSocket, WebSocket, string] = [new make("/ws"), socket, connect("/ws").state];
      // @ts-expect-error they are types, and not any
      socket.binaryType = "text";
    `;
    writeFileSync(join(folder, name), code);
    const options = ["--target", "es2022", "--lib", "es2022,dom", "--types", "", "--module", module as string];
    run(TSC, "--strict", "--noEmit", ...options, "--moduleResolution", resolution as string, name);
  });
}
