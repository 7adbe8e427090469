import { COOKIES, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { endToEnd } from '../../policies/http/hop-by-hop.ts';
import type { BodyReader, FlightBody } from '../store/body.ts';
import type { EntryWriter } from '../store/entry-writer.ts';

/** The content of a fetched response: the waiters read it, and a writer, if given, stores it. */
export class FetchContent {
  readonly body: FlightBody;
  readonly writer: EntryWriter | null;
  /** Stored bytes that follow the origin's content. */
  readonly #rest: Uint8Array | null;
  #beginning: BodyReader | null = null;

  constructor(body: FlightBody, writer: EntryWriter | null, rest: Uint8Array | null) {
    this.body = body;
    this.writer = writer;
    this.#rest = rest;
    writer?.attach(body);
  }

  /** Keeps the content readable from its beginning until `release`, even if it is not stored. */
  hold(): void {
    this.#beginning ??= this.body.reader(0, () => {});
  }

  release(): void {
    this.#beginning?.close();
    this.#beginning = null;
  }

  append(chunk: Uint8Array): void {
    this.body.append(chunk);
    this.writer?.append(chunk);
  }

  /** The origin's content is complete: appends the stored rest. */
  complete(): void {
    if (this.#rest !== null) this.append(this.#rest);
  }

  /** Ends content that has no writer. */
  end(trailers: Fields): void {
    this.body.end(endToEnd(trailers));
  }

  store(trailers: Fields): void {
    this.writer?.finish(withoutFields(endToEnd(trailers), COOKIES));
  }

  cut(): void {
    this.writer?.abort();
    this.body.fail();
  }
}
