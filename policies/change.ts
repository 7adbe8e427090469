/**
 * One change of a feed: plain data in which the feed's `map` looks up names. Every message format, and every feed
 * that reads rows itself, produces this form; none of them decides what is invalidated.
 */
export interface Change {
  /**
   * The objects that make up the message. A name in several of them has several values, which all count: a
   * superfluous invalidation costs only a revalidation. A row of a table has `{ schema, table, op }`, where `op` is
   * `insert`, `update`, `delete` or `truncate`.
   */
  readonly message: readonly DataObject[];
  /** The row before the change; null: unknown, or there was none. */
  readonly before: DataObject | null;
  /** The row after the change; null: unknown, or there is none. A column of unknown value is absent, never null. */
  readonly after: DataObject | null;
  /**
   * `all`: absent values do not exist. `key-of-before`: of the old row only the values in `before` are known
   * (Postgres with REPLICA IDENTITY DEFAULT; the adapter adds the key to `before` even where it did not change), so
   * an absent old value may have been anything. `no-row`: the change concerns rows that are not part of it
   * (TRUNCATE).
   */
  readonly known: 'all' | 'key-of-before' | 'no-row';
}

/** JSON, where integers beyond a double's precision are kept as text. */
export type Data = string | number | boolean | null | readonly Data[] | DataObject;

export interface DataObject {
  readonly [name: string]: Data;
}

export function isDataObject(data: Data | undefined): data is DataObject {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}
