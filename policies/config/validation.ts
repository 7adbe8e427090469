/** Validates a section of the file against its schema, and words the errors in terms of the configuration. */
import { z } from 'zod';
import type { Finding, Path } from './diagnostic.ts';
import { describeValue, finding, oneOf, showKey, valueAt } from './diagnostic.ts';

export interface Validated<T> {
  /** The validated section; null if a required key is missing or wrong. */
  readonly value: T | null;
  /** The section as written, without the invalid parts, so that further checks can run. */
  readonly fitting: unknown;
}

export function validate<Schema extends z.ZodType>(
  schema: Schema,
  written: unknown,
  base: Path,
  findings: Finding[],
): Validated<z.output<Schema>> {
  const first = schema.safeParse(written, { error: expectedBy });
  if (first.success) return { value: first.data, fitting: written };
  const found = first.error.issues.flatMap((issue) => explain(issue, [], written, base));
  findings.push(...found);
  const fitting = without(
    written,
    found.map(({ path }) => path.slice(base.length)),
  );
  const second = schema.safeParse(fitting, { error: expectedBy });
  return { value: second.success ? second.data : null, fitting };
}

type Issue = z.core.$ZodIssue;

/** The expected value in words. Schemas of single values have their own text. */
function expectedBy(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1
        ? String(issue.values[0])
        : oneOf(issue.values.map(String), String(issue.input ?? ''));
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `a length of at least ${issue.minimum}`
        : `at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `a length of at most ${issue.maximum}`
        : `at most ${issue.maximum}`;
    case 'invalid_format':
      return `a text of the form ${issue.pattern ?? issue.format}`;
    case 'unrecognized_keys':
      return knownKeys(issue.inst).join(KEY_SEPARATOR);
    default:
      return 'another value';
  }
}

const TYPES: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** A character sequence that no key contains. */
const KEY_SEPARATOR = ' ';

function knownKeys(schema: z.core.$ZodType | z.core.$ZodCheck | undefined): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** `within` is the path of the value to which the issue's path is relative. */
function explain(issue: Issue, within: Path, written: unknown, base: Path): Finding[] {
  const local = [...within, ...(issue.path as Path)];
  const path = [...base, ...local];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const expected = oneOf(issue.message.split(KEY_SEPARATOR), key);
        return finding([...path, key], expected, showKey(key), 'key');
      });
    case 'invalid_union': {
      const meant = meantOption(issue.errors);
      if (meant !== null) return meant.flatMap((inner) => explain(inner, local, written, base));
      break;
    }
    default:
  }
  return [finding(path, issue.message, describeValue(valueAt(written, local), path))];
}

/** Returns the only option of a union that accepts a value of this type: the error is inside the value. */
function meantOption(options: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const ofKind = options.filter((issues) => issues.every((issue) => !isOfAnotherKind(issue)));
  const further = ofKind.filter((issues) => issues.every((issue) => issue.path.length > 0));
  if (ofKind.length === 1) return ofKind[0]!;
  return further.length === 1 ? further[0]! : null;
}

function isOfAnotherKind(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

/** Removes a list as a whole if one of its items is invalid, so that indices stay valid. */
function without(written: unknown, paths: readonly Path[]): unknown {
  const copy = structuredClone(written);
  for (const path of paths) {
    const last = path.findLastIndex((step) => typeof step === 'string');
    if (last === -1) return undefined;
    const parent = valueAt(copy, path.slice(0, last));
    if (typeof parent === 'object' && parent !== null) Reflect.deleteProperty(parent, path[last]!);
  }
  return copy;
}
