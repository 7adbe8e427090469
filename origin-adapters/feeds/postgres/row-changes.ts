import type { Change, Data, DataObject } from '../../../policies/change.ts';
import { Unreadable } from './byte-reader.ts';
import { readColumnText } from './column-text.ts';
import type { Column, OldTuple, PgOutput, Relation, Tuple } from './pgoutput.ts';

export type RowOutput = Extract<PgOutput, { kind: 'insert' | 'update' | 'delete' }>;

/**
 * The change of a row. The replica identity decides what is known of the old row: all of it with FULL, the key with
 * DEFAULT and USING INDEX, and nothing if an update leaves the key unchanged; then the key is the new row's.
 */
export function rowChange(output: RowOutput, relation: Relation): Change {
  const message = [{ schema: relation.schema, table: relation.table, op: output.kind }];
  switch (output.kind) {
    case 'insert':
      return { message, before: null, after: rowOf(output.row, relation.columns), known: 'all' };
    case 'update': {
      const before = oldRow(output.old ?? { kind: 'key', row: output.row }, relation.columns);
      const after = rowOf(output.row, relation.columns, before);
      return { message, before, after, known: knownOf(output.old) };
    }
    case 'delete':
      return {
        message,
        before: oldRow(output.old, relation.columns),
        after: null,
        known: knownOf(output.old),
      };
    default:
      return output satisfies never;
  }
}

/** TRUNCATE contains no rows. */
export function truncation(relation: Relation): Change {
  return {
    message: [{ schema: relation.schema, table: relation.table, op: 'truncate' }],
    before: null,
    after: null,
    known: 'no-row',
  };
}

function knownOf(old: OldTuple | null): Change['known'] {
  return old?.kind === 'full' ? 'all' : 'key-of-before';
}

function oldRow(old: OldTuple, columns: readonly Column[]): DataObject {
  const row = rowOf(old.row, columns);
  if (old.kind === 'full') return row;
  // Columns outside the key are sent as NULL although they may have had values.
  const keys = new Set(columns.filter(({ isKey }) => isKey).map(({ name }) => name));
  return Object.fromEntries(Object.entries(row).filter(([name]) => keys.has(name)));
}

/**
 * `old` may contain the unchanged values that were not sent; without one, the column is absent. Throws `Unreadable` if
 * the number of columns differs.
 */
function rowOf(tuple: Tuple, columns: readonly Column[], old: DataObject = {}): DataObject {
  if (tuple.length !== columns.length) throw new Unreadable('a row has other columns than its table');
  const changes = columns.flatMap(({ name, typeId }, i): [string, Data][] => {
    const value = tuple[i]!;
    if (value.kind === 'text') return [[name, readColumnText(value.text, typeId)]];
    if (value.kind === 'null') return [[name, null]];
    return Object.hasOwn(old, name) ? [[name, old[name]!]] : [];
  });
  return Object.fromEntries(changes);
}
