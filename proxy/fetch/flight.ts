/**
 * One fetch and everybody who waits for it: the first that joined leads, for its request is the one that is sent. A leaf:
 * who may join, and what each is given, is asked of the fetch side (`FlightTerms`, and `FetchPort` in `flights.ts`).
 */
export class Flight<Member, T extends FlightTypes> {
  readonly #terms: FlightTerms<T>;
  /** With what was in force when each joined. */
  readonly #members = new Map<Member, number>();
  #leader: Member | null = null;
  #result: T['result'] | null = null;
  #ended = false;

  constructor(terms: FlightTerms<T>) {
    this.#terms = terms;
  }

  get waiting(): number {
    return this.#members.size;
  }

  get isAsking(): boolean {
    return this.#result === null && !this.#ended;
  }

  /** null: it has left, or the result has been given. */
  get leader(): Member | null {
    return this.#leader !== null && this.#members.has(this.#leader) ? this.#leader : null;
  }

  /** Whether this flight may answer the waiter, as far as is known; `given`: at once. */
  admits(waiter: T['waiter']): { readonly given: T['given'] | null } | null {
    if (this.#ended) return null;
    if (this.#result === null) return this.#terms.mayAwait(waiter) ? TO_WAIT : null;
    const given = this.#terms.given(waiter, this.#result);
    return given === null ? null : { given };
  }

  join(member: Member): void {
    this.#leader ??= member;
    this.#members.set(member, this.#terms.inForce());
  }

  /** Returns whether any waiter is left. */
  leave(member: Member): boolean {
    this.#members.delete(member);
    return this.#members.size > 0;
  }

  /** Ends the wait of all members. Returns them, each with the sequence that was in force when it joined. */
  deliver(result: T['result']): readonly (readonly [Member, number])[] {
    this.#result = result;
    const members = [...this.#members];
    this.#members.clear();
    return members;
  }

  /** No waiter can join any more. */
  end(): void {
    this.#ended = true;
  }
}

/** Types of what flights pass on without reading it. */
export interface FlightTypes {
  request: unknown;
  waiter: unknown;
  result: unknown;
  /** The result as a waiter receives it; never null. */
  given: unknown;
}

/** The questions of a flight to its fetch. */
export interface FlightTerms<T extends FlightTypes> {
  /** A number for what is in force now. */
  inForce(): number;
  /** Whether the waiter may have the result that is being waited for, as far as is known. */
  mayAwait(waiter: T['waiter']): boolean;
  /** What a waiter is given that comes when the result is there; null: the result is not for it. */
  given(waiter: T['waiter'], result: T['result']): T['given'] | null;
}

const TO_WAIT = { given: null };
