/** Everything that a page or a Node program may use. */

export type { Asked, CallOptions } from "./calls.js";
export {
  Channel,
  type ChannelOptions,
  type ChannelState,
  type Heard,
  type HistoryOptions,
  type MembershipEvents,
  type Past,
} from "./channel.js";
export { Client, type ClientEvents, type ClientOptions, type ClientState, connect, type Secret } from "./client.js";
export { type Clock, systemClock } from "./clock.js";
export { type Codec, type Encoded, json, type Message, type Position, type Ref, type Since } from "./codec.js";
export { AnywireError } from "./error.js";
export { type SocketInput, type SocketState, transitions } from "./machine.js";
export { type People, Presence, type PresenceChange } from "./presence.js";
export { RobustSocket } from "./socket.js";
export type { Carrier } from "./transports/choice.js";
export type {
  Cut,
  Sendable,
  SocketEvents,
  SocketOptions,
  SocketUrl,
  WebSocketClass,
  WebSocketLike,
} from "./types.js";
