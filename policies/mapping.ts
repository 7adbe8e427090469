import type { Change, Data, DataObject } from './change.ts';
import { isDataObject } from './change.ts';
import type { FeedMapping } from './config/config.ts';
import { normalName } from './names.ts';
import { compileTemplate, encodeForUrl } from './templates.ts';
import type { Template } from './templates.ts';

/**
 * Maps changes to invalidations by a feed's `map`. If a condition or the value of a name can't be decided, the result is
 * the one that invalidates more.
 */
export interface Mapping {
  mapChange(change: Change): MappedChange;
}

export interface MappedChange {
  readonly tags: readonly string[];
  /** Paths or absolute URLs. */
  readonly urls: readonly string[];
  readonly prefixes: readonly string[];
  /** No entry of the map matched. */
  readonly unmapped: boolean;
  /** The names in templates for which the change has no value, so that its invalidations are not fully known. */
  readonly missing: readonly string[];
}

/**
 * All entries whose `when` matches apply. A condition on a dotted path is a value (equal), a list (one of), or an
 * object with `exists` and `changed`. The configuration's loader has validated conditions and templates.
 */
export function compileMapping(map: readonly FeedMapping[]): Mapping {
  const entries = map.map(compileEntry);
  return { mapChange: (change) => applyEntries(entries, lookupIn(change)) };
}

/** Every value at a dotted path as text: of the message, the old row and the new row. NULL is not a value. */
export function textsAt(change: Change, path: string): string[] {
  return lookupIn(change).texts(path);
}

type Scalar = string | number | boolean | null;
type Condition = Scalar | readonly Scalar[] | { readonly exists?: boolean; readonly changed?: boolean };

interface Entry {
  readonly conditions: readonly (readonly [path: string, condition: Condition])[];
  readonly tags: readonly Template[];
  readonly urls: readonly Template[];
  readonly prefixes: readonly Template[];
}

function compileEntry(mapping: FeedMapping): Entry {
  const conditions = Object.entries((mapping.when ?? {}) as Record<string, Condition>);
  return {
    conditions,
    tags: mapping.invalidate.tags.map(compileTemplate),
    urls: mapping.invalidate.urls.map(compileTemplate),
    prefixes: mapping.invalidate.prefixes.map(compileTemplate),
  };
}

function applyEntries(entries: readonly Entry[], lookup: Lookup): MappedChange {
  const met = entries.filter((entry) =>
    entry.conditions.every(([path, condition]) => holds(condition, path, lookup)),
  );
  const missing = new Set<string>();
  const tags = expandAll(
    met.flatMap((entry) => entry.tags),
    lookup,
    missing,
  );
  const urls = expandAll(
    met.flatMap((entry) => entry.urls),
    lookup,
    missing,
  );
  const prefixes = expandAll(
    met.flatMap((entry) => entry.prefixes),
    lookup,
    missing,
  );
  return {
    tags: [...new Set(tags)],
    urls: [...new Set(urls.map(encodeForUrl))],
    prefixes: [...new Set(prefixes.map(encodeForUrl))],
    unmapped: met.length === 0,
    missing: [...missing],
  };
}

function expandAll(templates: readonly Template[], lookup: Lookup, missing: Set<string>): string[] {
  const values: string[] = [];
  for (const template of templates) {
    for (const name of template.names) if (lookup.isPartlyKnown(name)) missing.add(name);
    const expansion = template.expand((name) => lookup.texts(name));
    switch (expansion.kind) {
      case 'ok':
        values.push(...expansion.values);
        break;
      case 'missing':
        missing.add(expansion.name);
        break;
      case 'too-many':
        for (const name of template.names) missing.add(name);
        break;
      default:
        expansion satisfies never;
    }
  }
  return values;
}

/** The values of one change by path. */
interface Lookup {
  /** Every value as text: of the message, the old row and the new row. NULL is not a value. */
  texts(path: string): string[];
  /** One of its values is unknown and may have been anything. */
  isPartlyKnown(path: string): boolean;
  hasValue(path: string): boolean;
  /** NULL or absent in one of the rows, or in the message where there is no row. */
  isSomewhereNull(path: string): boolean;
  changed(path: string): 'yes' | 'no' | 'unknown';
}

function lookupIn(change: Change): Lookup {
  const rows: DataObject = { before: change.before, after: change.after };
  const states = [change.before, change.after].filter((row) => row !== null);
  const messages = [...change.message, rows];
  const inMessage = (path: string): Data[] => messages.flatMap((root) => valuesAt(root, path));
  const inRows = (path: string): Data[] => states.flatMap((row) => valuesAt(row, path));
  const isPartlyKnown = (path: string): boolean => {
    if (change.known === 'all' || inMessage(path).length > 0) return false;
    const known = change.known === 'no-row' ? inRows(path) : valuesAt(change.before, path);
    return known.length === 0;
  };
  return {
    texts: (path) => [...new Set([...inMessage(path), ...inRows(path)].flatMap(textsOf))],
    isPartlyKnown,
    hasValue: (path) => [...inMessage(path), ...inRows(path)].some((value) => value !== null),
    isSomewhereNull: (path) => {
      if (inMessage(path).some((value) => value !== null)) return false;
      return (
        states.length === 0 || states.some((row) => valuesAt(row, path).every((value) => value === null))
      );
    },
    changed: (path) => {
      if (change.before === null || change.after === null || isPartlyKnown(path)) return 'unknown';
      return isEqual(valuesAt(change.before, path), valuesAt(change.after, path), 0) ? 'no' : 'yes';
    },
  };
}

function holds(condition: Condition, path: string, lookup: Lookup): boolean {
  if (isScalar(condition)) return isEqualTo(condition, path, lookup);
  if (isList(condition)) return condition.some((one) => isEqualTo(one, path, lookup));
  return holdsExists(condition.exists, path, lookup) && holdsChanged(condition.changed, path, lookup);
}

function isList(condition: Condition): condition is readonly Scalar[] {
  return Array.isArray(condition);
}

/** Compared as text in normal form, because transports differ in whether they write a value as number or string. */
function isEqualTo(wanted: Scalar, path: string, lookup: Lookup): boolean {
  if (lookup.isPartlyKnown(path)) return true;
  return wanted === null
    ? lookup.isSomewhereNull(path)
    : lookup.texts(path).some((text) => normalName(text) === normalName(String(wanted)));
}

function holdsExists(exists: boolean | undefined, path: string, lookup: Lookup): boolean {
  if (exists === undefined || lookup.isPartlyKnown(path)) return true;
  return exists ? lookup.hasValue(path) : lookup.isSomewhereNull(path);
}

function holdsChanged(changed: boolean | undefined, path: string, lookup: Lookup): boolean {
  if (changed === undefined) return true;
  return lookup.changed(path) !== (changed ? 'no' : 'yes');
}

/** The values at a dotted path. A path through an array has several. */
function valuesAt(root: Data, path: string): Data[] {
  let values: Data[] = [root];
  for (const segment of path.split('.')) values = values.flatMap((value) => membersOf(value, segment));
  return values;
}

function membersOf(value: Data, segment: string): Data[] {
  if (Array.isArray(value)) {
    const items = value as readonly Data[];
    return Object.hasOwn(items, segment)
      ? [items[Number(segment)]!]
      : items.flatMap((item) => memberOf(item, segment));
  }
  return memberOf(value, segment);
}

function memberOf(value: Data, segment: string): Data[] {
  return isDataObject(value) && Object.hasOwn(value, segment) ? [value[segment]!] : [];
}

/** The texts of a value: a list has those of its elements; an object has none. */
function textsOf(value: Data): string[] {
  if (Array.isArray(value))
    return (value as readonly Data[]).flatMap((item) => (isScalar(item) ? textsOf(item) : []));
  return isScalar(value) && value !== null ? [String(value)] : [];
}

function isScalar(value: unknown): value is Scalar {
  return (
    value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  );
}

/** Values nested deeper count as changed. */
const MAX_DEPTH = 64;

function isEqual(a: Data | undefined, b: Data | undefined, depth: number): boolean {
  if (a === b) return true;
  if (depth > MAX_DEPTH || typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  const left = a as DataObject;
  const right = b as DataObject;
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(right, name) && isEqual(left[name], right[name], depth + 1))
  );
}
