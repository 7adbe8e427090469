/** Parses the body of `POST /purge` strictly and describes each error. */
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { PurgeSelection } from './purge-tags.ts';

export interface PurgeRequest extends PurgeSelection {
  readonly mode: 'hard' | 'soft';
  /** True: count what would be purged, and purge nothing. */
  readonly dryRun: boolean;
}

export type ReadPurgeRequest =
  | { readonly kind: 'request'; readonly request: PurgeRequest }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

export function readPurgeRequest(bytes: Uint8Array): ReadPurgeRequest {
  // A name in another encoding would decode to a different name, and its purge would report success.
  if (!isUtf8(bytes)) {
    return { kind: 'invalid', problems: ['expected a JSON object, got something that is not UTF-8'] };
  }
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return { kind: 'invalid', problems: ['expected a JSON object, got something that is not JSON'] };
  }
  const parsed = PURGE_REQUEST.safeParse(body);
  return parsed.success
    ? { kind: 'request', request: parsed.data }
    : { kind: 'invalid', problems: parsed.error.issues.flatMap(problemsOf) };
}

const names = z.array(z.string('expected a string'), 'expected a list of strings').default([]);

const PURGE_REQUEST = z.strictObject(
  {
    urls: names,
    tags: names,
    prefixes: names,
    hosts: names,
    routes: names,
    all: z.boolean('expected true or false').default(false),
    mode: z.enum(['hard', 'soft'], 'expected "hard" or "soft"').default('hard'),
    dryRun: z.boolean('expected true or false').default(false),
  },
  // `problemsOf` reports unknown keys together with the known ones.
  { error: (issue) => (issue.code === 'unrecognized_keys' ? undefined : 'expected a JSON object') },
);

function problemsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(PURGE_REQUEST.shape).join(', ');
    return issue.keys.map((key) => `expected one of ${known}, got the key ${JSON.stringify(key)}`);
  }
  const [key, ...indices] = issue.path;
  const place = key === undefined ? '' : `${String(key)}${indices.map((i) => `[${String(i)}]`).join('')}: `;
  return [`${place}${issue.message}`];
}
