/**
 * Reads `text/event-stream` (HTML Living Standard §9.2.6), with comments in their place, and with blocks that have no
 * data: the standard does not dispatch those, but an origin that writes `event: reset` alone must be heard.
 */
export type ServerSentItem =
  | { readonly kind: 'comment' }
  /** `event`: empty where none was named. `id`, `data`: null where the block has none. */
  | {
      readonly kind: 'block';
      readonly event: string;
      readonly id: string | null;
      readonly data: string | null;
    }
  /** A line or block longer than the limit. Nothing more is read. */
  | { readonly kind: 'too-long' };

export class EventStreamParser {
  readonly #limit: number;
  #line = '';
  #skipLineFeed = false;
  #event = '';
  #id: string | null = null;
  #data: string[] = [];
  #dataLength = 0;
  #isTooLong = false;

  /** `limit`: characters of one block, and of one line. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The items that end in this piece of the stream's text, in order. A block that the stream's end cuts off is none. */
  feed(text: string): ServerSentItem[] {
    if (text === '' || this.#isTooLong) return [];
    const rest = this.#skipLineFeed && text.startsWith('\n') ? text.slice(1) : text;
    this.#skipLineFeed = text.endsWith('\r');
    const lines = rest.split(/\r\n|\r|\n/);
    lines[0] = this.#line + lines[0]!;
    this.#line = lines.pop()!;
    const items: ServerSentItem[] = [];
    for (const line of lines) this.#take(line, items);
    if (this.#line.length + this.#dataLength > this.#limit) {
      this.#isTooLong = true;
      items.push({ kind: 'too-long' });
    }
    return items;
  }

  #take(line: string, items: ServerSentItem[]): void {
    if (line === '') this.#endBlock(items);
    else if (line.startsWith(':')) items.push({ kind: 'comment' });
    else this.#takeField(line);
  }

  #takeField(line: string): void {
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'data') {
      this.#data.push(value);
      this.#dataLength += value.length + 1;
    }
  }

  #endBlock(items: ServerSentItem[]): void {
    const data = this.#data.length === 0 ? null : this.#data.join('\n');
    if (data !== null || this.#event !== '' || this.#id !== null) {
      items.push({ kind: 'block', event: this.#event, id: this.#id, data });
    }
    this.#event = '';
    this.#id = null;
    this.#data = [];
    this.#dataLength = 0;
  }
}
