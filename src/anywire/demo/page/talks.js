// The official clients of other wires in the chat, each under one surface. They are used as their documentation shows
// it, and know nothing of anywire.
//
// A talk is made with `{name, token, transport, rooms, tell}`, and can `join(room)`, `leave(room)`, `say(room, message)`
// and `close()`. It tells its panel what happens: `state(state, why)`, `carrier(text)`, `said({room, user, message})`,
// `recent(room, messages)` in the place of what was shown of a room, and `trouble(text)`. States are `connecting`,
// `open`, `waiting` (it comes back), `refused` and `closed`.

import { ActionCableTalk } from "/actioncable-talk.js";
import { PhoenixTalk } from "/phoenix-talk.js";
import { SignalRTalk } from "/signalr-talk.js";
import { SocketIoTalk } from "/socketio-talk.js";
import { SockJsTalk } from "/sockjs-talk.js";

/** By the id of the panel. */
export const talks = {
  socketio: SocketIoTalk,
  sockjs: SockJsTalk,
  signalr: SignalRTalk,
  phoenix: PhoenixTalk,
  actioncable: ActionCableTalk,
};
