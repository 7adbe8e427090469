import { COOKIES, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { endToEnd } from '../../policies/http/hop-by-hop.ts';
import type { BodyReader, FlightBody } from '../store/body.ts';
import type { EntryWriter } from '../store/entry-writer.ts';

/** The content of a fetched response: read by those who waited, and written to the store where a writer is given. */
export class FetchContent {
  readonly body: FlightBody;
  readonly writer: EntryWriter | null;
  /** What comes after the origin's content. */
  readonly #rest: Uint8Array | null;
  #beginning: BodyReader | null = null;

  constructor(body: FlightBody, writer: EntryWriter | null, rest: Uint8Array | null) {
    this.body = body;
    this.writer = writer;
    this.#rest = rest;
    writer?.attach(body);
  }

  /** Until `release` it can be read from the beginning, also where nothing stores what comes meanwhile. */
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

  /** All of the origin's content has come. */
  complete(): void {
    if (this.#rest !== null) this.append(this.#rest);
  }

  /** Where it is not stored. */
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
