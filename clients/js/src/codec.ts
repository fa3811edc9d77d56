/** Messages of the anywire protocol, version 1, and their one form on the wire: JSON text. */

import { AnywireError } from "./error.js";

export type Ref = number | string;

export interface Position {
  offset: number;
  epoch: string;
}

/** From where to catch up: positions by room, a unix time in seconds, or the last so many. */
export type Since = { positions: Record<string, Position> } | { time: number } | { last: number };

/** Any message; which members belong to which type says docs/reference/protocol.md. */
export interface Message {
  type: string;
  address?: string | null;
  args?: unknown[] | null;
  code?: string | number | null;
  data?: unknown;
  echo?: unknown;
  epoch?: string | null;
  event?: string | null;
  id?: string | null;
  joined?: Record<string, unknown[]> | null;
  left?: Record<string, unknown[]> | null;
  limit?: number;
  limits?: Record<string, number> | null;
  lost?: number;
  offset?: number | null;
  outcome?: "fresh" | "recovered" | "lost";
  params?: unknown;
  positions?: Record<string, Position> | null;
  reason?: string | null;
  received?: number;
  beat?: number;
  ref?: Ref | null;
  resumed?: boolean;
  retry?: number | null;
  room?: string | null;
  session?: string;
  since?: Since | undefined;
  stream?: boolean | null;
  text?: string | null;
  time?: number | null;
  timestamp?: number;
  token?: string | null;
  uploads?: Ref[] | null;
  volatile?: boolean | null;
  whole?: boolean | null;
}

export type Encoded = string | Uint8Array;

/** How messages become text or bytes; another one (MessagePack) is passed as the option `codec`. */
export interface Codec {
  readonly subprotocol: string;
  encode(message: Message): Encoded;
  /** Throws AnywireError `invalid`. */
  decode(data: unknown): Message;
}

/** Messages with a place in the resume sequence of their direction. */
export const COUNTED: ReadonlySet<string> = new Set(
  "join joined refused leave event call reply item end cancel presence past gap".split(" "),
);

export const json: Codec = {
  subprotocol: "anywire.json.1",
  encode: (message) => JSON.stringify(message),
  decode(data) {
    let message: unknown;
    try {
      message = JSON.parse(data as string);
    } catch {
      // Told below, with all that is no message.
    }
    if (typeof data !== "string" || typeof (message as Message | null)?.type !== "string") {
      throw new AnywireError("invalid", `a message that is no JSON object with a type: ${String(data).slice(0, 200)}`);
    }
    return message as Message;
  },
};

/** The one value of `data` or `args`, the list of several, undefined where there are no arguments. */
export function valueOf({ args, data }: Message): any {
  if (!args) return data ?? undefined;
  return args.length > 1 ? args : args[0];
}

/** One value as arguments; an explicit null needs the list, since a null member is as good as none. */
export function argumentsOf(data: unknown): Pick<Message, "args" | "data"> {
  return data === null ? { args: [null] } : { data };
}
