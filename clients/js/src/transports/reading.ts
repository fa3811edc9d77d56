/** How answers to requests are read: docs/reference/protocol.md, Over HTTP. */

import type { HttpCarrier } from "./choice.js";

/**
 * Reads one answer, cut anywhere, into the texts that are whole; without a chunk it is told that all of it came. A text
 * that begins with "!" is the farewell.
 */
export function reader(carrier: HttpCarrier): (chunk?: Uint8Array) => string[] {
  const decoder = new TextDecoder();
  const isEvents = carrier === "events";
  let rest = "";
  return (chunk) => {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split(isEvents ? "\n\n" : SEPARATOR);
    rest = parts.pop() as string;
    // What is behind the last whole part of a stream is said again; a poll has nothing behind its last message.
    if (!chunk && carrier === "poll") parts.push(rest);
    return (isEvents ? parts.map(record) : parts).filter((part) => part.trim());
  };
}

/** The text of a record of an event stream (WHATWG HTML, 9.2); empty for a comment. */
function record(part: string): string {
  const lines = part.split("\n");
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(line[5] === " " ? 6 : 5));
  return (lines.includes("event: close") ? "!" : "") + data.join("\n");
}

export const SEPARATOR = "\x1e";
