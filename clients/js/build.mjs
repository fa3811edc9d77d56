// Builds the bundle (no argument), measures it (size) or bundles and runs the tests (test).
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const BUNDLE = join(HERE, "dist", "anywire.js");
// 10 KB were meant for everything. The HTTP carriers and the choice between them are 1.7 KB of it, and most clients need
// them only behind the proxy where nothing else could be loaded any more: so they are in the one file.
const MOST = 11.5 * 1024;

const common = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };

async function bundle() {
  rmSync(dirname(BUNDLE), { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: [join(HERE, "src", "anywire.ts")],
    outfile: BUNDLE,
    platform: "neutral",
    minify: true,
  });
}

function size() {
  const data = readFileSync(BUNDLE);
  const packed = gzipSync(data, { level: 9 }).length;
  console.log(`dist/anywire.js: ${data.length} bytes, ${packed} gzipped, at most ${MOST}`);
  if (packed > MOST) {
    console.error(`anywire: the bundle is ${packed - MOST} bytes too large, gzipped`);
    process.exit(1);
  }
}

async function test() {
  const out = join(HERE, "node_modules", ".anywire-test");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const names = readdirSync(join(HERE, "test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: names.map((name) => join(HERE, "test", name)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    packages: "external",
    sourcemap: "inline",
  });
  const files = names.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
  const options = ["--enable-source-maps", "--test", "--test-reporter=spec", "--test-timeout=20000"];
  const run = spawnSync(process.execPath, [...options, ...files], { cwd: HERE, stdio: "inherit" });
  process.exit(run.status ?? 1);
}

const tasks = { bundle, size, test };
const task = tasks[process.argv[2] ?? "bundle"];
if (!task) {
  console.error(`anywire: unknown task "${process.argv[2]}"; known: ${Object.keys(tasks).join(", ")}`);
  process.exit(2);
}
await task();
