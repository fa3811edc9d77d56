/** What went wrong, with a code that a program can tell apart. */

/**
 * A refusal or failure. Codes of the protocol: internal busy unknown_event unknown_address invalid refused timeout
 * lost unsupported too_large rate bad_token, and the application's own; made here: closed (the client was closed or
 * must stay away) and left (the channel was left).
 */
export class AnywireError extends Error {
  override readonly name = "AnywireError";
  readonly code: string;
  readonly text: string;
  readonly data: unknown;
  /** The event that was refused, where no answer was asked for. */
  readonly event: string | undefined;

  constructor(code: string, text = "", more: { data?: unknown; event?: string | undefined } = {}) {
    super(text ? `${code}: ${text}` : code);
    this.code = code;
    this.text = text;
    this.data = more.data;
    this.event = more.event;
  }
}
