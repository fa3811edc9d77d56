// What scenes of any wire share: they compare, they wait, and they are played. The same in Node and in a page.

/** Milliseconds that one thing may take to happen. */
export const PATIENCE = 5000;
const LONGEST = 15_000;

/** A value as text that tells bytes from text and nothing from null. */
export function plain(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `<${[...octets(value)]}>`;
  if (Array.isArray(value)) return `[${value.map(plain)}]`;
  if (value instanceof Error) return `${value}`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? `${value}`;
  return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${plain(inner)}`)}}`;
}

const octets = (value) =>
  ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);

const brief = (text) => (text.length > 600 ? `${text.slice(0, 600)}… (${text.length} characters)` : text);

export function same(actual, expected, what = "it") {
  const [has, wants] = [plain(actual), plain(expected)];
  if (has !== wants) throw new Error(`${what} is ${brief(has)}, not ${brief(wants)}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

export async function within(promise, what, milliseconds = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not within ${milliseconds} ms: ${typeof what === "function" ? what() : what}`));
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What comes, in its order; `until` waits for so many. */
export class Heard {
  all = [];
  #waiting = [];

  constructor(name) {
    this.name = name;
  }

  take(one) {
    this.all.push(one);
    this.#waiting = this.#waiting.filter(({ fits, resolve }) => !fits() || resolve());
  }

  /** The first so many that came; more than that is an error when `until` is told so. */
  async until(count = 1, isAll = true) {
    await this.when(() => this.all.length >= count, () => `${this.all.length} of ${count} ${this.name}`);
    if (isAll) same(this.all.length, count, `the number of ${this.name} (${brief(plain(this.all))})`);
    return this.all.slice(0, count);
  }

  when(fits, what = () => this.name) {
    if (fits()) return Promise.resolve();
    return within(new Promise((resolve) => this.#waiting.push({ fits, resolve })), what);
  }
}

export const numbers = (count) => Array.from({ length: count }, (_, number) => number);

/** A line to a server, which can be cut: stage.mjs says what its words do. */
export class Line {
  static async to(url, stage) {
    const line = new Line();
    Object.assign(line, await post(`${stage}/lines?to=${encodeURIComponent(url)}`), { stage });
    return line;
  }

  tell(word) {
    return post(`${this.stage}/lines/${this.name}/${word}`);
  }
}

const post = async (url) => (await fetch(url, { method: "POST" })).json();

/**
 * Plays scenes, so many at a time; returns [name, what went wrong or null] of each.
 * `make` makes what a scene is given, which is told to `end` when the scene is over.
 */
export async function play(scenes, { together = 1, make, tell = () => {} }) {
  const left = [...scenes];
  const outcomes = [];
  async function playSome() {
    for (let scene = left.shift(); scene; scene = left.shift()) {
      const t = make();
      const begun = Date.now();
      let error = null;
      try {
        await within(scene.run(t), "the whole scene", LONGEST);
      } catch (thrown) {
        error = `${thrown?.stack ?? thrown}`;
      }
      await t.end();
      outcomes.push([scene.name, error]);
      tell({ name: scene.name, error, took: Date.now() - begun });
    }
  }
  await Promise.all(Array.from({ length: together }, playSome));
  return outcomes;
}
