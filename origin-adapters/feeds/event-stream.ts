/**
 * HTML Living Standard §9.2.6: parses `text/event-stream`. Unlike the standard it also yields comments, and blocks
 * without data, because an origin may send `event: reset` alone.
 */
export type ServerSentItem =
  | { readonly kind: 'comment' }
  /** `event`: empty if not named. `id`, `data`: null if the block has none. */
  | {
      readonly kind: 'block';
      readonly event: string;
      readonly id: string | null;
      readonly data: string | null;
    }
  /** A line or block exceeds the limit. Parsing ends. */
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

  /** `limit`: characters of a block, and of a line. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The items that end in this piece of text, in order. A block that the end of the stream cuts off is dropped. */
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
