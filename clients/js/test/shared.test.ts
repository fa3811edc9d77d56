/** The vectors that every client runs: back-off, queue, heartbeat. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { RobustSocket } from "../src/socket.js";
import { TestClock } from "./clock.js";
import { vectors } from "./vectors.js";
import { TestWebSocket } from "./wire.js";

const { backoff, queue, heartbeat } = Object.fromEntries(vectors("client"));
const URL = "ws://test/ws";

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 0.001, `${actual} is not ${expected}`);
}

for (const { name, options, table } of backoff.sets) {
  test(`the delays of 50 attempts with ${name} are those of the table`, () => {
    let row: any;
    const delays = new Backoff({ ...options, minUptime: 5000, random: () => row.random });
    assert.equal(table.length, 50);
    for (row of table) {
      assert.equal(delays.attempts, row.attempt);
      near(delays.next(), row.delay);
    }
  });
}

for (const { name, options, steps } of backoff.sequences) {
  test(`back-off: ${name}`, () => {
    const clock = new TestClock();
    const { WebSocket, last } = TestWebSocket.fresh();
    let step: any;
    const delays: number[] = [];
    const socket = new RobustSocket(URL, { ...options, clock, WebSocket, random: () => step.random });
    socket.on("close", (event) => delays.push(event.delay));
    for (step of steps) {
      if (step.do === "connected") {
        last().accept();
        clock.advance(step.uptime);
      }
      if (step.retry === undefined) last().lose();
      else socket.reconnect({ code: 1001, after: step.retry });
      near(delays.pop() as number, step.delay);
      clock.advance(step.delay + 0.001);
      assert.equal(socket.state, "connecting");
    }
  });
}

for (const { name, maxQueue, maxQueueBytes, steps } of queue.cases) {
  test(`queue: ${name}`, () => {
    const clock = new TestClock();
    const { WebSocket, last } = TestWebSocket.fresh();
    const socket = new RobustSocket(URL, { maxQueue, maxQueueBytes, clock, WebSocket, random: () => 0.5 });
    const refused: unknown[] = [];
    socket.on("overflow", ({ data }) => refused.push(data));
    for (const step of steps) {
      const waiting = socket.bufferedAmount;
      if (step.do === "send") {
        const told = refused.length;
        const isTaken = socket.send(step.message);
        const result = { open: "sent", closed: "closed" }[socket.state as string] ?? "queued";
        assert.equal(isTaken ? result : refused.length > told ? "overflow" : "closed", step.result);
        if (step.result === "sent") assert.equal(last().sent.at(-1), step.message);
        const size = new TextEncoder().encode(step.message).length;
        if (step.result === "queued") assert.equal(socket.bufferedAmount - waiting, size);
      } else if (step.do === "open") {
        socket.open();
        last().accept();
        assert.deepEqual(last().sent, step.sent);
        assert.equal(socket.bufferedAmount, 0);
      } else if (step.do === "cut") {
        socket.open();
        last().lose();
      } else {
        assert.equal(socket.state !== "closed" && waiting > 0, step.dropped > 0);
        socket.close();
        // As the standard has it: what was never sent stays counted.
        assert.equal(socket.bufferedAmount, waiting);
      }
    }
  });
}

for (const { name, interval, timeout, received, until, pings, silent } of heartbeat.cases) {
  test(`heartbeat: ${name}`, () => {
    const clock = new TestClock();
    const { WebSocket, made } = TestWebSocket.fresh();
    const asked: number[] = [];
    const cut: unknown[] = [];
    const socket = new RobustSocket(URL, {
      heartbeat: true,
      heartbeatInterval: interval,
      heartbeatTimeout: timeout,
      clock,
      WebSocket,
      ping: () => (asked.push(clock.now()), '{"type":"ping"}'),
    });
    socket.on("close", ({ code }) => {
      cut.push({ at: clock.now(), code });
      socket.close();
    });
    const [ws] = made as [TestWebSocket];
    ws.accept();
    for (const { at, what } of received) {
      clock.advance(at - clock.now());
      ws.receive(JSON.stringify({ type: what }));
    }
    clock.advance(until - clock.now());
    assert.deepEqual(asked, pings);
    assert.deepEqual(cut[0], silent === null ? undefined : { at: silent, code: heartbeat.code });
    assert.deepEqual(new Set(ws.sent), new Set(pings.length ? ['{"type":"ping"}'] : []));
  });
}
