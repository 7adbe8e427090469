/**
 * One change as a feed told it: plain data in which a feed's `map` looks names up. Every format and every feed that
 * reads rows itself brings its messages into this shape; none of them decides what is invalidated.
 */
export interface Change {
  /**
   * The objects that together are the message. A name found in several of them has several values, and all count:
   * a wrong guess costs a revalidation. For rows of a table: `{ schema, table, op }`, `op` being `insert`, `update`,
   * `delete` or `truncate`.
   */
  readonly message: readonly DataObject[];
  /** The row as it was; null: not told, or there was none. */
  readonly before: DataObject | null;
  /** The row as it is; null: not told, or there is none. A column whose value was not told is absent, never null. */
  readonly after: DataObject | null;
  /**
   * `all`: what is absent does not exist. `key-of-before`: of the old row only what `before` holds was told (Postgres
   * with REPLICA IDENTITY DEFAULT; the adapter puts the key into `before` also where it did not change), so that an
   * absent old value may have been anything. `no-row`: it concerns rows that were not told at all (TRUNCATE).
   */
  readonly known: 'all' | 'key-of-before' | 'no-row';
}

/** JSON, with the integers that a double can't hold kept as their text. */
export type Data = string | number | boolean | null | readonly Data[] | DataObject;

export interface DataObject {
  readonly [name: string]: Data;
}

export function isDataObject(data: Data | undefined): data is DataObject {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}
