/**
 * The shape of a change, by which log lines group changes: the values that a map's conditions test, and the names of
 * fields.
 */
import { isDataObject, type Change } from './change.ts';
import type { FeedMapping } from './config/config.ts';
import { textsAt } from './mapping.ts';

export interface ChangeShape {
  /** Equal for changes of the same shape. */
  readonly key: string;
  /** The values that the conditions test, and `table` and `op` where present. */
  readonly change: Readonly<Record<string, string>>;
  /** Names in the row, or in the message where there is no row. No values, because they may be secret. */
  readonly fields: readonly string[];
}

/** The shape of a change. The number of values at each path is limited to keep log lines short. */
export function shapeOf(change: Change, map: readonly FeedMapping[]): ChangeShape {
  const paths = new Set(['table', 'op', ...map.flatMap(({ when }) => Object.keys(when ?? {}))]);
  const tested: Record<string, string> = {};
  for (const path of paths) {
    const texts = textsAt(change, path);
    if (texts.length > 0) tested[path] = texts.slice(0, SHOWN_VALUES).join(', ').slice(0, SHOWN_LENGTH);
  }
  const rows = [change.before, change.after].filter((row) => row !== null);
  const named = rows.length > 0 ? rows : change.message.filter(isDataObject);
  const fields = [...new Set(named.flatMap((row) => Object.keys(row)))].toSorted().slice(0, SHOWN_FIELDS);
  return { key: JSON.stringify([tested, fields]), change: tested, fields };
}

const SHOWN_VALUES = 5;
const SHOWN_LENGTH = 100;
const SHOWN_FIELDS = 30;
