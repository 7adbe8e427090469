/**
 * Parses the configuration's text: YAML with substituted environment variables, as plain values, and the place of each
 * key and value in the text.
 */
import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document, Scalar, YAMLMap } from 'yaml';
import type { Finding, PathPart, Path } from './diagnostic.ts';
import { finding, showKey } from './diagnostic.ts';
import type { Environment } from './environment.ts';
import { substitute } from './environment.ts';

export type SourceDocument =
  | {
      readonly kind: 'read';
      readonly value: unknown;
      readonly places: Places;
      readonly findings: Finding[];
      /** References to variables that are not set. Each is also one of the findings. */
      readonly unset: readonly Path[];
    }
  /** Only the first syntax error, because later ones are mostly its consequences. */
  | { readonly kind: 'malformed'; readonly place: SourcePosition; readonly message: string };

/** Line and column, counted from 1. */
export interface SourcePosition {
  readonly line: number;
  readonly column: number;
}

export interface Places {
  has(path: Path): boolean;
  /** Returns the place of the key or the value. If the path is not in the text, returns the place of its nearest parent's key. */
  find(path: Path, at: PathPart): SourcePosition;
}

/**
 * A key without a value counts as absent, so that all of its contents can be commented out. In a feed's `when`, null is a
 * value to compare with.
 */
export function readDocument(text: string, environment: Environment): SourceDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) {
    const place = placeOf(lines, fault.pos[0]);
    const hint = fault.message.includes('flow-map-start') ? QUOTING_HINT : '';
    return { kind: 'malformed', place, message: `${fault.message}${hint}` };
  }
  const reader = new Reader(document, environment);
  const value = reader.read(document.contents, [], []);
  const { findings, unset } = reader;
  return { kind: 'read', value, places: new TextPlaces(reader.offsets, lines), findings, unset };
}

interface Offsets {
  readonly key: number | null;
  readonly value: number;
}

class Reader {
  readonly offsets = new Map<string, Offsets>();
  readonly findings: Finding[] = [];
  readonly unset: Path[] = [];
  readonly #document: Document;
  readonly #environment: Environment;

  constructor(document: Document, environment: Environment) {
    this.#document = document;
    this.#environment = environment;
  }

  /** `within` has the nodes that contain this one. An alias to one of them would recurse without end. */
  read(node: unknown, path: Path, within: readonly unknown[]): unknown {
    if (isScalar(node)) return this.#readScalar(node, path);
    if (within.length > MAX_DEPTH) return this.#fail(path, 'fewer levels', 'more than 50');
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined || within.includes(target)) {
        return this.#fail(path, 'an alias of an anchor that stands above', `*${node.source}`);
      }
      return this.read(target, path, [...within, node]);
    }
    if (isMap(node)) return this.#readMap(node, path, [...within, node]);
    if (isSeq(node)) {
      return node.items.map((item, i) => {
        const itemPath = [...path, i];
        this.#place(itemPath, null, item);
        return this.read(item, itemPath, [...within, node]);
      });
    }
    return null;
  }

  #readMap(map: YAMLMap, path: Path, within: readonly unknown[]): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    for (const { key, value } of map.items) {
      const name = String(isScalar(key) ? key.value : key);
      const valuePath = [...path, name];
      if (!isScalar(key) || name === '__proto__' || entries.has(name)) {
        this.#place([...valuePath, REPEATED], key, value);
        this.findings.push(
          finding(valuePath, 'each key once, as a plain name', `${showKey(name)} again`, 'repeated-key'),
        );
        continue;
      }
      this.#place(valuePath, key, value);
      const read = this.read(value, valuePath, within);
      entries.set(name, read === null && !isCondition(valuePath) ? undefined : read);
    }
    return Object.fromEntries(entries);
  }

  #readScalar(scalar: Scalar, path: Path): unknown {
    const { value } = scalar;
    if (typeof value !== 'string' || !value.includes('${')) return value;
    const substitution = substitute(value, this.#environment);
    switch (substitution.kind) {
      case 'failed':
        if (substitution.isUnset) this.unset.push(path);
        return this.#fail(path, substitution.expected, substitution.got);
      case 'ok':
        return scalar.type === 'PLAIN' ? typed(substitution.text) : substitution.text;
    }
  }

  #place(path: Path, key: unknown, value: unknown): void {
    const keyOffset = offsetOf(key);
    this.offsets.set(JSON.stringify(path), { key: keyOffset, value: offsetOf(value) ?? keyOffset ?? 0 });
  }

  #fail(path: Path, expected: string, got: string): undefined {
    this.findings.push(finding(path, expected, got));
    return undefined;
  }
}

class TextPlaces implements Places {
  readonly #offsets: ReadonlyMap<string, Offsets>;
  readonly #lines: LineCounter;

  constructor(offsets: ReadonlyMap<string, Offsets>, lines: LineCounter) {
    this.#offsets = offsets;
    this.#lines = lines;
  }

  has(path: Path): boolean {
    return this.#offsets.has(JSON.stringify(path));
  }

  find(path: Path, at: PathPart): SourcePosition {
    if (at === 'repeated-key') return this.find([...path, REPEATED], 'key');
    const own = this.#offsets.get(JSON.stringify(path));
    if (own !== undefined) return placeOf(this.#lines, at === 'key' ? (own.key ?? own.value) : own.value);
    if (path.length === 0) return { line: 1, column: 1 };
    return this.find(path.slice(0, -1), 'key');
  }
}

const MAX_DEPTH = 50;

const QUOTING_HINT = ' (inside { } and [ ], a text with { in it needs quotes)';

/** The path element below a repeated key, so that its place does not replace the first one's. */
const REPEATED = 'repeated';

/** `feeds.NAME.map[i].when.PATH` */
function isCondition(path: Path): boolean {
  return path[0] === 'feeds' && path[2] === 'map' && path[4] === 'when' && path.length === 6;
}

/** Resolves the text as an unquoted YAML scalar: a number, a boolean, null or a text. */
function typed(text: string): unknown {
  const { contents, errors } = parseDocument(text);
  if (errors.length > 0 || !isScalar(contents) || contents.type !== 'PLAIN') return text;
  const whole = (contents.source ?? '') === text;
  return whole && typeof contents.value !== 'string' ? contents.value : text;
}

function offsetOf(node: unknown): number | null {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? (node.range?.[0] ?? null) : null;
}

function placeOf(lines: LineCounter, offset: number): SourcePosition {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}
