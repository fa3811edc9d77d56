/** The states of a reconnecting socket, and every way from one to another. */

export type SocketState = "idle" | "connecting" | "open" | "waiting" | "closed";

/**
 * What can happen: `start` (the user asks, the wait is over, the network is back), `opened`, `cut` (the transport
 * failed or ended and a new attempt follows), `ended` (it ended and none follows), `close` (the user's word).
 */
export type SocketInput = "start" | "opened" | "cut" | "ended" | "close";

/** An input that a state does not name changes nothing. From every state but `closed`, `close` leads there. */
export const transitions: {
  readonly [S in SocketState]: { readonly [I in SocketInput]?: SocketState };
} = {
  idle: { start: "connecting", close: "closed" },
  connecting: { opened: "open", cut: "waiting", ended: "closed", close: "closed" },
  open: { cut: "waiting", ended: "closed", close: "closed" },
  waiting: { start: "connecting", close: "closed" },
  closed: {},
};
