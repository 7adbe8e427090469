/**
 * One fetch and its waiters. The first that joined is the leader: its request is the one that is sent. The fetch side
 * decides who may join and what each waiter receives (`FlightTerms`, and `FetchPort` in `flights.ts`).
 */
export class Flight<Member, T extends FlightTypes> {
  readonly #terms: FlightTerms<T>;
  /** Each with `FlightTerms.inForce` when it joined. */
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

  /** null: it has left, or has its result. */
  get leader(): Member | null {
    return this.#leader !== null && this.#members.has(this.#leader) ? this.#leader : null;
  }

  /** Null: this flight can't answer the waiter. `given`: the result, if it is there; null: the waiter may join. */
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

  /** Ends the wait of all members. Returns them, each with `FlightTerms.inForce` when it joined. */
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

/** Types of the values that flights pass on without reading them. */
export interface FlightTypes {
  request: unknown;
  waiter: unknown;
  result: unknown;
  /** The result as a waiter receives it; never null. */
  given: unknown;
}

/** The decisions that a flight leaves to the fetch side. */
export interface FlightTerms<T extends FlightTypes> {
  /** A number that grows with each invalidation. */
  inForce(): number;
  /** Whether the result may answer the waiter, as far as is known before the result is there. */
  mayAwait(waiter: T['waiter']): boolean;
  /** The result for a waiter that comes when it is there; null: the result can't answer the waiter. */
  given(waiter: T['waiter'], result: T['result']): T['given'] | null;
}

const TO_WAIT = { given: null };
