/** RFC 9111 §4.1: selects the stored variant that answers a request. */
import { comparedValue } from '../http/field-names.ts';
import { fieldValue, hasField, listMembers, trimmed } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { WRITTEN } from '../http/forwarding.ts';
import type { RequestView, StoredMeta } from '../model.ts';
import { isToken } from './cache-control.ts';
import { decidePart } from './parts.ts';
import { acceptsCodingOf, plainCodings, weighted, type Codings } from './accept-encoding.ts';
import { isInLanguage, mostWantedLanguage } from './accept-language.ts';

export type VaryNames =
  { readonly kind: 'star' } | { readonly kind: 'names'; readonly names: readonly string[] };

/**
 * The lower-case names of Vary, sorted, each once. A member that is not a field name can't be matched and counts as
 * `*`.
 */
export function varyOf(fields: Fields): VaryNames {
  if (!hasField(fields, 'vary')) return NO_NAMES;
  const names = new Set<string>();
  for (const member of listMembers(fields, 'vary')) {
    if (member === '*' || !isToken(member)) return { kind: 'star' };
    names.add(member.toLowerCase());
  }
  return { kind: 'names', names: [...names].toSorted() };
}

const NO_NAMES: VaryNames = { kind: 'names', names: [] };

/**
 * The request's normalised value for each name; null where the field is absent, which matches only absence.
 * `too-large`: names and values as sent exceed `maxBytes`, and every request would be compared with them.
 */
export function varyValues(
  names: readonly string[],
  request: RequestView,
  maxBytes: number,
): (string | null)[] | 'too-large' {
  const values = names.map((name) => valueOf(request, name));
  const bytes = names.reduce((sum, name, i) => sum + name.length + (values[i]?.length ?? 0), 0);
  if (bytes > maxBytes) return 'too-large';
  return names.map((name, i) => (values[i] === undefined ? null : normalisedValue(name, values[i])));
}

/** A string that differs exactly if the request's values differ. All values that are too large share one string. */
export function secondaryKey(names: readonly string[], request: RequestView, maxBytes: number): string {
  const values = varyValues(names, request, maxBytes);
  if (values === 'too-large') return values;
  return names.map((name, i) => `${name}${values[i] === null ? '' : `=${values[i]}`}`).join('\n');
}

/**
 * The index of the entry that answers the request, fresh or not; -1: none. Of several, the newest by Date. An entry
 * with Vary precedes one without, because some resources omit it by mistake (§4.1). A stored part answers only a
 * range within it, and only where no whole response does (§3.3).
 */
export function selectVariant(
  entries: readonly { readonly meta: StoredMeta }[],
  request: RequestView,
): number {
  let best = -1;
  const asked = entries.length > 1 ? new Map<string, AskedField>() : null;
  for (let i = 0; i < entries.length; i++) {
    const meta = entries[i]!.meta;
    if (!answers(meta, request, asked)) continue;
    if (meta.part !== null && decidePart(request, meta).kind === 'insufficient') continue;
    if (best < 0 || precedes(meta, entries[best]!.meta)) best = i;
  }
  return best;
}

/** RFC 9211 §2.2: the reason why no entry of the key answers the request. */
export type Miss = 'uri-miss' | 'vary-miss' | 'partial';

/** `partial`: a matching part lacks some of the requested range; `vary-miss`: all entries are for other requests. */
export function missOf(entries: readonly { readonly meta: StoredMeta }[], request: RequestView): Miss {
  let miss: Miss = 'uri-miss';
  const asked = new Map<string, AskedField>();
  for (const { meta } of entries) {
    if (!answers(meta, request, asked)) miss = 'vary-miss';
    else if (meta.part !== null) return 'partial';
  }
  return miss;
}

/**
 * Whether the fields that the entry's Vary names match those of its own request. `asked` caches what was parsed of
 * the new request, so that its fields are parsed once for all variants.
 */
export function answers(
  meta: StoredMeta,
  request: RequestView,
  asked: Map<string, AskedField> | null = null,
): boolean {
  for (let i = 0; i < meta.vary.length; i++) {
    const name = meta.vary[i]!;
    const stored = meta.varyValues[i]!;
    const field = askedField(request, name, asked);
    if (field.value === undefined) {
      if (stored !== null) return false;
      continue;
    }
    if (stored === null) return false;
    if (field.value === stored || field.normalised === stored) continue;
    if (!wouldBeChosen(name, meta, stored, field)) return false;
  }
  return true;
}

function askedField(request: RequestView, name: string, asked: Map<string, AskedField> | null): AskedField {
  const known = asked?.get(name);
  if (known !== undefined) return known;
  const field = new AskedField(name, valueOf(request, name));
  asked?.set(name, field);
  return field;
}

/** A field of the request in the forms in which variants are compared, each computed on first use. */
class AskedField {
  readonly #name: string;
  readonly value: string | undefined;
  #normalised: string | undefined;
  #codings: Codings | null | undefined;
  #language: string | null | undefined;

  constructor(name: string, value: string | undefined) {
    this.#name = name;
    this.value = value;
  }

  get normalised(): string {
    return (this.#normalised ??= normalisedValue(this.#name, this.value ?? ''));
  }

  get codings(): Codings | null {
    if (this.#codings === undefined) this.#codings = plainCodings(this.value ?? '');
    return this.#codings;
  }

  get language(): string | null {
    if (this.#language === undefined) this.#language = mostWantedLanguage(this.value ?? '');
    return this.#language;
  }
}

/** The field's value. Fields that Weir writes itself have the value that it sends to the origin. */
function valueOf(request: RequestView, name: string): string | undefined {
  return WRITTEN.has(name)
    ? fieldValue(request.written ?? NOTHING, name)
    : comparedValue(request.fields, name);
}

const NOTHING: Fields = [];

/** Whether the origin would select this variant for the value, although the values differ. */
function wouldBeChosen(name: string, meta: StoredMeta, stored: string, asked: AskedField): boolean {
  switch (name) {
    case 'accept-encoding':
      return acceptsCodingOf(meta, stored, asked.codings);
    case 'accept-language':
      return isInLanguage(meta, asked.language);
    default:
      return false;
  }
}

function precedes(a: StoredMeta, b: StoredMeta): boolean {
  if ((a.part === null) !== (b.part === null)) return a.part === null;
  const aVaries = a.vary.length > 0;
  if (aVaries !== b.vary.length > 0) return aVaries;
  return a.dateMs !== b.dateMs ? a.dateMs > b.dateMs : a.responseTimeMs >= b.responseTimeMs;
}

/**
 * Lists whose members are case-insensitive and may have weights, so their order carries no meaning. Each has a cache
 * of recently normalised values: browsers send few different ones, and every hit needs one.
 */
const WEIGHTED: ReadonlyMap<string, Map<string, string>> = new Map([
  ['accept-encoding', new Map()],
  ['accept-language', new Map()],
  ['accept-charset', new Map()],
]);
const REMEMBERED_VALUES = 256;
const REMEMBERED_LENGTH = 128;

function normalisedValue(name: string, value: string): string {
  const lately = value.length > REMEMBERED_LENGTH ? undefined : WEIGHTED.get(name);
  if (lately === undefined) return normalise(name, value);
  let normalised = lately.get(value);
  if (normalised === undefined) {
    normalised = normalise(name, value);
    if (lately.size >= REMEMBERED_VALUES) lately.clear();
    lately.set(value, normalised);
  }
  return normalised;
}

/** Fields whose value is not a list, where a comma has no special meaning. */
const NO_LISTS: ReadonlySet<string> = new Set([
  'authorization',
  'content-type',
  'cookie',
  'date',
  'from',
  'host',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'proxy-authorization',
  'range',
  'referer',
  'user-agent',
]);

/**
 * White space around commas has no meaning in lists. More is normalised only where the field's specification makes
 * that safe: quoted strings and unknown fields keep case, order and empty members.
 */
function normalise(name: string, value: string): string {
  if (NO_LISTS.has(name) || value.includes('"')) return trimmed(value);
  const members = value.split(',').map(trimmed);
  if (!WEIGHTED.has(name)) return members.join(',');
  return weightedOrder(members.filter((member) => member !== '')).join(',');
}

/** RFC 9110 §12.5.3, §12.5.4: by descending weight; the order of equal weights has no meaning. */
function weightedOrder(members: readonly string[]): string[] {
  return members
    .map((member) => weighted(member.toLowerCase()))
    .toSorted((a, b) => b.weight - a.weight || compareText(a.text, b.text))
    .map(({ text, weight }) => (weight === 1 ? text : `${text};q=${weight}`));
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
