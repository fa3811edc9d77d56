import assert from "node:assert/strict";
import { test } from "node:test";
import { type SocketState, transitions } from "../src/machine.js";
import { RobustSocket } from "../src/socket.js";
import { TestClock } from "./clock.js";
import { numbers } from "./numbers.js";
import { TestWebSocket } from "./wire.js";

const STATES = Object.keys(transitions) as SocketState[];

function ways(from: SocketState): SocketState[] {
  return Object.values(transitions[from]);
}

test("every state but closed can reach open and closed, and closed is final", () => {
  for (const start of STATES) {
    const reached = new Set<SocketState>([start]);
    for (const state of reached) for (const next of ways(state)) reached.add(next);
    if (start === "closed") assert.deepEqual([...reached], ["closed"]);
    else assert.ok(reached.has("open") && reached.has("closed"), start);
    if (start !== "closed") assert.equal(transitions[start].close, "closed");
  }
});

function walk(seed: number, steps: number): void {
  const random = numbers(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const clock = new TestClock();
  const { WebSocket, made, last } = TestWebSocket.fresh();
  let wake = () => {};
  const socket = new RobustSocket("ws://test/ws", {
    clock,
    WebSocket,
    random,
    heartbeat: true,
    maxQueue: 5,
    lazy: true,
    onWake: (run) => ((wake = run), () => (wake = () => {})),
  });
  const log: string[] = [];
  socket.on("state", ({ state, previous }) => {
    assert.ok(ways(previous).includes(state), `${previous} to ${state}: ${log.join(" ")}`);
  });
  socket.on("error", () => {
    throw new Error("a listener that throws");
  });
  const was = console.error;
  console.error = () => {};
  const cuts = [undefined, { code: 1001, after: 50 }, { code: 1000, after: null }, { code: 1002 }];
  const actions: Record<string, () => void> = {
    open: () => socket.open(),
    send: () => socket.send("x"),
    reconnect: () => socket.reconnect(pick(cuts)),
    close: () => random() < 0.1 && socket.close(),
    wake: () => wake(),
    time: () => clock.advance(pick([0, 1, 500, 5000, 40_000])),
    accept: () => made.length && last().accept(pick(["", "anywire.json.1"])),
    receive: () => pick(made)?.receive('{"type":"pong"}'),
    error: () => pick(made)?.onerror?.({}),
    lose: () => pick(made)?.lose(pick([1000, 1001, 1006, 1009, 4400, 4401, 4403, 4409, 4410])),
    closing: () => made.length && (last().readyState = 2),
  };
  try {
    for (let step = 0; step < steps; step++) {
      const name = pick(Object.keys(actions));
      log.push(name);
      const before = socket.state;
      actions[name]?.();
      const trail = log.join(" ");
      const alive = made.filter(({ onopen }) => onopen);
      assert.equal(alive.length, socket.state === "connecting" || socket.state === "open" ? 1 : 0, trail);
      // A timer leads out of each state that waits for something.
      if (socket.state === "connecting" || socket.state === "waiting") assert.equal(clock.waiting, 1, trail);
      if (socket.state === "idle" || socket.state === "closed") assert.equal(clock.waiting, 0, trail);
      if (before === "closed") assert.equal(socket.state, "closed", trail);
      if (socket.state !== "closed") assert.ok(socket.bufferedAmount <= 5, trail);
    }
    if (socket.state === "closed") return;
    // No dead end: where a server answers, it opens, and what waits goes out.
    socket.open();
    clock.advance(40_000);
    if ((socket.state as SocketState) === "waiting") clock.advance(40_000);
    socket.reconnect();
    socket.open();
    last().accept();
    assert.equal(socket.state, "open", log.join(" "));
    assert.equal(socket.bufferedAmount, 0);
    socket.close();
    assert.equal(clock.waiting, 0);
  } finally {
    console.error = was;
  }
}

test("two thousand random walks find no way outside the table and no dead end", () => {
  for (let seed = 1; seed <= 2000; seed++) walk(seed, 40);
});
