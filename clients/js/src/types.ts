/** What a reconnecting socket is given and what it tells. */

import type { Clock } from "./clock.js";
import type { SocketState } from "./machine.js";

/** What goes out as it is: text, or bytes in any of the standard's forms. */
export type Sendable = string | ArrayBuffer | ArrayBufferView | Blob;

/** What we need of a `WebSocket`: the browser's, or that of the package `ws`. */
export interface WebSocketLike {
  readonly protocol: string;
  readonly extensions?: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  binaryType: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

export interface SocketOptions {
  /** Milliseconds; bound of the first delay. Default 1000. */
  reconnectInterval?: number;
  /** Milliseconds; no delay is longer. Default 30000. */
  maxReconnectInterval?: number;
  /** The bound of the delay grows by this factor with each attempt. Default 1.5. */
  reconnectDecay?: number;
  /** Milliseconds a connection must last before the delays begin anew. Default 5000. */
  minUptime?: number;
  /** Milliseconds an attempt may take. Default 10000. */
  connectTimeout?: number;
  /** Milliseconds of silence before a ping; 0 means never. Default 30000. */
  heartbeatInterval?: number;
  /** Milliseconds from a ping to the cut, if nothing comes. Default 5000. */
  heartbeatTimeout?: number;
  /** Send heartbeats to a server that did not choose a subprotocol of ours. Default false. */
  heartbeat?: boolean;
  /** Values are sent as JSON, `message` carries the parsed value, a `pong` is swallowed. Default false. */
  json?: boolean;
  /** Subprotocols to offer, where they are not the second argument. */
  protocols?: string | Iterable<string>;
  /** Messages that may wait for a connection. Default 1000. */
  maxQueue?: number;
  /** Bytes that may wait for a connection. Default 1 MiB. */
  maxQueueBytes?: number;
  /** Do nothing until `open()`. Default false. */
  lazy?: boolean;
  /** The class to connect with. Default: the global one. */
  WebSocket?: WebSocketClass;
  /** Makes each ping. Default: the text `{"type":"ping"}`. */
  ping?: () => Sendable;
  /** @internal Milliseconds before the attempt that follows a cut; undefined: our own schedule. */
  retry?: () => number | undefined;
  random?: () => number;
  clock?: Clock;
  /** Tells when a wait should be cut short. Default: the browser's `online` event and the page's visibility. */
  onWake?: (run: () => void) => () => void;
}

/** An address, or what makes one anew for each attempt. */
export type SocketUrl = string | URL | (() => string | URL | Promise<string | URL>);

/** The platform's events, each with what a socket that comes back has to add. */
export interface SocketEvents {
  open: Event & { readonly protocol: string };
  message: MessageEvent<any>;
  /** One transport ended; `willReconnect` after `delay` milliseconds, or never again. */
  close: CloseEvent & { readonly willReconnect: boolean; readonly delay: number };
  /** A transport that failed, an address that could not be made, a listener that threw. */
  error: Event & {
    readonly error: unknown;
    readonly message: string;
    readonly source: "transport" | "address" | "listener";
  };
  /** The queue is full: this message was refused. */
  overflow: Event & { readonly data: unknown };
  state: Event & { readonly state: SocketState; readonly previous: SocketState };
}

/**
 * Why and how a transport ends; `after` is when to come back in milliseconds, null: never, absent: our own schedule.
 */
export interface Cut {
  code: number;
  reason?: string;
  wasClean?: boolean;
  after?: number | null;
}
