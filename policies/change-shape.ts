/** What tells kinds of changes apart for people: the values that a map's conditions look at, and the names of fields. */
import { isDataObject, type Change } from './change.ts';
import type { FeedMapping } from './config/config.ts';
import { textsAt } from './mapping.ts';

export interface ChangeShape {
  /** The same for changes of one kind. */
  readonly key: string;
  /** What the conditions look at, and `table` and `op` where they are told. */
  readonly change: Readonly<Record<string, string>>;
  /** Of the row, else of the message; no values, for they may be secret. */
  readonly fields: readonly string[];
}

/** Changes of a log's lines: of one kind of change, each path names few values. */
export function shapeOf(change: Change, map: readonly FeedMapping[]): ChangeShape {
  const paths = new Set(['table', 'op', ...map.flatMap(({ when }) => Object.keys(when ?? {}))]);
  const told: Record<string, string> = {};
  for (const path of paths) {
    const texts = textsAt(change, path);
    if (texts.length > 0) told[path] = texts.slice(0, SHOWN_VALUES).join(', ').slice(0, SHOWN_LENGTH);
  }
  const rows = [change.before, change.after].filter((row) => row !== null);
  const named = rows.length > 0 ? rows : change.message.filter(isDataObject);
  const fields = [...new Set(named.flatMap((row) => Object.keys(row)))].toSorted().slice(0, SHOWN_FIELDS);
  return { key: JSON.stringify([told, fields]), change: told, fields };
}

const SHOWN_VALUES = 5;
const SHOWN_LENGTH = 100;
const SHOWN_FIELDS = 30;
